//! Manifest and config together: may this gateway run it?

use super::{LinkConfig, Manifest};
use crate::eligibility::Refusal;
use crate::{Eui, KerosVersion, RefusalReason, UnixSeconds};

/// What is known of the gateway when a Magic Link is judged.
#[derive(Debug, Clone, Copy)]
pub struct LinkGateway<'a> {
    /// Its own EUI.
    pub eui: Eui,
    /// Its KerOS version, when it has one.
    pub keros: Option<&'a KerosVersion>,
    /// Its hardware's code name, when it is known.
    pub model: Option<&'a str>,
    /// The best guess of the time.
    pub now_unix_s: UnixSeconds,
}

/// A Magic Link that is complete in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MagicLink {
    /// Its files.
    pub manifest: Manifest,
    /// For whom it is.
    pub config: LinkConfig,
}

impl MagicLink {
    /// Puts both together.
    ///
    /// # Errors
    /// `unparsable` when the playbook is none of the files.
    pub fn new(manifest: Manifest, config: LinkConfig) -> Result<Self, Refusal> {
        if manifest.files.iter().any(|file| file.title == config.playbook) {
            return Ok(Self { manifest, config });
        }
        let detail = format!("the playbook {} is none of the bundle's files", config.playbook);
        Err(Refusal::new(RefusalReason::Unparsable, detail))
    }

    /// Whether this gateway may run it now: it is declared, in time, and model and KerOS version fit. In this order.
    ///
    /// # Errors
    /// `not_declared`, `expired`, `not_compatible`.
    pub fn check(&self, gateway: &LinkGateway<'_>) -> Result<(), Refusal> {
        let config = &self.config;
        if !config.gateways.iter().any(|pattern| pattern.declares(gateway.eui)) {
            let detail = format!("{} is not declared in the Magic Link {:?}", gateway.eui, config.name);
            return Err(Refusal::new(RefusalReason::NotDeclared, detail));
        }
        self.fits(gateway)
    }

    /// The same, but for whether the gateway is declared.
    ///
    /// # Errors
    /// `expired`, `not_compatible`.
    pub fn fits(&self, gateway: &LinkGateway<'_>) -> Result<(), Refusal> {
        let config = &self.config;
        if let Some(end) = config.expires_at_unix_s.filter(|end| *end <= gateway.now_unix_s) {
            let late_s = gateway.now_unix_s - end;
            return Err(Refusal::new(
                RefusalReason::Expired,
                format!("the Magic Link expired {late_s} s ago"),
            ));
        }
        let not_compatible = |detail: String| Err(Refusal::new(RefusalReason::NotCompatible, detail));
        if !config.models.is_empty()
            && !gateway.model.is_some_and(|found| config.models.iter().any(|m| m == found))
        {
            let found = gateway.model.unwrap_or("of an unknown model");
            return not_compatible(format!(
                "it is for {}, this gateway is {found}",
                config.models.join(", ")
            ));
        }
        match (&config.keros, gateway.keros) {
            (Some(range), Some(found)) if !range.contains(found) => {
                not_compatible(format!("it is for KerOS {range}, this gateway has {found}"))
            }
            (Some(range), None) => {
                not_compatible(format!("it is for KerOS {range}, this gateway's KerOS version is unknown"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::magic_link::{BundleFile, Descriptor, Digest};

    const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);

    fn link(config: &str) -> MagicLink {
        let blob = Descriptor { digest: Digest::of(b"x"), size: 1 };
        let files = vec![BundleFile { title: "site.yml".parse().unwrap(), blob, executable: false }];
        MagicLink::new(Manifest { config: blob, files }, LinkConfig::parse(config.as_bytes()).unwrap())
            .unwrap()
    }

    fn judge(fields: &str, eui: Eui, keros: Option<&str>, model: Option<&str>) -> Option<RefusalReason> {
        let config = format!(r#"{{"name":"x","gateways":["7076FF*"],"playbook":"site.yml"{fields}}}"#);
        let keros: Option<KerosVersion> = keros.map(|text| text.parse().unwrap());
        let gateway = LinkGateway { eui, keros: keros.as_ref(), model, now_unix_s: 1000 };
        link(&config).check(&gateway).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn each_condition_has_its_name() {
        let keros = r#","keros":">=6.2, <7""#;
        let models = r#","models":["wiis","fevo"]"#;
        let (declared, not_compatible) = (RefusalReason::NotDeclared, RefusalReason::NotCompatible);
        let other = Eui::from_u64(0x7276_FF00_5607_0123);
        assert_eq!(judge("", EUI, None, None), None);
        assert_eq!(judge("", other, None, None), Some(declared));
        assert_eq!(judge(keros, EUI, Some("6.3.1"), None), None);
        assert_eq!(judge(keros, EUI, Some("5.10.1"), None), Some(not_compatible));
        assert_eq!(judge(keros, EUI, None, None), Some(not_compatible));
        assert_eq!(judge(models, EUI, None, Some("fevo")), None);
        assert_eq!(judge(models, EUI, None, Some("zeth")), Some(not_compatible));
        assert_eq!(judge(models, EUI, None, None), Some(not_compatible));
        assert_eq!(judge(r#","expires_at_unix_s":1001"#, EUI, None, None), None);
        assert_eq!(judge(r#","expires_at_unix_s":1000"#, EUI, None, None), Some(RefusalReason::Expired));
    }

    #[test]
    fn a_playbook_is_one_of_the_files() {
        let config = LinkConfig::parse(br#"{"name":"x","gateways":["70*"],"playbook":"a.yml"}"#).unwrap();
        let blob = Descriptor { digest: Digest::of(b"x"), size: 1 };
        let refusal = MagicLink::new(Manifest { config: blob, files: Vec::new() }, config).unwrap_err();
        assert_eq!(refusal.reason, RefusalReason::Unparsable);
    }
}

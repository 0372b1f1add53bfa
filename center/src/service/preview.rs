//! What an update would come to: who of the gateways would refuse it and why, by what they have last told of themselves. The judging is
//! pure, and by the same rules as on the gateway.

use keros_protocol::magic_link::MagicLink;
use keros_protocol::{Job, KerosVersion, RefusalReason, UnixSeconds};

use super::center::{Center, in_thread};
use super::link_orders::is_unfit;
use super::order::OrderError;
use crate::api::{LinkView, NamedGateway, PreviewView, RefusingView};
use crate::links::Declared;
use crate::store::GatewayRow;

/// Gateways of one kind that are named.
const MAX_NAMED: usize = 100;

/// The reasons that can be known before, in the order in which they are told.
const REASONS: [RefusalReason; 3] =
    [RefusalReason::NotKeros6, RefusalReason::NotDeclared, RefusalReason::NotCompatible];

impl Center {
    /// What the job would come to on these gateways.
    pub(super) async fn preview(
        &self,
        job: &Job,
        link: Option<LinkView>,
        gateways: Vec<GatewayRow>,
        now: UnixSeconds,
    ) -> Result<PreviewView, OrderError> {
        let content = match &link {
            Some(view) => Some(self.read_link(view.digest).await?),
            None => None,
        };
        let is_script = matches!(job, Job::JetPorch { .. });
        let mut view = in_thread(move || {
            let what = match &content {
                Some(content) => Judged::link(content, now),
                None if is_script => Judged::Script,
                None => Judged::Elsewhere,
            };
            Ok(judge_all(&what, &gateways))
        })
        .await?;
        view.link = link;
        Ok(view)
    }
}

/// What is judged.
enum Judged<'a> {
    /// A JetPorch script.
    Script,
    /// A Magic Link of the center's store.
    Link { link: &'a MagicLink, declared: Declared, now: UnixSeconds },
    /// A Magic Link that is only somewhere else: nothing is known of it here.
    Elsewhere,
}

/// What becomes of the command at one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fit,
    Refuses(RefusalReason),
    Unknown,
}

impl<'a> Judged<'a> {
    fn link(link: &'a MagicLink, now: UnixSeconds) -> Self {
        Self::Link { link, declared: Declared::by(&link.config.gateways), now }
    }

    fn fate(&self, gateway: &GatewayRow) -> Fate {
        let never_heard = gateway.last_telemetry_at.is_none();
        match self {
            Self::Script if never_heard => Fate::Unknown,
            Self::Script => match keros(gateway) {
                Some(version) if version.major() == 6 => Fate::Fit,
                Some(_) | None => Fate::Refuses(RefusalReason::NotKeros6),
            },
            Self::Link { declared, .. } if !declared.contains(gateway.eui) => {
                Fate::Refuses(RefusalReason::NotDeclared)
            }
            Self::Link { link, .. } if never_heard && is_choosy(link) => Fate::Unknown,
            Self::Link { link, now, .. } if is_unfit(link, gateway, *now) => {
                Fate::Refuses(RefusalReason::NotCompatible)
            }
            Self::Link { .. } => Fate::Fit,
            Self::Elsewhere => Fate::Unknown,
        }
    }
}

fn keros(gateway: &GatewayRow) -> Option<KerosVersion> {
    gateway.keros_version.as_ref().and_then(|text| text.parse().ok())
}

/// Whether the link fits only some versions or models.
fn is_choosy(link: &MagicLink) -> bool {
    link.config.keros.is_some() || !link.config.models.is_empty()
}

fn judge_all(what: &Judged<'_>, gateways: &[GatewayRow]) -> PreviewView {
    let mut view = PreviewView {
        gateways: u32::try_from(gateways.len()).unwrap_or(u32::MAX),
        fit: 0,
        refusals: Vec::new(),
        unknown: None,
        link: None,
    };
    let mut refusing = REASONS.map(empty);
    let mut unknown = RefusingView { reason: None, count: 0, some: Vec::new() };
    for gateway in gateways {
        match what.fate(gateway) {
            Fate::Fit => view.fit += 1,
            Fate::Unknown => add(&mut unknown, gateway),
            Fate::Refuses(reason) => {
                if let Some(part) = refusing.iter_mut().find(|part| part.reason == Some(reason)) {
                    add(part, gateway);
                }
            }
        }
    }
    view.refusals = refusing.into_iter().filter(|part| part.count > 0).collect();
    view.unknown = Some(unknown).filter(|part| part.count > 0);
    view
}

fn empty(reason: RefusalReason) -> RefusingView {
    RefusingView { reason: Some(reason), count: 0, some: Vec::new() }
}

fn add(part: &mut RefusingView, gateway: &GatewayRow) {
    part.count += 1;
    if part.some.len() < MAX_NAMED {
        part.some.push(NamedGateway { eui: gateway.eui, name: gateway.shown_name() });
    }
}

#[cfg(test)]
mod tests {
    use keros_protocol::Eui;
    use keros_protocol::magic_link::{LinkConfig, Manifest};
    use serde_json::json;

    use super::*;
    use crate::access::CustomerId;
    use crate::links::sample::{Bundle, PLAYBOOK};

    fn gateway(last: u8, heard: bool, keros: Option<&str>, codename: Option<&str>) -> GatewayRow {
        GatewayRow {
            eui: Eui::from_u64(0x7076_FF00_5607_0000 + u64::from(last)),
            customer_id: CustomerId::MAIN,
            name: None,
            description: String::new(),
            declared: true,
            online: false,
            last_telemetry_at: heard.then_some(1),
            codename: codename.map(str::to_owned),
            keros_version: keros.map(str::to_owned),
            agent_version: None,
            packages_digest: None,
            report_stream: None,
            created_at: 1,
            warnings: Vec::new(),
            retired_at: None,
            location: None,
        }
    }

    fn link(config: serde_json::Value) -> MagicLink {
        let bundle = Bundle::with(&config, &[("site.yml", PLAYBOOK)]);
        let manifest = Manifest::parse(&bundle.manifest).unwrap();
        MagicLink::new(manifest, LinkConfig::parse(&bundle.blobs[0]).unwrap()).unwrap()
    }

    #[test]
    fn each_gateway_has_the_fate_that_it_would_give_itself() {
        use Fate::{Fit, Refuses, Unknown};
        use RefusalReason::{NotCompatible, NotDeclared, NotKeros6};
        let any = link(json!({"name": "a", "gateways": ["7076FF*"], "playbook": "site.yml"}));
        let other = link(json!({"name": "a", "gateways": ["7276FF*"], "playbook": "site.yml"}));
        let choosy = link(
            json!({"name": "a", "gateways": ["7076FF*"], "playbook": "site.yml", "models": ["wiis"], "keros": ">=6.3"}),
        );
        let script = || Judged::Script;
        let of = |link| Judged::link(link, 5);
        for (what, gateway, expected) in [
            (script(), gateway(1, true, Some("6.3.1"), None), Fit),
            (script(), gateway(1, true, Some("5.10.1-0-gc7e2b007"), None), Refuses(NotKeros6)),
            (script(), gateway(1, true, None, None), Refuses(NotKeros6)),
            (script(), gateway(1, false, None, None), Unknown),
            (of(&any), gateway(1, false, None, None), Fit),
            (of(&any), gateway(1, true, Some("5.10.1"), Some("wifc")), Fit),
            (of(&other), gateway(1, true, Some("6.3.1"), Some("wiis")), Refuses(NotDeclared)),
            (of(&choosy), gateway(1, false, None, None), Unknown),
            (of(&choosy), gateway(1, true, Some("6.3.1"), Some("wiis")), Fit),
            (of(&choosy), gateway(1, true, Some("6.3.1"), Some("wifc")), Refuses(NotCompatible)),
            (of(&choosy), gateway(1, true, Some("5.10.1"), Some("wiis")), Refuses(NotCompatible)),
            (Judged::Elsewhere, gateway(1, true, Some("6.3.1"), None), Unknown),
        ] {
            assert_eq!(what.fate(&gateway), expected, "{gateway:?}");
        }
    }

    #[test]
    fn every_gateway_is_counted_and_the_first_hundred_are_named() {
        let mut gateways: Vec<GatewayRow> =
            (0..150).map(|last| gateway(last, true, Some("5.0.0"), None)).collect();
        gateways.push(gateway(200, true, Some("6.3.1"), None));
        gateways.push(gateway(201, false, None, None));
        let view = judge_all(&Judged::Script, &gateways);
        assert_eq!((view.gateways, view.fit), (152, 1));
        let [refusing] = view.refusals.as_slice() else { panic!("{view:?}") };
        assert_eq!((refusing.count, refusing.some.len(), refusing.more()), (150, MAX_NAMED, 50));
        assert_eq!(view.unknown.map(|part| part.count), Some(1));
    }
}

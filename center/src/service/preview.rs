//! What an update would come to: who of the gateways would refuse it and why, by what they have last told of themselves. The judging is
//! pure, and by the same rules as on the gateway.

use std::collections::BTreeMap;

use keros_protocol::magic_link::MagicLink;
use keros_protocol::{Eui, Job, KerosVersion, RefusalReason, UnixSeconds};

use super::center::{Center, in_thread};
use super::link_orders::is_unfit;
use super::order::OrderError;
use crate::api::{LinkView, NamedGateway, PreviewView, RefusingView};
use crate::links::Declared;
use crate::store::fleet::Kind;
use crate::store::gateways;

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
        kinds: Vec<Kind>,
        now: UnixSeconds,
    ) -> Result<PreviewView, OrderError> {
        let content = match &link {
            Some(view) => Some(self.read_link(view.digest).await?),
            None => None,
        };
        let is_script = matches!(job, Job::JetPorch { .. });
        let (fates, some) = in_thread(move || {
            let what = match &content {
                Some(content) => Judged::link(content, now),
                None if is_script => Judged::Script,
                None => Judged::Elsewhere,
            };
            let fates = judge_all(&what, &kinds);
            let some = fates.named();
            Ok((fates, some))
        })
        .await?;
        let rows = gateways::these(&mut *self.store.read().await?, &some).await?;
        let names = rows.into_iter().map(|row| (row.eui, row.shown_name())).collect();
        Ok(PreviewView { link, ..fates.view(&names) })
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

    /// What becomes of a command at gateways of this kind: at those that a link declares, and at the others.
    fn fates(&self, kind: &Kind) -> (Vec<Eui>, Fate, Vec<Eui>) {
        match self {
            Self::Script if !kind.heard => (kind.gateways.clone(), Fate::Unknown, Vec::new()),
            Self::Script => {
                let version = kind.keros_version.as_ref().and_then(|text| text.parse::<KerosVersion>().ok());
                let fate = match version {
                    Some(version) if version.major() == 6 => Fate::Fit,
                    Some(_) | None => Fate::Refuses(RefusalReason::NotKeros6),
                };
                (kind.gateways.clone(), fate, Vec::new())
            }
            Self::Link { link, declared, now } => {
                let (in_it, not_in_it): (Vec<Eui>, Vec<Eui>) =
                    kind.gateways.iter().partition(|eui| declared.contains(**eui));
                let fate = match in_it.first() {
                    _ if !kind.heard && is_choosy(link) => Fate::Unknown,
                    Some(eui) if is_unfit(link, kind, *eui, *now) => {
                        Fate::Refuses(RefusalReason::NotCompatible)
                    }
                    _ => Fate::Fit,
                };
                (in_it, fate, not_in_it)
            }
            Self::Elsewhere => (kind.gateways.clone(), Fate::Unknown, Vec::new()),
        }
    }
}

/// Whether the link fits only some versions or models.
fn is_choosy(link: &MagicLink) -> bool {
    link.config.keros.is_some() || !link.config.models.is_empty()
}

/// Which gateways have which fate.
#[derive(Debug, Default)]
struct Fates {
    fit: Vec<Eui>,
    /// As [`REASONS`].
    refusing: [Vec<Eui>; REASONS.len()],
    unknown: Vec<Eui>,
}

fn judge_all(what: &Judged<'_>, kinds: &[Kind]) -> Fates {
    let mut fates = Fates::default();
    for kind in kinds {
        let (in_it, fate, not_in_it) = what.fates(kind);
        fates.add(fate, in_it);
        fates.add(Fate::Refuses(RefusalReason::NotDeclared), not_in_it);
    }
    // The first ones are named.
    fates.refusing.iter_mut().chain([&mut fates.unknown]).for_each(|list| list.sort_unstable());
    fates
}

impl Fates {
    fn add(&mut self, fate: Fate, gateways: Vec<Eui>) {
        match fate {
            Fate::Fit => self.fit.extend(gateways),
            Fate::Unknown => self.unknown.extend(gateways),
            Fate::Refuses(reason) => {
                if let Some(place) = REASONS.iter().position(|known| *known == reason) {
                    self.refusing[place].extend(gateways);
                }
            }
        }
    }

    /// Those that are named.
    fn named(&self) -> Vec<Eui> {
        let lists = self.refusing.iter().chain([&self.unknown]);
        lists.flat_map(|list| list.iter().take(MAX_NAMED).copied()).collect()
    }

    /// As it is shown, with these names.
    fn view(&self, names: &BTreeMap<Eui, String>) -> PreviewView {
        let part = |reason: Option<RefusalReason>, list: &[Eui]| {
            let name = |eui: &Eui| names.get(eui).cloned().unwrap_or_else(|| eui.to_string());
            let some = list.iter().take(MAX_NAMED).map(|eui| NamedGateway { eui: *eui, name: name(eui) });
            (!list.is_empty()).then(|| RefusingView { reason, count: count(list), some: some.collect() })
        };
        let refusing = REASONS.iter().zip(&self.refusing);
        let refusals: Vec<RefusingView> =
            refusing.filter_map(|(reason, list)| part(Some(*reason), list)).collect();
        let all = [&self.fit, &self.unknown].into_iter().chain(&self.refusing).map(|list| count(list)).sum();
        PreviewView {
            gateways: all,
            fit: count(&self.fit),
            refusals,
            unknown: part(None, &self.unknown),
            link: None,
        }
    }
}

fn count(list: &[Eui]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use keros_protocol::magic_link::{LinkConfig, Manifest};
    use serde_json::json;

    use super::*;
    use crate::links::sample::{Bundle, PLAYBOOK};

    const A: Eui = Eui::from_u64(0x7076_FF00_5607_0001);

    fn kind(heard: bool, keros: Option<&str>, codename: Option<&str>, gateways: Vec<Eui>) -> Kind {
        let (keros_version, codename) = (keros.map(str::to_owned), codename.map(str::to_owned));
        Kind { codename, keros_version, heard, gateways }
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
        let heard = |keros, codename| kind(true, keros, codename, vec![A]);
        let silent = || kind(false, None, None, vec![A]);
        for (what, kind, expected) in [
            (script(), heard(Some("6.3.1"), None), Fit),
            (script(), heard(Some("5.10.1-0-gc7e2b007"), None), Refuses(NotKeros6)),
            (script(), heard(None, None), Refuses(NotKeros6)),
            (script(), silent(), Unknown),
            (of(&any), silent(), Fit),
            (of(&any), heard(Some("5.10.1"), Some("wifc")), Fit),
            (of(&other), heard(Some("6.3.1"), Some("wiis")), Refuses(NotDeclared)),
            (of(&choosy), silent(), Unknown),
            (of(&choosy), heard(Some("6.3.1"), Some("wiis")), Fit),
            (of(&choosy), heard(Some("6.3.1"), Some("wifc")), Refuses(NotCompatible)),
            (of(&choosy), heard(Some("5.10.1"), Some("wiis")), Refuses(NotCompatible)),
            (Judged::Elsewhere, heard(Some("6.3.1"), None), Unknown),
        ] {
            let (in_it, fate, not_in_it) = what.fates(&kind);
            let fate = if in_it.is_empty() { Refuses(NotDeclared) } else { fate };
            assert_eq!((fate, in_it.len() + not_in_it.len()), (expected, 1), "{kind:?}");
        }
    }

    #[test]
    fn every_gateway_is_counted_and_the_first_hundred_are_named() {
        let eui = |last: u64| Eui::from_u64(A.as_u64() + last);
        let old = kind(true, Some("5.0.0"), None, (0..100).rev().map(eui).collect());
        let older = kind(true, Some("4.0.0"), None, (100..150).map(eui).collect());
        let new = kind(true, Some("6.3.1"), None, vec![eui(200)]);
        let silent = kind(false, None, None, vec![eui(201)]);
        let fates = judge_all(&Judged::Script, &[older, old, new, silent]);
        let some = fates.named();
        assert_eq!((some.len(), some[0], some[99], some[100]), (101, eui(0), eui(99), eui(201)));
        let view = fates.view(&BTreeMap::from([(eui(0), "mast".to_owned())]));
        assert_eq!((view.gateways, view.fit), (152, 1));
        let [refusing] = view.refusals.as_slice() else { panic!("{view:?}") };
        assert_eq!((refusing.count, refusing.some.len(), refusing.more()), (150, MAX_NAMED, 50));
        assert_eq!(
            (refusing.some[0].name.as_str(), refusing.some[1].name.clone()),
            ("mast", eui(1).to_string())
        );
        assert_eq!(view.unknown.map(|part| part.count), Some(1));
    }
}

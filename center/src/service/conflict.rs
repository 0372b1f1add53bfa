//! Which order has to wait for which update. Pure: the vendor's two rules.
//!
//! On a group's page no update is sent, whatever its type, while one is in progress for the group or for one gateway of it; on a
//! gateway's page none while one of the same type is pending for that gateway. In progress, and pending, is a command that waits.

use keros_protocol::{Eui, UpdateId};

use super::software_update::kind_name;

/// A command that waits for a gateway that an order is for, or of an update of the group that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Its update.
    pub(crate) update_id: UpdateId,
    /// Kind of the job.
    pub(crate) kind: String,
    /// The gateway that it waits for.
    pub(crate) eui: Eui,
    /// The group that the update was sent to; empty: to this gateway alone.
    pub(crate) group: String,
    /// Who sent it; empty in what was sent before there were users.
    pub(crate) by: String,
}

impl Pending {
    /// The kind in the words of the pages.
    pub(crate) fn kind_name(&self) -> &str {
        kind_name(&self.kind)
    }
}

/// For whom an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A group, or a part of one.
    Group,
    /// One gateway.
    Gateway,
}

/// The first of the pending commands that an order of this kind has to wait for.
pub(crate) fn conflict<'a>(scope: Scope, kind: &str, pending: &'a [Pending]) -> Option<&'a Pending> {
    pending.iter().find(|pending| match scope {
        Scope::Group => true,
        Scope::Gateway => pending.kind == kind,
    })
}

/// Says which update it is, which gateway and who.
pub(crate) fn refusal(scope: Scope, pending: &Pending) -> String {
    let Pending { update_id, kind, eui, group, by } = pending;
    let by = if by.is_empty() { String::new() } else { format!(", sent by {by},") };
    let to = if group.is_empty() { format!("gateway {eui}") } else { format!("the group {group:?}") };
    let what = match scope {
        Scope::Group => String::new(),
        Scope::Gateway => format!(" of the same type ({kind})"),
    };
    format!(
        "update {update_id}{what} to {to}{by} is in progress: its command still waits for gateway {eui}; cancel it there, or wait until \
         it is sent"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);

    fn pending(kind: &str, group: &str) -> Pending {
        let update_id = UpdateId(uuid::Uuid::from_u128(3));
        let (group, by) = (group.to_owned(), "ada".to_owned());
        Pending { update_id, kind: kind.to_owned(), eui: EUI, group, by }
    }

    #[test]
    fn a_group_waits_for_any_pending_command_and_a_gateway_for_those_of_the_same_type() {
        let (script, link) = (pending("jetporch", "north"), pending("magic_link", ""));
        for (scope, kind, pending, expected) in [
            (Scope::Group, "jetporch", vec![], None),
            (Scope::Gateway, "jetporch", vec![], None),
            (Scope::Group, "jetporch", vec![&script], Some(&script)),
            (Scope::Group, "jetporch", vec![&link], Some(&link)),
            (Scope::Group, "magic_link", vec![&script], Some(&script)),
            (Scope::Gateway, "jetporch", vec![&script], Some(&script)),
            (Scope::Gateway, "jetporch", vec![&link], None),
            (Scope::Gateway, "magic_link", vec![&script], None),
            (Scope::Gateway, "magic_link", vec![&script, &link], Some(&link)),
        ] {
            let list: Vec<Pending> = pending.into_iter().cloned().collect();
            assert_eq!(conflict(scope, kind, &list), expected, "{scope:?} {kind} {list:?}");
        }
    }

    #[test]
    fn the_refusal_says_which_update_which_gateway_and_who() {
        assert_eq!(
            refusal(Scope::Group, &pending("jetporch", "north")),
            "update 00000000-0000-0000-0000-000000000003 to the group \"north\", sent by ada, is in progress: its command still waits for \
             gateway 7076FF0056070123; cancel it there, or wait until it is sent"
        );
        let unsigned = Pending { by: String::new(), ..pending("jetporch", "") };
        assert_eq!(
            refusal(Scope::Gateway, &unsigned),
            "update 00000000-0000-0000-0000-000000000003 of the same type (jetporch) to gateway 7076FF0056070123 is in progress: its \
             command still waits for gateway 7076FF0056070123; cancel it there, or wait until it is sent"
        );
    }
}

//! Who may say and hear what: pure rules, without any network. They are the same as in `packaging/mosquitto/keros.acl`.

use keros_protocol::Eui;
use keros_protocol::topics::{Leaf, Prefix};

/// A client that has logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// This center.
    Center,
    /// A gateway.
    Gateway(Eui),
}

impl Client {
    /// Whether it may publish to this topic: the center below the prefix, a gateway to its own three topics.
    pub(crate) fn may_publish(self, prefix: &Prefix, topic: &str) -> bool {
        match self {
            Self::Center => is_below(prefix, topic),
            Self::Gateway(eui) => {
                prefix.parse(topic).is_some_and(|(of, leaf)| of == eui && leaf != Leaf::Down)
            }
        }
    }

    /// Whether it may subscribe to this filter: the center below the prefix, also shared with other centers, a gateway
    /// to nothing but its own `down`, spelt out.
    pub(crate) fn may_subscribe(self, prefix: &Prefix, filter: &str) -> bool {
        match self {
            Self::Center => {
                let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
                is_below(prefix, shared.map_or(filter, |(_, filter)| filter))
            }
            Self::Gateway(eui) => filter == prefix.topic(eui, Leaf::Down),
        }
    }

    /// Whether it may use this client identifier. A second connection with the same identifier ends the first, so a
    /// gateway's must contain its own EUI: then no gateway can push out another or the center. Identifiers that the
    /// broker itself made up are random.
    pub(crate) fn may_be_called(self, client_id: &str) -> bool {
        match self {
            Self::Center => true,
            Self::Gateway(eui) => client_id.contains(&eui.to_string()) || is_assigned(client_id),
        }
    }
}

/// The broker gives `auto-` and 32 hex digits to who comes without a client identifier.
fn is_assigned(client_id: &str) -> bool {
    let digits = client_id.strip_prefix("auto-").unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_below(prefix: &Prefix, topic: &str) -> bool {
    topic.strip_prefix(&prefix.to_string()).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Eui = Eui::from_u64(0x7076_FF00_5607_0123);

    fn gateway_may(topic: &str) -> (bool, bool) {
        let prefix = Prefix::default();
        let gateway = Client::Gateway(OWN);
        (gateway.may_publish(&prefix, topic), gateway.may_subscribe(&prefix, topic))
    }

    #[test]
    fn a_gateway_speaks_and_hears_only_for_itself() {
        for (topic, publish, subscribe) in [
            ("keros/v1/7076FF0056070123/telemetry", true, false),
            ("keros/v1/7076FF0056070123/report", true, false),
            ("keros/v1/7076FF0056070123/presence", true, false),
            ("keros/v1/7076FF0056070123/down", false, true),
            ("keros/v1/7076FF0056070124/telemetry", false, false),
            ("keros/v1/7076FF0056070124/down", false, false),
            ("keros/v1/7076ff0056070123/down", false, false),
            ("keros/v1/7076FF0056070123/#", false, false),
            ("keros/v1/7076FF0056070123/+", false, false),
            ("keros/v1/+/down", false, false),
            ("$share/g/keros/v1/7076FF0056070123/down", false, false),
            ("$SYS/broker/version", false, false),
            ("$SYS/#", false, false),
            ("#", false, false),
            ("+/+/+/+", false, false),
            ("other/v1/7076FF0056070123/telemetry", false, false),
            ("", false, false),
        ] {
            assert_eq!(gateway_may(topic), (publish, subscribe), "{topic:?}");
        }
    }

    #[test]
    fn the_center_stays_below_the_prefix() {
        let prefix: Prefix = "site/a".parse().unwrap();
        assert!(Client::Center.may_publish(&prefix, "site/a/v1/7076FF0056070123/down"));
        assert!(Client::Center.may_subscribe(&prefix, "site/a/v1/+/report"));
        assert!(Client::Center.may_subscribe(&prefix, "$share/centers/site/a/v1/+/report"));
        for filter in ["#", "site/ab/x", "$SYS/#", "$share/x/#", "$share/x", "site/a"] {
            assert!(!Client::Center.may_subscribe(&prefix, filter), "{filter}");
        }
    }

    #[test]
    fn a_gateway_cannot_take_over_anothers_session() {
        let gateway = Client::Gateway(OWN);
        for (client_id, may) in [
            ("7076FF0056070123", true),
            ("keros-agent-7076FF0056070123", true),
            ("auto-0123456789abcdef0123456789abcdef", true),
            ("auto-7076FF0056070124", false),
            ("7076FF0056070124", false),
            ("keros-center", false),
        ] {
            assert_eq!(gateway.may_be_called(client_id), may, "{client_id}");
        }
    }
}

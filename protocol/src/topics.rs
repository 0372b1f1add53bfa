//! MQTT topics: `<prefix>/v1/<EUI>/<leaf>`. The prefix is a setting, `keros` by default.

use std::fmt;
use std::str::FromStr;

use crate::Eui;

/// The prefix used when nothing else is set.
pub const DEFAULT_PREFIX: &str = "keros";

/// Content type of every MQTT payload but `presence`, whose payload is one bare word.
pub const CONTENT_TYPE: &str = "application/json";

/// The last part of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leaf {
    /// Gateway to center: [`crate::Telemetry`], QoS 1.
    Telemetry,
    /// Gateway to center: [`crate::Report`], QoS 1.
    Report,
    /// Gateway to center: [`crate::Presence`], QoS 1, retained; `offline` is the gateway's last will.
    Presence,
    /// Center to gateway: [`crate::Downlink`], QoS 1.
    Down,
}

impl Leaf {
    /// All leaves.
    pub const ALL: [Self; 4] = [Self::Telemetry, Self::Report, Self::Presence, Self::Down];

    /// The word in the topic.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Report => "report",
            Self::Presence => "presence",
            Self::Down => "down",
        }
    }
}

/// A checked topic prefix: one or more levels without wildcards, blanks at the ends or empty levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// Why a text cannot be a topic prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a topic prefix is 1 to 64 bytes, levels separated by '/', without '+', '#', '$' and control characters; found {0:?}"
)]
pub struct PrefixError(String);

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let bad = text.len() > 64
            || text.split('/').any(|level| level.trim() != level || level.is_empty())
            || text.chars().any(|c| matches!(c, '+' | '#' | '$') || c.is_control());
        if bad { Err(PrefixError(text.to_owned())) } else { Ok(Self(text.to_owned())) }
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self(DEFAULT_PREFIX.to_owned())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Prefix {
    /// The topic of one gateway.
    #[must_use]
    pub fn topic(&self, eui: Eui, leaf: Leaf) -> String {
        format!("{}/v1/{eui}/{}", self.0, leaf.as_str())
    }

    /// The filter by which a center subscribes to one leaf of all gateways.
    #[must_use]
    pub fn all_gateways(&self, leaf: Leaf) -> String {
        format!("{}/v1/+/{}", self.0, leaf.as_str())
    }

    /// Takes a topic apart; `None` when it is not one of ours.
    #[must_use]
    pub fn parse(&self, topic: &str) -> Option<(Eui, Leaf)> {
        let rest = topic.strip_prefix(&self.0)?.strip_prefix("/v1/")?;
        let (eui, leaf) = rest.split_once('/')?;
        let leaf = Leaf::ALL.into_iter().find(|l| l.as_str() == leaf)?;
        Some((Eui::from_canonical(eui).ok()?, leaf))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);

    #[test]
    fn a_topic_is_taken_apart_as_it_was_made() {
        for prefix in ["keros", "site/a"] {
            let prefix: Prefix = prefix.parse().unwrap();
            for leaf in Leaf::ALL {
                assert_eq!(prefix.parse(&prefix.topic(EUI, leaf)), Some((EUI, leaf)));
            }
        }
        assert_eq!(Prefix::default().topic(EUI, Leaf::Down), "keros/v1/7076FF0056070123/down");
    }

    #[test]
    fn foreign_topics_are_not_ours() {
        let prefix = Prefix::default();
        for topic in [
            "keros/v2/7076FF0056070123/down",
            "keros/v1/7076ff0056070123/down",
            "keros/v1/7076FF0056070123/down/x",
            "kerosx/v1/7076FF0056070123/down",
            "keros/v1//down",
            "",
        ] {
            assert_eq!(prefix.parse(topic), None, "{topic}");
        }
    }

    #[test]
    fn wildcards_are_no_prefix() {
        for text in ["", "a/", "/a", "a//b", "a/+", "#", "$SYS", " a", "a\0"] {
            assert!(text.parse::<Prefix>().is_err(), "{text:?}");
        }
    }
}

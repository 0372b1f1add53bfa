//! Which of many gateways a Magic Link declares. A link may have 50,000 patterns and a group 100,000 gateways: each pair is not compared.

use std::collections::{BTreeSet, HashSet};

use keros_protocol::Eui;
use keros_protocol::magic_link::GatewayPattern;

/// The patterns, ready for many questions.
#[derive(Debug)]
pub(crate) struct Declared {
    beginnings: HashSet<String>,
    lengths: BTreeSet<usize>,
}

impl Declared {
    /// The gateways that these patterns declare.
    pub(crate) fn by(patterns: &[GatewayPattern]) -> Self {
        let beginnings: HashSet<String> =
            patterns.iter().map(|pattern| pattern.to_string().trim_end_matches('*').to_owned()).collect();
        let lengths = beginnings.iter().map(String::len).collect();
        Self { beginnings, lengths }
    }

    /// Whether this gateway is among them.
    pub(crate) fn contains(&self, eui: Eui) -> bool {
        let eui = eui.to_string();
        self.lengths
            .iter()
            .any(|length| eui.get(..*length).is_some_and(|text| self.beginnings.contains(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_the_same_as_each_pattern_by_itself() {
        let patterns: Vec<GatewayPattern> = ["7076FF0056070123", "7276FF*", "AA*", "7276FF12*"]
            .into_iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let declared = Declared::by(&patterns);
        for eui in [
            0x7076_FF00_5607_0123,
            0x7076_FF00_5607_0124,
            0x7276_FF12_0000_0000,
            0x7276_FE12_0000_0000,
            0xAA00_0000_0000_0000,
            0x00AA_0000_0000_0000,
        ] {
            let eui = Eui::from_u64(eui);
            let expected = patterns.iter().any(|pattern| pattern.declares(eui));
            assert_eq!(declared.contains(eui), expected, "{eui}");
        }
    }
}

//! The stages of a roll-out: how many gateways get it first, and when the next ones do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Stages that an order may name; the rest of the gateways is one more.
pub(crate) const MAX_STAGES: usize = 10;

/// Between two stages, at most: 7 days.
pub(crate) const MAX_WAIT_S: u32 = 7 * 86_400;

/// How many gateways are in a stage. As text: `1` or `5%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// So many.
    Count(u32),
    /// Of all gateways of the update, rounded up.
    Percent(u8),
}

/// A roll-out in stages. A field that is not stated has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rollout {
    /// The first stages, 1 to 10, each a number of gateways (`1`) or a part of all (`5%`); the rest follows as the last one. One
    /// gateway, then 5 %, then the rest by default.
    #[schemars(with = "Vec<String>")]
    pub(crate) stages: Vec<Stage>,
    /// The roll-out stops by itself when more than this part of a stage did not succeed, percent, 0 to 100; 10 by default. A gateway
    /// that is silent, or at it, for longer than its command may take counts as one that did not.
    pub(crate) max_failed_percent: u8,
    /// The next stage may begin when this part of the stage has ended, percent, 1 to 100; 100 by default.
    pub(crate) enough_percent: u8,
    /// And not before this time since the stage began, seconds; 0 by default, 7 days at most.
    pub(crate) min_wait_s: u32,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            stages: vec![Stage::Count(1), Stage::Percent(5)],
            max_failed_percent: 10,
            enough_percent: 100,
            min_wait_s: 0,
        }
    }
}

impl Rollout {
    /// Says what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(1..=MAX_STAGES).contains(&self.stages.len()) {
            return Err(format!(
                "rollout.stages names 1 to {MAX_STAGES} stages, the rest follows as one more"
            ));
        }
        if self.max_failed_percent > 100 || !(1..=100).contains(&self.enough_percent) {
            return Err(
                "rollout.max_failed_percent is 0 to 100, rollout.enough_percent is 1 to 100".to_owned()
            );
        }
        if self.min_wait_s > MAX_WAIT_S {
            return Err(format!("rollout.min_wait_s is {MAX_WAIT_S} seconds (7 days) at most"));
        }
        Ok(())
    }

    /// How many gateways of `total` are in each stage; none is empty, and together they are all.
    pub(crate) fn sizes(&self, total: usize) -> Vec<usize> {
        let mut left = total;
        let mut sizes = Vec::with_capacity(self.stages.len() + 1);
        for stage in &self.stages {
            let wanted = match *stage {
                Stage::Count(count) => count as usize,
                Stage::Percent(percent) => (total * usize::from(percent)).div_ceil(100),
            };
            sizes.push(wanted.min(left));
            left -= wanted.min(left);
        }
        sizes.push(left);
        sizes.retain(|size| *size > 0);
        sizes
    }
}

/// Why a text names no stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no stage: write a number of gateways from 1, like `1`, or a part of all from 1% to 100%, like `5%`"
)]
pub(crate) struct NoStage(String);

impl FromStr for Stage {
    type Err = NoStage;

    fn from_str(text: &str) -> Result<Self, NoStage> {
        let text = text.trim();
        let stage = match text.strip_suffix('%') {
            Some(percent) => percent
                .trim_end()
                .parse()
                .ok()
                .filter(|percent| (1..=100).contains(percent))
                .map(Self::Percent),
            None => text.parse().ok().filter(|count| *count > 0).map(Self::Count),
        };
        stage.ok_or_else(|| NoStage(keros_protocol::limits::shorten(text, 32)))
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(stages: &[&str]) -> Rollout {
        Rollout { stages: stages.iter().map(|text| text.parse().unwrap()).collect(), ..Rollout::default() }
    }

    #[test]
    fn stages_take_their_part_and_the_rest_follows() {
        for (stages, total, sizes) in [
            (&["1", "5%"][..], 500, &[1, 25, 474][..]),
            (&["1", "5%"], 1, &[1]),
            (&["1", "5%"], 2, &[1, 1]),
            (&["1", "5%"], 10, &[1, 1, 8]),
            (&["10"], 4, &[4]),
            (&["50%", "50%"], 5, &[3, 2]),
            (&["100%", "1"], 5, &[5]),
        ] {
            assert_eq!(rollout(stages).sizes(total), sizes, "{stages:?} of {total}");
        }
    }

    #[test]
    fn every_gateway_is_in_one_stage() {
        for total in 1..300 {
            let sizes = rollout(&["1", "5%", "33%", "7"]).sizes(total);
            assert!(!sizes.contains(&0));
            assert_eq!(sizes.iter().sum::<usize>(), total);
        }
    }

    #[test]
    fn stages_are_read_and_written() {
        for text in ["1", "4000000000", "1%", "100%"] {
            assert_eq!(text.parse::<Stage>().unwrap().to_string(), text);
        }
        for text in ["", "0", "0%", "101%", "-1", "1.5%", "%", "x", "4294967296"] {
            assert!(text.parse::<Stage>().unwrap_err().to_string().contains("`5%`"), "{text}");
        }
    }

    #[test]
    fn a_roll_out_out_of_bounds_is_refused() {
        Rollout::default().check().unwrap();
        let wrong = [
            Rollout { stages: Vec::new(), ..Rollout::default() },
            Rollout { stages: vec![Stage::Count(1); MAX_STAGES + 1], ..Rollout::default() },
            Rollout { max_failed_percent: 101, ..Rollout::default() },
            Rollout { enough_percent: 0, ..Rollout::default() },
            Rollout { enough_percent: 101, ..Rollout::default() },
            Rollout { min_wait_s: MAX_WAIT_S + 1, ..Rollout::default() },
        ];
        for rollout in wrong {
            rollout.check().unwrap_err();
        }
    }
}

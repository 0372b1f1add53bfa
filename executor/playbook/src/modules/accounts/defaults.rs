//! `/etc/login.defs` and `/etc/default/useradd`: ranges of numbers, ages of passwords, modes of homes.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::path::Path;

use super::super::Failure;
use crate::system::System;

const MAX_BYTES: u64 = 1024 * 1024;

/// What the files say; empty where there are none.
pub(super) struct Defaults(HashMap<String, String>);

/// Numbers of users, or of groups.
#[derive(Clone, Copy)]
pub(super) enum Numbers {
    Users,
    Groups,
}

impl Numbers {
    const fn key(self) -> &'static str {
        match self {
            Self::Users => "UID",
            Self::Groups => "GID",
        }
    }
}

impl Defaults {
    pub(super) fn read(system: &mut dyn System) -> Result<Self, Failure> {
        let mut values = HashMap::new();
        for path in ["/etc/login.defs", "/etc/default/useradd"].map(Path::new) {
            if system.metadata(path)?.is_none() {
                continue;
            }
            let bytes = system.read(path, MAX_BYTES)?;
            values.extend(String::from_utf8_lossy(&bytes).lines().filter_map(parse_line));
        }
        Ok(Self(values))
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A number; `0…` is octal.
    pub(super) fn number(&self, key: &str) -> Option<u32> {
        let text = self.text(key)?;
        match text.strip_prefix('0').filter(|digits| !digits.is_empty()) {
            Some(digits) => u32::from_str_radix(digits, 8).ok(),
            None => text.parse().ok(),
        }
    }

    fn range(&self, numbers: Numbers, system: bool) -> RangeInclusive<u32> {
        let key = numbers.key();
        let first = self.number(&format!("{key}_MIN")).unwrap_or(1000);
        if system {
            let last = self.number(&format!("SYS_{key}_MAX")).unwrap_or_else(|| first.saturating_sub(1));
            return self.number(&format!("SYS_{key}_MIN")).unwrap_or(101)..=last;
        }
        first..=self.number(&format!("{key}_MAX")).unwrap_or(60_000)
    }

    /// A free number: the preferred one where it fits; else the next above those in use, or below them for the system's own.
    pub(super) fn free(
        &self,
        numbers: Numbers,
        system: bool,
        used: &BTreeSet<u32>,
        preferred: Option<u32>,
    ) -> Result<u32, Failure> {
        let range = self.range(numbers, system);
        let is_free = |id: &u32| !used.contains(id);
        if let Some(id) = preferred.filter(|id| range.contains(id) && is_free(id)) {
            return Ok(id);
        }
        let found = if range.is_empty() {
            None
        } else if system {
            let lowest = used.range(range.clone()).next().copied();
            let below = lowest.map_or(range.clone(), |lowest| *range.start()..=lowest);
            below.rev().find(is_free).or_else(|| range.clone().rev().find(is_free))
        } else {
            let highest = used.range(range.clone()).next_back().copied();
            let above = highest.map_or(range.clone(), |highest| highest..=*range.end());
            above.clone().find(is_free).or_else(|| range.clone().find(is_free))
        };
        let (key, first, last) = (numbers.key(), range.start(), range.end());
        found.ok_or_else(|| format!("no {key} between {first} and {last} (/etc/login.defs) is free").into())
    }
}

/// `KEY VALUE` or `KEY=VALUE`.
fn parse_line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (key, value) = line.split_once(|c: char| c == '=' || c.is_whitespace())?;
    let is_setting = !key.is_empty() && !key.starts_with('#');
    is_setting.then(|| (key.to_owned(), value.trim().trim_matches('"').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(text: &str) -> Defaults {
        Defaults(text.lines().filter_map(parse_line).collect())
    }

    #[test]
    fn numbers_are_chosen_in_the_ranges_of_the_machine() {
        let debian = defaults("# UID_MIN 5\nUID_MIN\t 1000\nUID_MAX 60000\n");
        let free = |used: &[u32], system, preferred| {
            let used = used.iter().copied().collect();
            debian.free(Numbers::Users, system, &used, preferred).unwrap()
        };
        assert_eq!(free(&[0, 65534], false, None), 1000);
        assert_eq!(free(&[1000, 1005, 65534], false, None), 1006);
        assert_eq!(free(&[1000, 60_000], false, None), 1001);
        assert_eq!(free(&[0, 33], true, None), 999);
        assert_eq!(free(&[997, 999], true, None), 996);
        assert_eq!(free(&[101, 999], true, None), 998);
        assert_eq!((free(&[7], false, Some(1500)), free(&[7], false, Some(7))), (1500, 1000));
        let narrow = defaults("GID_MIN 5\nGID_MAX 6\n");
        let error = narrow.free(Numbers::Groups, false, &[5, 6].into(), None).unwrap_err();
        assert!(error.message.contains("no GID between 5 and 6"), "{}", error.message);
        let wrong = defaults("GID_MIN 6\nGID_MAX 5\n");
        assert!(wrong.free(Numbers::Groups, false, &BTreeSet::new(), None).is_err());
    }

    #[test]
    fn both_ways_to_write_a_setting_are_read() {
        let both = defaults("UMASK 022\nHOME_MODE\t0750\nSHELL=/bin/ash\n# GROUP=5\nEMPTY=\n");
        assert_eq!((both.number("UMASK"), both.number("HOME_MODE")), (Some(0o22), Some(0o750)));
        assert_eq!(
            (both.text("SHELL"), both.text("GROUP"), both.text("EMPTY")),
            (Some("/bin/ash"), None, None)
        );
    }
}

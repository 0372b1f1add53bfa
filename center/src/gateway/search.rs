//! The keys by which lists are searched and sorted. They are made here and not by the database, so that every database sorts alike, whatever
//! its language is set to: they hold only hexadecimal and decimal digits.

use std::fmt::Write as _;

use keros_protocol::{Eui, KerosVersion};

/// Bytes of a name that it is sorted by; names that are alike for so long are sorted by EUI.
const SORTED_BYTES: usize = 48;

/// What a name is sorted by: its lower-case letters, in hexadecimal.
pub(crate) fn name_key(name: &str) -> String {
    let mut key = String::with_capacity(2 * SORTED_BYTES);
    for byte in name.to_lowercase().bytes().take(SORTED_BYTES) {
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// What a gateway is searched in: name, description and EUI in lower case.
pub(crate) fn search_text(eui: Eui, shown_name: &str, description: &str) -> String {
    format!("{eui} {shown_name} {description}").to_lowercase()
}

/// A pattern for LIKE with the escape sign `!`: an EUI in any spelling, or a part of a name or description.
pub(crate) fn search_pattern(wanted: &str) -> String {
    let wanted = wanted.trim().to_lowercase();
    // Parts of EUIs as people write them: 7076-FF00, 70:76:ff. What could be a version (6.3.1) or a date is taken as it is.
    let bare: String = wanted.chars().filter(|c| !":-. ".contains(*c)).collect();
    let is_eui = (4..=16).contains(&bare.len()) && bare.chars().all(|c| c.is_ascii_hexdigit());
    let is_spelt_otherwise =
        is_eui && bare != wanted && wanted.split([':', '-', '.', ' ']).all(|part| part.len() % 2 == 0);
    let wanted = if is_spelt_otherwise { bare } else { wanted };
    let mut pattern = "%".to_owned();
    for c in wanted.chars() {
        if "%_!".contains(c) {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern + "%"
}

/// What a version is sorted and compared by: its three numbers, ten digits each.
pub(crate) fn version_key(version: &KerosVersion) -> String {
    let (major, minor, patch) = version.numbers();
    numbers_key([major, minor, patch])
}

/// The same of three numbers.
pub(super) fn numbers_key([major, minor, patch]: [u32; 3]) -> String {
    format!("{major:010}{minor:010}{patch:010}")
}

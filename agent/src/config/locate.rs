//! Finds the line of a key in a YAML text. Values read by `serde_yaml` have no positions, but its errors have: the text
//! is read once more with a reader that fails on purpose at the key that is looked for.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The line, from 1, of the key at the end of `path`; `None` when there is no such key.
pub(super) fn line_of(text: &str, path: &[&str]) -> Option<usize> {
    let found = Cell::new(false);
    let level = Level { path, found: &found };
    let error = level.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    // Other errors, e.g. a text where the path wants a mapping, are not at the key.
    found.get().then(|| error.location().map(|location| location.line())).flatten()
}

/// A mapping, in which the first key of the path is looked for.
struct Level<'a> {
    path: &'a [&'a str],
    found: &'a Cell<bool>,
}

/// A key: an error when it is the one at the end of the path, else whether the path goes on below it.
struct Key<'a> {
    path: &'a [&'a str],
    found: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(goes_on) = map.next_key_seed(Key { path: self.path, found: self.found })? {
            if goes_on {
                let path = self.path.get(1..).unwrap_or_default();
                map.next_value_seed(Level { path, found: self.found })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        match self.path {
            [last] if *last == name => {
                self.found.set(true);
                Err(E::custom("here"))
            }
            [first, ..] => Ok(*first == name),
            [] => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# host: a comment
state_folder: \"host: in a text\"
broker:
    tls: {ca_file: a,
          client_key_file: b}

    'host': x
host: y
";

    #[test]
    fn a_key_is_found_at_its_own_level() {
        for (path, line) in [
            (&["state_folder"][..], 2),
            (&["broker"], 3),
            (&["broker", "tls", "ca_file"], 4),
            (&["broker", "tls", "client_key_file"], 5),
            (&["broker", "host"], 7),
            (&["host"], 8),
        ] {
            assert_eq!(line_of(TEXT, path), Some(line), "{path:?}");
        }
        assert_eq!(line_of(TEXT, &["nothing"]), None);
        assert_eq!(line_of(TEXT, &["broker", "nothing"]), None);
        assert_eq!(line_of(TEXT, &["state_folder", "nothing"]), None);
    }
}

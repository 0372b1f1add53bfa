//! The names of a bundle's files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A file's path in the bundle: relative, `/` between its parts, none of them `.` or `..`. It cannot leave the bundle's folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Title(String);

/// Why a text is no file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{title:?} cannot name a file of the bundle: {what}")]
pub struct TitleError {
    title: String,
    what: &'static str,
}

impl Title {
    /// The longest one, bytes: half of what Linux takes, so that the bundle's own folder has room before it.
    pub const MAX_BYTES: usize = 1024;
    /// The longest part, bytes: what file systems take.
    pub const MAX_PART_BYTES: usize = 255;
    /// Most parts.
    pub const MAX_PARTS: usize = 16;

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The paths of the folders that it is in, outermost first.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(end, _)| &self.0[..end])
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > Title::MAX_BYTES {
        return Err("it has more than 1024 bytes");
    }
    if text.starts_with('/') {
        return Err("it is absolute");
    }
    if text.chars().any(|c| c.is_control() || c == '\\') {
        return Err("it has a control character or a backslash");
    }
    if text.split('/').count() > Title::MAX_PARTS {
        return Err("it has more than 16 parts");
    }
    for part in text.split('/') {
        match part {
            "" => return Err("a part of it is empty"),
            "." | ".." => return Err("a part of it is `.` or `..`"),
            _ if part.len() > Title::MAX_PART_BYTES => return Err("a part of it has more than 255 bytes"),
            _ => {}
        }
    }
    Ok(())
}

impl FromStr for Title {
    type Err = TitleError;

    fn from_str(text: &str) -> Result<Self, TitleError> {
        match check(text) {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(what) => Err(TitleError { title: crate::limits::shorten(text, 128), what }),
        }
    }
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Title {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_stay_in_the_bundle() {
        for text in ["site.yml", "roles/base/tasks/main.yml", "a b", "..a", ".hidden", "é"] {
            assert_eq!(text.parse::<Title>().map(|title| title.to_string()), Ok(text.to_owned()));
        }
        let (long, deep) = ("x".repeat(256), "a/".repeat(16) + "a");
        for text in
            ["", "/etc/passwd", "..", "a/../b", "./a", "a//b", "a/", "a\0b", "a\nb", "a\\b", &long, &deep]
        {
            assert!(text.parse::<Title>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn folders_are_named_from_the_outermost() {
        let title: Title = "a/b/c".parse().unwrap();
        assert_eq!(title.folders().collect::<Vec<_>>(), ["a", "a/b"]);
    }
}

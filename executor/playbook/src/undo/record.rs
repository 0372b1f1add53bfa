//! The record of a backup: JSON lines with a checksum as their first member. What derives `Serialize` here lies on the disk.
//!
//! A field may be added; a step that an older version does not know is named among what remains, never guessed at.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::system::Manager;

/// Version of the record.
pub(super) const VERSION: u32 = 1;
/// The longest line: all packages of a full Debian, with versions, take less.
pub(super) const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;
/// What comes before the checksum, and after it.
const BEFORE: &[u8] = b"{\"sum\":\"";
const AFTER: &[u8] = b"\",";
/// Hex digits of the checksum: 64 bits of SHA-256.
const DIGITS: usize = 16;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum Step {
    /// The record begins.
    Begun { version: u32 },
    /// Something at a path is about to be changed for the first time; `None`: nothing was there.
    Path { path: Name, was: Option<Was> },
    /// All that is below this path when it is undone, and was not kept, is to be removed.
    Tree { path: Name },
    /// A program runs whose effects nobody knows.
    Program { number: u32, task: String },
    /// That program only looked.
    OnlyLooked { number: u32 },
    /// A service is about to be started, stopped or the like.
    Service(Service),
    /// Packages are about to change. Paths that are kept after this are kept anew: they are undone before the packages are.
    Packages(Packages),
    /// All that came behind this many [`Step::Packages`] is undone already, and those themselves where `packages` says so.
    Undone { stage: usize, packages: bool, remains: Vec<String> },
}

/// A path, as text where it is text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Spelling", into = "Spelling")]
pub(crate) struct Name(pub(crate) PathBuf);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Spelling {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<Spelling> for Name {
    fn from(spelling: Spelling) -> Self {
        Self(match spelling {
            Spelling::Text(text) => text.into(),
            Spelling::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}

impl From<Name> for Spelling {
    fn from(name: Name) -> Self {
        match name.0.into_os_string().into_string() {
            Ok(text) => Self::Text(text),
            Err(other) => Self::Bytes(other.as_bytes().to_vec()),
        }
    }
}

impl Name {
    /// It can be a path below a root on which no step leads up again.
    fn is_sound(&self) -> bool {
        let mut parts = self.0.components();
        parts.next() == Some(Component::RootDir)
            && parts.all(|part| matches!(part, Component::Normal(_)))
            && !self.0.as_os_str().as_bytes().contains(&0)
    }
}

/// What was at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Was {
    #[serde(flatten)]
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Extended attributes, access lists among them, by name; values as hex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attributes: Vec<(Name, String)>,
}

/// What sort of thing it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A file; without content where only its owner or mode was about to change.
    File {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Kept>,
        /// Where the file had further names: device and inode.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inode: Option<(u64, u64)>,
    },
    Directory,
    Link {
        target: Name,
    },
    /// A device, pipe or socket.
    Special {
        file_type: u32,
        device: u64,
        /// As that of a file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inode: Option<(u64, u64)>,
    },
}

impl Kind {
    /// The inode of what had further names.
    pub(crate) const fn inode(&self) -> Option<(u64, u64)> {
        match self {
            Self::File { inode, .. } | Self::Special { inode, .. } => *inode,
            Self::Directory | Self::Link { .. } => None,
        }
    }
}

/// Content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Its digest, the name of the blob.
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    pub(crate) mtime_s: i64,
    pub(crate) mtime_ns: i64,
}

/// A service before a job touched it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) manager: Manager,
    pub(crate) name: String,
    /// In the manager's own word; empty where it has none.
    pub(crate) enabled: String,
    /// `None`: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) active: Option<bool>,
}

/// dpkg's packages before some of them changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Packages {
    /// All that dpkg knew.
    pub(crate) before: Vec<Package>,
    /// The archives of those that were about to change.
    pub(crate) kept: Vec<Archive>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// What the user wants of it, as dpkg says: `install`, `hold`, …
    pub(crate) want: String,
    /// What it is, as dpkg says: `installed`, `config-files`, …
    pub(crate) status: String,
}

/// A package in a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Archive {
    pub(crate) name: String,
    pub(crate) sha256: String,
    /// Paths of its configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) configuration: Vec<String>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) missing: Option<String>,
}

/// The line of a step, with its line feed.
pub(super) fn encode(step: &Step) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_vec(step)?;
    let sum = checksum(&json);
    let members = json.get(1..).unwrap_or_default();
    Ok([BEFORE, sum.as_bytes(), AFTER, members, b"\n"].concat())
}

/// The step in a line without its line feed; `None`: it is not as it was written, or not of this version.
pub(super) fn decode(line: &[u8]) -> Option<Step> {
    let rest = line.strip_prefix(BEFORE)?;
    let (sum, rest) = rest.split_at_checked(DIGITS)?;
    let json = [b"{", rest.strip_prefix(AFTER)?].concat();
    if checksum(&json).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(&json).ok().filter(is_sound)
}

/// Makes the checksums of a record's lines right, so that what a fuzzer changed is read and not refused for that alone.
#[must_use]
pub fn with_sums(record: &[u8]) -> Vec<u8> {
    let right = |line: &[u8]| {
        let rest = line.strip_prefix(BEFORE).and_then(|rest| rest.get(DIGITS..)?.strip_prefix(AFTER));
        let members = rest.or_else(|| line.strip_prefix(b"{"))?;
        let sum = checksum(&[b"{", members].concat());
        Some([BEFORE, sum.as_bytes(), AFTER, members].concat())
    };
    let lines = record.split(|byte| *byte == b'\n').map(|line| right(line).unwrap_or_else(|| line.to_vec()));
    lines.collect::<Vec<_>>().join(&b'\n')
}

fn is_sound(step: &Step) -> bool {
    match step {
        Step::Path { path, was } => {
            let digest = was.as_ref().and_then(|was| match &was.kind {
                Kind::File { content, .. } => content.as_ref(),
                _ => None,
            });
            path.is_sound() && digest.is_none_or(|kept| is_digest(&kept.sha256))
        }
        Step::Tree { path } => path.is_sound(),
        Step::Packages(packages) => {
            packages.kept.iter().all(|kept| kept.missing.is_some() || is_digest(&kept.sha256))
        }
        Step::Begun { .. }
        | Step::Program { .. }
        | Step::OnlyLooked { .. }
        | Step::Service(_)
        | Step::Undone { .. } => true,
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn checksum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..DIGITS / 2])
}

/// Bytes as hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hex as bytes; `None`: it is none.
pub(crate) fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Whether a path may stand in a record.
pub(super) fn can_name(path: &Path) -> bool {
    Name(path.to_owned()).is_sound()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: &Step) -> Vec<u8> {
        encode(step).unwrap()
    }

    #[test]
    fn the_form_on_the_disk_is_frozen() {
        let kind = Kind::Link { target: Name("x".into()) };
        let was = Was { kind, mode: 0o777, uid: 1, gid: 2, attributes: Vec::new() };
        let step = Step::Path { path: Name("/etc/l".into()), was: Some(was) };
        let text = String::from_utf8(line(&step)).unwrap();
        let (_, rest) = text.split_at(BEFORE.len() + DIGITS + AFTER.len());
        assert_eq!(
            rest,
            "\"step\":\"path\",\"path\":\"/etc/l\",\"was\":{\"kind\":\"link\",\"target\":\"x\",\"mode\":511,\
             \"uid\":1,\"gid\":2}}\n"
        );
        assert_eq!(decode(text.trim_end().as_bytes()), Some(step));
    }

    #[test]
    fn a_path_that_is_no_text_comes_back_as_it_was() {
        let path = Name(OsString::from_vec(b"/a/\xff".to_vec()).into());
        let step = Step::Tree { path };
        assert_eq!(decode(line(&step).trim_ascii_end()), Some(step));
    }

    #[test]
    fn no_path_of_a_record_leads_up_or_is_relative() {
        for path in ["/a/../b", "a", "", "/.."] {
            let step = Step::Tree { path: Name(path.into()) };
            assert_eq!(decode(line(&step).trim_ascii_end()), None, "{path}");
        }
    }

    #[test]
    fn a_line_with_one_wrong_bit_is_no_step() {
        let whole = line(&Step::Program { number: 1, task: "task 1 \"x\" (shell)".to_owned() });
        let whole = whole.trim_ascii_end();
        assert!(decode(whole).is_some());
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.to_vec();
                damaged[at] ^= 1 << bit;
                assert_eq!(decode(&damaged), None, "byte {at}, bit {bit}");
            }
        }
    }
}

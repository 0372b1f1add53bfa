//! An OCI image layout (OCI image specification 1.1) in a folder or in a plain tar: its blobs by digest. Nothing is unpacked,
//! and no name in it is used for a path.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Take};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use keros_protocol::magic_link::Digest;
use keros_protocol::text::printable;
use tar::EntryType;

/// Entries of a tar: a blob for each file of a Magic Link and some room for what else is in the layout.
const MAX_ENTRIES: usize = 10_000;

const BLOBS: &str = "blobs/sha256/";

/// Where blobs are read.
#[derive(Debug)]
pub(super) enum Layout {
    Folder(PathBuf),
    Tar { file: File, blobs: BTreeMap<Digest, Place> },
}

/// A blob's place in a tar, bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    begin: u64,
    length: u64,
}

/// A blob to be read.
pub(super) struct Blob {
    pub(super) bytes: u64,
    pub(super) reader: Take<File>,
}

/// Why blobs cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayoutError {
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    #[error("it is no exported Magic Link: {0}")]
    NotALayout(String),
    #[error("it is not whole: {0}")]
    Cut(String),
}

impl Layout {
    /// Finds the blobs of a folder or tar.
    pub(super) fn open(path: &Path) -> Result<Self, LayoutError> {
        let metadata = path.metadata().map_err(LayoutError::Read)?;
        if metadata.is_dir() {
            if !path.join(BLOBS).is_dir() {
                let what = format!("there is no folder {BLOBS} in it");
                return Err(LayoutError::NotALayout(what));
            }
            return Ok(Self::Folder(path.to_owned()));
        }
        if !metadata.is_file() {
            let what = "it is neither a folder nor a file".to_owned();
            return Err(LayoutError::NotALayout(what));
        }
        let file = File::open(path).map_err(LayoutError::Read)?;
        let blobs = index(&file, metadata.len())?;
        Ok(Self::Tar { file, blobs })
    }

    /// A blob; `None` when it is not there.
    pub(super) fn blob(&self, digest: Digest) -> Result<Option<Blob>, io::Error> {
        let (file, bytes) = match self {
            Self::Folder(folder) => match open_file(&folder.join(BLOBS).join(digest.hex())) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => opened?,
            },
            Self::Tar { file, blobs } => {
                let Some(place) = blobs.get(&digest) else { return Ok(None) };
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(place.begin))?;
                (file, place.length)
            }
        };
        Ok(Some(Blob { bytes, reader: file.take(bytes) }))
    }
}

/// A plain file: a link or a pipe on a stick is not waited for and not followed.
fn open_file(path: &Path) -> io::Result<(File, u64)> {
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(|error| {
        match error.raw_os_error() {
            Some(number) if number == nix::errno::Errno::ELOOP as i32 => io::Error::other("it is a link"),
            _ => error,
        }
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    Ok((file, metadata.len()))
}

/// Where each blob is. Records before an entry (long names, times) are passed over: no blob needs one, and what is misread so
/// has not its digest.
fn index(file: &File, length: u64) -> Result<BTreeMap<Digest, Place>, LayoutError> {
    let wrong = LayoutError::NotALayout;
    let damaged = |entry: usize, error: io::Error| match entry {
        0 => wrong("it is no plain tar; if it is packed, unpack it first".to_owned()),
        _ => LayoutError::Cut(printable(&error.to_string())),
    };
    let mut archive = tar::Archive::new(file);
    let mut blobs = BTreeMap::new();
    let entries = archive.entries_with_seek().map_err(LayoutError::Read)?.raw(true);
    for (number, entry) in entries.enumerate() {
        let entry = entry.map_err(|error| damaged(number, error))?;
        if number >= MAX_ENTRIES {
            return Err(wrong(format!("it has more than {MAX_ENTRIES} entries")));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        check_entry(&name, entry.header().entry_type()).map_err(wrong)?;
        let place = Place { begin: entry.raw_file_position(), length: entry.size() };
        if place.begin.checked_add(place.length).is_none_or(|end| end > length) {
            return Err(LayoutError::Cut(format!("it ends in {}", printable(&name))));
        }
        let hex = name.strip_prefix("./").unwrap_or(&name).strip_prefix(BLOBS);
        if let Some(Ok(digest)) = hex.map(Digest::from_hex) {
            blobs.insert(digest, place);
        }
    }
    match blobs.is_empty() {
        true => Err(wrong(format!("there is no file below {BLOBS} in it"))),
        false => Ok(blobs),
    }
}

/// An archive that means to write elsewhere, or to link, was not made by us.
fn check_entry(name: &str, kind: EntryType) -> Result<(), String> {
    let named = printable(&keros_protocol::limits::shorten(name, 128));
    let is_record = matches!(
        kind,
        EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink
    );
    if name.starts_with('/') || name.split('/').any(|part| part == "..") {
        return Err(format!("the name {named:?} in it leaves its folder"));
    }
    match kind {
        EntryType::Regular | EntryType::Directory => Ok(()),
        _ if is_record => Ok(()),
        EntryType::Symlink | EntryType::Link => Err(format!("{named:?} in it is a link")),
        _ => Err(format!("{named:?} in it is neither a file nor a folder")),
    }
}

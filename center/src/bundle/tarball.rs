//! An OCI image layout as a plain tar. It is read in place: which bytes are which blob, nothing is unpacked, so that no name in it can
//! lead anywhere and no size can fill a disk. What it holds is believed only by digest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use keros_protocol::magic_link::Digest;
use tar::{Archive, Builder, EntryType, Header};

use super::layout::{INDEX_FILE, LAYOUT_FILE, MAX_INDEX_BYTES, head};
use super::{Blobs, Bundle, BundleError};

/// A hundred links of the greatest number of files.
const MAX_ENTRIES: usize = 100_000;

/// Finds the small files and the blobs of a layout.
///
/// # Errors
/// [`BundleError::NoLayout`], with what is wrong.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, Vec<u8>, Blobs), BundleError> {
    let no_layout = |what| BundleError::NoLayout { path: path.to_owned(), what };
    let mut file = File::open(path).map_err(|error| BundleError::Read(path.to_owned(), error))?;
    refuse_compressed(&mut file).map_err(no_layout)?;
    let places = places(&mut file).map_err(no_layout)?;
    let mut small = |name: &str| {
        let (begin, bytes) = *places.get(name).ok_or_else(|| no_layout(format!("{name} is not in it")))?;
        let mut content = Vec::new();
        file.seek(SeekFrom::Start(begin))
            .and_then(|_| (&mut file).take(bytes.min(MAX_INDEX_BYTES + 1)).read_to_end(&mut content))
            .map_err(|error| BundleError::Read(path.to_owned(), error))?;
        Ok::<_, BundleError>(content)
    };
    let (marker, index) = (small(LAYOUT_FILE)?, small(INDEX_FILE)?);
    let blob = |(name, place): (&String, &(u64, u64))| {
        let digest = Digest::from_hex(name.strip_prefix("blobs/sha256/")?).ok()?;
        Some((digest, *place))
    };
    let places = places.iter().filter_map(blob).collect();
    Ok((marker, index, Blobs::Tar { path: path.to_owned(), places }))
}

/// By the first bytes of gzip, bzip2, xz and zstd.
fn refuse_compressed(file: &mut File) -> Result<(), String> {
    let mut begin = [0; 4];
    let mut bytes = 0;
    while bytes < begin.len() {
        match file.read(&mut begin[bytes..]).map_err(|error| error.to_string())? {
            0 => break,
            count => bytes += count,
        }
    }
    let packed = match begin {
        [0x1F, 0x8B, ..] => Some(("gzip", "gunzip")),
        [b'B', b'Z', b'h', _] => Some(("bzip2", "bunzip2")),
        [0xFD, b'7', b'z', b'X'] => Some(("xz", "unxz")),
        [0x28, 0xB5, 0x2F, 0xFD] => Some(("zstd", "unzstd")),
        _ => None,
    };
    match packed {
        Some((kind, tool)) => {
            Err(format!("it is compressed by {kind}, a plain tar is read: unpack it with {tool}"))
        }
        None => file.rewind().map_err(|error| error.to_string()),
    }
}

/// Where each file of the tar begins, and how long it is.
fn places(file: &mut File) -> Result<BTreeMap<String, (u64, u64)>, String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let no_tar = |error: io::Error| format!("it is no tar, or a damaged one ({error})");
    let mut archive = Archive::new(BufReader::new(file));
    // Raw: extended headers come as entries and are passed over. No name of an image layout is long enough to need them.
    let entries = archive.entries_with_seek().map_err(no_tar)?.raw(true);
    let mut places = BTreeMap::new();
    for (number, entry) in entries.enumerate() {
        if number >= MAX_ENTRIES {
            return Err(format!("it has more than {MAX_ENTRIES} entries"));
        }
        let entry = entry.map_err(no_tar)?;
        let header = entry.header();
        let name = name_of(header)?;
        let bytes = header.entry_size().map_err(no_tar)?;
        let begin = entry.raw_file_position();
        if begin.checked_add(bytes).is_none_or(|end| end > length) {
            return Err(format!("it is cut off: {name:?} has {bytes} bytes and is not all there"));
        }
        match header.entry_type() {
            EntryType::Regular => {
                if places.insert(name.clone(), (begin, bytes)).is_some() {
                    return Err(format!("{name:?} is in it twice"));
                }
            }
            EntryType::Directory
            | EntryType::XHeader
            | EntryType::XGlobalHeader
            | EntryType::GNULongName
            | EntryType::GNULongLink => {}
            EntryType::Symlink | EntryType::Link => return Err(format!("{name:?} is a link")),
            EntryType::GNUSparse => {
                return Err(format!("{name:?} is a sparse file: make the tar without --sparse"));
            }
            _ => return Err(format!("{name:?} is neither a file nor a folder")),
        }
    }
    Ok(places)
}

/// The name without a leading `./`.
fn name_of(header: &Header) -> Result<String, String> {
    let bytes = header.path_bytes();
    let name = std::str::from_utf8(&bytes)
        .map_err(|_| format!("the name {:?} is not UTF-8", String::from_utf8_lossy(&bytes)))?;
    if name.starts_with('/') || name.split('/').any(|part| part == "..") {
        return Err(format!("the name {name:?} leads out of it"));
    }
    Ok(name.trim_start_matches("./").to_owned())
}

/// Writes one: no times, no owners, always in the same order.
pub(super) fn write(
    bundle: &Bundle,
    file: &mut File,
    writing: &dyn Fn(io::Error) -> BundleError,
) -> Result<(), BundleError> {
    let mut tar = Builder::new(io::BufWriter::new(file));
    for (name, content) in head(bundle) {
        append(&mut tar, &name, content.len() as u64, &mut content.as_slice()).map_err(writing)?;
    }
    for blob in bundle.link.manifest.blobs() {
        let name = format!("blobs/sha256/{}", blob.digest.hex());
        append(&mut tar, &name, blob.size, &mut bundle.blob(blob)?)
            .map_err(|error| bundle.failed(blob.digest, error, writing))?;
    }
    let mut out = tar.into_inner().map_err(writing)?;
    io::Write::flush(&mut out).map_err(writing)
}

fn append(
    tar: &mut Builder<impl io::Write>,
    name: &str,
    bytes: u64,
    content: &mut dyn Read,
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_path(PathBuf::from(name))?;
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    tar.append(&header, content)
}

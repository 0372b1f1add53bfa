//! Reads a tar archive. Long names and links come in records before their entry, of GNU or of pax; both are read to a bound.

use std::io::{self, Read};

use tar::{Archive, EntryType, PaxExtensions};

use super::check::Checker;
use super::entry::{Entry, Kind, Visit, refuse};
use super::stream::damaged;

/// Greatest record before an entry, bytes.
const MAX_RECORD_BYTES: u64 = 64 * 1024;

/// Shows all entries that are to be unpacked, and reads on to the end of the stream, where its checksum is.
pub(super) fn read(
    mut stream: Box<dyn Read>,
    checker: &mut Checker,
    visit: &mut Visit<'_>,
) -> Result<(), String> {
    let mut before = Records::default();
    let wrong = |error: io::Error| damaged(&error);
    for entry in Archive::new(&mut stream).entries().map_err(wrong)?.raw(true) {
        let mut entry = entry.map_err(wrong)?;
        if before.take(&mut entry)? {
            continue;
        }
        let described = std::mem::take(&mut before).describe(&entry)?;
        let Some(admitted) = checker.admit(&described)? else { continue };
        visit(&admitted, &mut entry)?;
        // An archive that was cut must be found out before anything is written.
        io::copy(&mut entry, &mut io::sink()).map_err(wrong)?;
    }
    io::copy(&mut stream, &mut io::sink()).map(drop).map_err(wrong)
}

/// What the records before an entry say of it.
#[derive(Default)]
struct Records {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Records {
    /// Takes a record in; false when the entry is none.
    fn take(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<bool, String> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.name = Some(without_nul(record(entry)?)),
            EntryType::GNULongLink => self.target = Some(without_nul(record(entry)?)),
            EntryType::XHeader => self.extend(&record(entry)?)?,
            EntryType::XGlobalHeader => {
                let mut all = Self::default();
                all.extend(&record(entry)?)?;
                if all.name.is_some() || all.target.is_some() || all.size.is_some() {
                    return Err("the archive gives one name or size to all of its entries".to_owned());
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes in a record of pax; what is not known there, such as times, is left out.
    fn extend(&mut self, record: &[u8]) -> Result<(), String> {
        for extension in PaxExtensions::new(record) {
            let extension = extension.map_err(|error| damaged(&error))?;
            let value = extension.value_bytes();
            match extension.key_bytes() {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or("the archive states a size that is no number")?);
                }
                key if key.starts_with(b"GNU.sparse.") => return Err(SPARSE.to_owned()),
                _ => {}
            }
        }
        Ok(())
    }

    fn describe(self, entry: &tar::Entry<'_, impl Read>) -> Result<Entry, String> {
        let header = entry.header();
        let name = self.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let refused = |why: &str| refuse(&name, why);
        let size = header.entry_size().map_err(|error| damaged(&error))?;
        if self.size.is_some_and(|stated| stated != size) {
            return Err(refused("its header and its record state different sizes"));
        }
        let target = || {
            let in_header = || header.link_name_bytes().map(|target| target.into_owned());
            self.target.clone().or_else(in_header).unwrap_or_default()
        };
        let kind = match header.entry_type() {
            // Archives from before the standard mark directories so.
            EntryType::Regular if name.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File { size },
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Link(target()),
            EntryType::Link => Kind::HardLink(target()),
            EntryType::GNUSparse => return Err(refused(SPARSE)),
            EntryType::Block | EntryType::Char => return Err(refused("a device is not unpacked")),
            EntryType::Fifo => return Err(refused("a named pipe is not unpacked")),
            other => {
                return Err(refused(&format!("its kind {:?} is not known", char::from(other.as_byte()))));
            }
        };
        let mode = header.mode().map_err(|error| damaged(&error))?;
        Ok(Entry { name, kind, mode })
    }
}

const SPARSE: &str = "a sparse file: pack it without --sparse";

fn record(entry: &mut tar::Entry<'_, impl Read>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = entry.take(MAX_RECORD_BYTES + 1).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    if read as u64 > MAX_RECORD_BYTES {
        return Err(format!(
            "the archive has a record of more than {MAX_RECORD_BYTES} bytes before an entry"
        ));
    }
    Ok(bytes)
}

/// GNU ends these with a NUL; one inside stays, and is refused.
fn without_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

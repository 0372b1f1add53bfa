//! Reads a zip archive by its directory, which stands at its end; what else lies in the file does not count.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::check::Checker;
use super::entry::{Entry, Kind, Visit, refuse};
use super::stream::damaged;
use crate::modules::Time;

/// The record at the end: its length without the comment, and the longest comment, bytes.
const END_BYTES: u64 = 22;
const MAX_COMMENT_BYTES: u64 = 65_535;
/// Lengths of the fixed parts of a directory entry and of the header before a content, bytes.
const CENTRAL_BYTES: usize = 46;
const LOCAL_BYTES: u64 = 30;
/// Where a link leads, bytes.
const MAX_TARGET_BYTES: u64 = 4096;

/// Shows all entries that are to be unpacked.
pub(super) fn read<R: Read + Seek>(
    archive: R,
    checker: &mut Checker,
    time: &Time,
    visit: &mut Visit<'_>,
) -> Result<(), String> {
    let mut archive = BufReader::new(archive);
    let (mut at, count) = find_directory(&mut archive).map_err(|error| damaged(&error))?;
    for _ in 0..count {
        time.check().map_err(|error| damaged(&error))?;
        let central = Central::read(&mut archive, at).map_err(|error| damaged(&error))?;
        at = central.next;
        central.check()?;
        let mut content = central.content(&mut archive).map_err(|error| damaged(&error))?;
        let described = central.describe(&mut content)?;
        let Some(admitted) = checker.admit(&described)? else { continue };
        visit(&admitted, &mut content)?;
        // What the visitor left: a wrong checksum must be found out before anything is written.
        io::copy(&mut content, &mut io::sink()).map_err(|error| refuse(&central.name, &error.to_string()))?;
    }
    Ok(())
}

/// Where the directory begins, and how many entries it has.
fn find_directory<R: Read + Seek>(archive: &mut R) -> io::Result<(u64, u16)> {
    let length = archive.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(END_BYTES + MAX_COMMENT_BYTES);
    archive.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    archive.take(END_BYTES + MAX_COMMENT_BYTES).read_to_end(&mut tail)?;
    // The last one whose comment ends with the file, so that a comment cannot pass for another end.
    let ends = tail.windows(END_BYTES as usize).enumerate().rev().find(|(at, end)| {
        end.starts_with(b"PK\x05\x06") && at + END_BYTES as usize + usize::from(u16_at(end, 20)) == tail.len()
    });
    let (_, end) = ends.ok_or_else(|| io::Error::other("the directory at its end is missing"))?;
    let (count, at) = (u16_at(end, 10), u32_at(end, 16));
    if count == u16::MAX || at == u32::MAX {
        return Err(io::Error::other("zip64 is not supported: use tar for so much"));
    }
    if u16_at(end, 8) != count {
        return Err(io::Error::other("it is a part of several"));
    }
    Ok((at.into(), count))
}

/// An entry of the directory.
struct Central {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u32,
    size: u32,
    /// The mode with the kind of file, where the archive was made on a Unix.
    unix_mode: Option<u32>,
    local_at: u64,
    next: u64,
}

impl Central {
    fn read<R: Read + Seek>(archive: &mut R, at: u64) -> io::Result<Self> {
        archive.seek(SeekFrom::Start(at))?;
        let mut fixed = [0_u8; CENTRAL_BYTES];
        archive.read_exact(&mut fixed)?;
        if !fixed.starts_with(b"PK\x01\x02") {
            return Err(io::Error::other("an entry of its directory is damaged"));
        }
        let mut name = vec![0; usize::from(u16_at(&fixed, 28))];
        archive.read_exact(&mut name)?;
        let rest = u64::from(u16_at(&fixed, 30)) + u64::from(u16_at(&fixed, 32));
        let made_on_unix = fixed[5] == 3;
        Ok(Self {
            next: at + (CENTRAL_BYTES + name.len()) as u64 + rest,
            name,
            flags: u16_at(&fixed, 8),
            method: u16_at(&fixed, 10),
            crc: u32_at(&fixed, 16),
            packed: u32_at(&fixed, 20),
            size: u32_at(&fixed, 24),
            unix_mode: made_on_unix.then(|| u32_at(&fixed, 38) >> 16).filter(|mode| *mode != 0),
            local_at: u32_at(&fixed, 42).into(),
        })
    }

    fn check(&self) -> Result<(), String> {
        let why = match (self.flags & 1, self.method) {
            (1, _) => "it is encrypted",
            (_, 0 | 8) if self.packed != u32::MAX && self.size != u32::MAX => return Ok(()),
            (_, 0 | 8) => "zip64 is not supported: use tar for so much",
            _ => "its compression is not known: only deflate is",
        };
        Err(refuse(&self.name, why))
    }

    /// Its content, decompressed; an error where it is not as the directory says.
    fn content<'a, R: Read + Seek>(&self, archive: &'a mut BufReader<R>) -> io::Result<Checked<'a>> {
        archive.seek(SeekFrom::Start(self.local_at))?;
        let mut local = [0_u8; LOCAL_BYTES as usize];
        archive.read_exact(&mut local)?;
        if !local.starts_with(b"PK\x03\x04") {
            return Err(io::Error::other("the header before a content is damaged"));
        }
        let names = u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
        archive.seek(SeekFrom::Start(self.local_at + LOCAL_BYTES + names))?;
        let packed = archive.take(self.packed.into());
        let stream: Box<dyn Read + 'a> =
            if self.method == 0 { Box::new(packed) } else { Box::new(DeflateDecoder::new(packed)) };
        Ok(Checked { stream, left: self.size.into(), crc: Crc::new(), expected: self.crc })
    }

    fn describe(&self, content: &mut Checked<'_>) -> Result<Entry, String> {
        let refused = |why: &str| refuse(&self.name, why);
        let kind = match self.unix_mode.unwrap_or(0) & 0o170_000 {
            _ if self.name.ends_with(b"/") => Kind::Directory,
            0 | 0o100_000 => Kind::File { size: self.size.into() },
            0o040_000 => Kind::Directory,
            0o120_000 => {
                let mut target = Vec::new();
                let read = content.take(MAX_TARGET_BYTES).read_to_end(&mut target);
                read.map_err(|error| refused(&error.to_string()))?;
                Kind::Link(target)
            }
            _ => return Err(refused("a device or pipe is not unpacked")),
        };
        let default = if matches!(kind, Kind::Directory) { 0o755 } else { 0o644 };
        let mode = self.unix_mode.filter(|mode| mode & 0o7777 != 0).unwrap_or(default);
        Ok(Entry { name: self.name.clone(), kind, mode })
    }
}

/// A content that is exactly as long, and has exactly the checksum, as the directory says.
struct Checked<'a> {
    stream: Box<dyn Read + 'a>,
    left: u64,
    crc: Crc,
    expected: u32,
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let length = self.stream.read(buffer)?;
        self.crc.update(&buffer[..length]);
        let wrong = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        match self.left.checked_sub(length as u64) {
            None => return wrong("it is longer than the archive says"),
            Some(left) => self.left = left,
        }
        match length {
            0 if self.left > 0 => wrong("it is shorter than the archive says"),
            0 if self.crc.sum() != self.expected => wrong("its checksum is wrong"),
            _ => Ok(length),
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

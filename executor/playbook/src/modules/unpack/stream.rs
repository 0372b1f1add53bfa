//! Tells what an archive is by its first bytes, and decompresses it in memory that has a bound.

use std::io::{self, BufRead as _, BufReader, Read, Seek};
use std::num::NonZeroUsize;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use xz4rust::{XzDecoder, XzReader};

use super::check::too_much;
use crate::modules::Time;
use crate::system::MAX_TREE_ENTRIES;

/// Greatest window of xz and zstd, bytes: what `xz -8` and `zstd -19` need, a seventh of a small gateway's memory.
const MAX_WINDOW_BYTES: usize = 32 * 1024 * 1024;
/// Headers, extension records and padding of one entry of a tar archive, bytes.
const MAX_HEADER_BYTES: u64 = 4096;
/// Where a tar archive's own magic bytes stand.
const TAR_MAGIC_AT: usize = 257;
const BUFFER_BYTES: usize = 32 * 1024;

/// An archive whose kind is known.
pub(super) enum Opened<R> {
    Tar(Box<dyn Read>),
    Zip(R),
}

/// What to say of an archive that cannot be read.
pub(super) fn damaged(error: &io::Error) -> String {
    format!("the archive cannot be read: {error}")
}

/// Looks at the first bytes and puts the right decompressor before them.
///
/// # Errors
/// When it is none of the known kinds, or asks for too much memory.
pub(super) fn open<R: Read + Seek + 'static>(
    mut archive: R,
    total_limit: u64,
    time: Time,
) -> Result<Opened<R>, String> {
    let mut magic = Vec::new();
    let read = archive.by_ref().take(512).read_to_end(&mut magic).and_then(|_| archive.rewind());
    read.map_err(|error| damaged(&error))?;
    let stream: Box<dyn Read> = match magic.as_slice() {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => return Ok(Opened::Zip(archive)),
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(BufReader::new(archive))),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(unxz(archive)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(Frames::new(archive).map_err(|error| damaged(&error))?),
        _ if magic.get(TAR_MAGIC_AT..TAR_MAGIC_AT + 5) == Some(b"ustar") => Box::new(archive),
        _ => return Err("this is no tar, tar.gz, tar.xz, tar.zst or zip archive".to_owned()),
    };
    let headers = MAX_HEADER_BYTES * MAX_TREE_ENTRIES as u64;
    Ok(Opened::Tar(Box::new(Budget { stream, left: total_limit.saturating_add(headers), total_limit, time })))
}

fn unxz<R: Read + 'static>(archive: R) -> XzReader<R> {
    // It grows to what the archive needs.
    let decoder = XzDecoder::in_heap_with_alloc_dict_size(64 * 1024, MAX_WINDOW_BYTES);
    let buffer = NonZeroUsize::new(BUFFER_BYTES).unwrap_or(NonZeroUsize::MIN);
    XzReader::new_with_buffer_size_and_decoder(archive, buffer, decoder)
}

/// Ends a stream from which more comes than may, or for which there is no time left.
struct Budget {
    stream: Box<dyn Read>,
    left: u64,
    total_limit: u64,
    time: Time,
}

impl Read for Budget {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.time.check()?;
        let length = self.stream.read(buffer)?;
        self.left = self
            .left
            .checked_sub(length as u64)
            .ok_or_else(|| io::Error::other(too_much(self.total_limit)))?;
        Ok(length)
    }
}

/// The frames of a zstd stream one after the other, with their checksums compared.
struct Frames<R> {
    archive: BufReader<R>,
    decoder: FrameDecoder,
}

impl<R: Read> Frames<R> {
    fn new(archive: R) -> io::Result<Self> {
        let mut frames = Self { archive: BufReader::new(archive), decoder: FrameDecoder::new() };
        frames.decoder.set_max_window_size(MAX_WINDOW_BYTES as u64);
        frames.begin()?;
        Ok(frames)
    }

    fn begin(&mut self) -> io::Result<()> {
        self.decoder.reset(&mut self.archive).map_err(io::Error::other)
    }

    fn end(&self) -> io::Result<()> {
        let stated = self.decoder.get_checksum_from_data();
        if stated.is_some() && stated != self.decoder.get_calculated_checksum() {
            return Err(io::Error::other("a checksum is wrong"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if !self.decoder.is_finished() {
                let blocks = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.archive, blocks).map_err(io::Error::other)?;
                continue;
            }
            self.end()?;
            if self.archive.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.begin()?;
        }
    }
}

//! Reads a backup's record: every line for itself, whatever became of the others.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::record::{MAX_LINE_BYTES, Step, decode};

/// The record in the backup's folder.
pub(super) const STEPS: &str = "steps.jsonl";
/// The folder of contents in it.
pub(super) const BLOBS: &str = "blobs";
/// The folder of further names of files that have several.
pub(super) const NAMES: &str = "names";
/// The longest record that is read, bytes.
const MAX_RECORD_BYTES: u64 = 256 * 1024 * 1024;
/// Damaged lines that are named; more say nothing more.
const MAX_DAMAGED: usize = 20;

/// What stands in a record.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    /// The steps, in their order.
    pub(super) steps: Vec<Step>,
    /// Numbers of lines that cannot be read, from 1.
    pub(super) damaged: Vec<u64>,
    /// Bytes up to the end of the last whole line; what follows was torn off by a power cut.
    pub(super) whole_bytes: u64,
}

impl Record {
    /// Reads the record of a folder; an empty one where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        match File::open(folder.join(STEPS)) {
            Ok(file) => Self::of(BufReader::new(file.take(MAX_RECORD_BYTES))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// # Errors
    /// When it cannot be read.
    pub(super) fn of(mut lines: impl io::BufRead) -> io::Result<Self> {
        let mut record = Self::default();
        let mut number = 0;
        let mut line = Vec::new();
        loop {
            number += 1;
            line.clear();
            let limit = MAX_LINE_BYTES as u64 + 1;
            let length = lines.by_ref().take(limit).read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok(record);
            }
            let ends = line.last() == Some(&b'\n');
            if !ends && length as u64 == limit {
                skip_line(&mut lines)?;
                record.is_damaged(number);
                continue;
            }
            if !ends {
                // All of it but its end: a step whose change may have been begun.
                record.steps.extend(decode(&line).or_else(|| decode(&line[..length - 1])));
                return Ok(record);
            }
            record.whole_bytes += length as u64;
            match decode(&line[..length - 1]) {
                Some(step) => record.steps.push(step),
                None => record.is_damaged(number),
            }
        }
    }

    fn is_damaged(&mut self, line: u64) {
        if self.damaged.len() < MAX_DAMAGED {
            self.damaged.push(line);
        }
    }
}

fn skip_line(lines: &mut impl io::BufRead) -> io::Result<()> {
    loop {
        let buffer = lines.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |at| at + 1);
        lines.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// Where a content lies.
pub(super) fn blob_path(folder: &Path, sha256: &str) -> PathBuf {
    folder.join(BLOBS).join(sha256)
}

/// Where a file with several names keeps one more.
pub(super) fn name_path(folder: &Path, (device, inode): (u64, u64)) -> PathBuf {
    folder.join(NAMES).join(format!("{device}-{inode}"))
}

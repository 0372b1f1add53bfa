//! Every command id that was ever started: the second record, beside the folders of jobs. It is append only; each record has
//! the same length and a checksum, so that what a power cut tore can be told from damage.
//!
//! `ID ISSUED SUM\n`: the id (36 characters), when the command was issued (12 digits, seconds), a checksum (16 hex digits).

use std::io::{self, ErrorKind};
use std::path::Path;

use keros_platform::{Disk, Open};
use keros_protocol::{CommandId, UnixSeconds};

use super::lines::checksum;
use crate::exit::Failure;

/// Ids that are kept; one command an hour for more than two years.
const MAX_RECORDS: usize = 20_000;
/// Of one record, with its line feed.
const RECORD_BYTES: usize = 36 + 1 + 12 + 1 + 16 + 1;
/// No record is longer: it is shortened when it has [`MAX_RECORDS`], before one is added.
const MAX_BYTES: u64 = 2 * (MAX_RECORDS * RECORD_BYTES) as u64;
/// The greatest time that has 12 digits.
const MAX_TIME: UnixSeconds = 999_999_999_999;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// The command.
    pub(crate) id: CommandId,
    /// When the center made it.
    pub(crate) issued_at_unix_s: UnixSeconds,
}

/// What the file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Started {
    /// What can be read.
    pub(crate) records: Vec<Record>,
    /// Something cannot be read: an id may be missing.
    pub(crate) damaged: bool,
}

impl Started {
    /// Makes an empty one where there is none.
    pub(crate) fn create_if_absent(disk: &dyn Disk, path: &Path) -> Result<(), Failure> {
        let made = match disk.open(path, Open::New).and_then(|file| file.sync_all()) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            // One that is there may lack a durable name as well. What is made next counts on it.
            _ => path.parent().map_or(Ok(()), |folder| disk.sync_folder(folder)),
        };
        made.map_err(Failure::io(format!("make the file {}", path.display())))
    }

    /// Reads it. A record that was cut off is not one: its job had not begun. An absent file is a damaged one, and
    /// so is one that is too long.
    pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Self, Failure> {
        let bytes = match disk.read(path, MAX_BYTES) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::FileTooLarge) => {
                return Ok(Self { damaged: true, ..Self::default() });
            }
            result => result.map_err(Failure::io(format!("read {}", path.display())))?,
        };
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Self {
        let mut started = Self::default();
        for piece in bytes.chunks(RECORD_BYTES) {
            match parse_record(piece) {
                Some(record) => started.records.push(record),
                None => started.damaged |= piece.len() == RECORD_BYTES && piece.iter().any(|byte| *byte != 0),
            }
        }
        started
    }

    /// Whether this id was started.
    pub(crate) fn contains(&self, id: CommandId) -> bool {
        self.records.iter().any(|record| record.id == id)
    }

    /// The newest time of issue that is recorded.
    pub(crate) fn newest_issued(&self) -> UnixSeconds {
        self.records.iter().map(|record| record.issued_at_unix_s).max().unwrap_or(0)
    }

    /// Adds a record and waits until it is on the disk. Cuts off what a power cut left of another one.
    pub(crate) fn append(disk: &dyn Disk, path: &Path, record: Record) -> Result<(), Failure> {
        let failure = || Failure::io(format!("write {}", path.display()));
        append(disk, path, &format_record(record)).map_err(failure())
    }

    /// When there are too many records: drops the older half, and gives the newest time of issue among the dropped.
    pub(crate) fn forget_older_half(&mut self) -> Option<UnixSeconds> {
        if self.records.len() < MAX_RECORDS {
            return None;
        }
        self.records.sort_by_key(|record| record.issued_at_unix_s);
        let kept = self.records.split_off(self.records.len() / 2);
        let forgotten = self.newest_issued();
        self.records = kept;
        Some(forgotten)
    }

    /// Replaces the file with these records.
    pub(crate) fn write(&self, disk: &dyn Disk, path: &Path) -> Result<(), Failure> {
        let text: String = self.records.iter().map(|record| format_record(*record)).collect();
        let written = disk.write_atomically(path, text.as_bytes());
        written.map_err(Failure::io(format!("write {}", path.display())))
    }
}

fn append(disk: &dyn Disk, path: &Path, line: &str) -> io::Result<()> {
    let mut file = disk.open(path, Open::Append)?;
    let length = file.length()?;
    let whole = length - length % RECORD_BYTES as u64;
    if whole != length {
        file.set_len(whole)?;
    }
    if let Err(error) = file.write_all(line.as_bytes()) {
        let _ = file.set_len(whole);
        return Err(error);
    }
    file.sync_data()
}

fn format_record(record: Record) -> String {
    let body = format!("{} {:012}", record.id, record.issued_at_unix_s.min(MAX_TIME));
    format!("{body} {}\n", checksum(body.as_bytes()))
}

fn parse_record(piece: &[u8]) -> Option<Record> {
    let line = std::str::from_utf8(piece).ok()?.strip_suffix('\n')?;
    let (body, sum) = line.rsplit_once(' ')?;
    let (id, issued) = body.split_once(' ')?;
    let record = Record { id: id.parse().ok()?, issued_at_unix_s: issued.parse().ok()? };
    (checksum(body.as_bytes()) == sum).then_some(record)
}

#[cfg(test)]
mod tests {
    use keros_platform::RealDisk;

    use super::*;

    fn record(number: u64) -> Record {
        let id = CommandId(uuid::Uuid::from_u128(u128::from(number)));
        Record { id, issued_at_unix_s: 1_767_225_600 + number }
    }

    fn file(records: u64) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("started");
        Started::create_if_absent(&RealDisk, &path).unwrap();
        for number in 0..records {
            Started::append(&RealDisk, &path, record(number)).unwrap();
        }
        (folder, path)
    }

    #[test]
    fn what_was_appended_is_found() {
        let (_folder, path) = file(3);
        let started = Started::read(&RealDisk, &path).unwrap();
        assert!(started.contains(record(2).id) && !started.contains(record(3).id) && !started.damaged);
        assert_eq!(path.metadata().unwrap().len(), 3 * RECORD_BYTES as u64);
    }

    #[test]
    fn a_torn_record_is_cut_off() {
        let (_folder, path) = file(2);
        let bytes = std::fs::read(&path).unwrap();
        for cut in RECORD_BYTES..2 * RECORD_BYTES {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let started = Started::read(&RealDisk, &path).unwrap();
            assert!(!started.damaged && started.records == [record(0)], "cut at {cut}");
            Started::append(&RealDisk, &path, record(7)).unwrap();
            assert_eq!(
                Started::read(&RealDisk, &path).unwrap().records,
                [record(0), record(7)],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_damage() {
        let (_folder, path) = file(2);
        let bytes = std::fs::read(&path).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(Started::parse(&altered).damaged, "bit {bit}");
        }
    }

    #[test]
    fn a_lost_file_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Started::read(&RealDisk, &folder.path().join("started")).unwrap().damaged);
    }

    #[test]
    fn old_ids_are_forgotten_only_with_the_moment_that_stands_for_them() {
        let (_folder, path) = file(1);
        let mut started = Started::read(&RealDisk, &path).unwrap();
        assert_eq!(started.forget_older_half(), None);
        started.records = (0..MAX_RECORDS as u64).map(record).collect();
        let half = MAX_RECORDS as u64 / 2;
        assert_eq!(started.forget_older_half(), Some(record(half - 1).issued_at_unix_s));
        started.write(&RealDisk, &path).unwrap();
        assert_eq!(Started::read(&RealDisk, &path).unwrap().records.first(), Some(&record(half)));
    }
}

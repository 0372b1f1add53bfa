//! By libsystemd.

use std::io;

use systemd::journal::{Journal, OpenOptions};

use super::{Entry, Query};

/// The journal, and where in it.
pub(super) struct Reader {
    journal: Journal,
    follow: bool,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("follow", &self.follow).finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn open(query: &Query) -> io::Result<Self> {
        let mut journal = open()?;
        for (number, all) in query.any_of.iter().enumerate() {
            if number > 0 {
                journal.match_or().map_err(failed)?;
            }
            for (name, value) in all {
                journal.match_add(name, value.as_str()).map_err(failed)?;
            }
        }
        match (query.lines, query.since_unix_s) {
            (Some(lines), since) => {
                // Before the first of so many; a time is looked at then.
                journal.seek_tail().map_err(failed)?;
                let lines = u64::try_from(lines).unwrap_or(u64::MAX);
                let skipped = journal.previous_skip(lines.saturating_add(1)).map_err(failed)?;
                if (skipped as u64) <= lines {
                    journal.seek_head().map_err(failed)?;
                }
                if let Some(since) = since {
                    seek_forward_to(&mut journal, since.saturating_mul(1_000_000))?;
                }
            }
            (None, Some(since)) => {
                journal.seek_realtime_usec(since.saturating_mul(1_000_000)).map_err(failed)?;
            }
            (None, None) => journal.seek_head().map_err(failed)?,
        }
        Ok(Self { journal, follow: query.follow })
    }

    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let fields = match self.follow {
            true => self.journal.await_next_entry(None),
            false => self.journal.next_entry(),
        };
        let Some(fields) = fields.map_err(failed)? else { return Ok(None) };
        let unix_us = self.journal.timestamp_usec().map_err(failed)?;
        Ok(Some(Entry::from_fields(unix_us, |name| fields.get(name).cloned())))
    }
}

/// Leaves the place where it is when that is late enough.
fn seek_forward_to(journal: &mut Journal, unix_us: u64) -> io::Result<()> {
    if journal.next().map_err(failed)? == 0 {
        return Ok(());
    }
    if journal.timestamp_usec().map_err(failed)? < unix_us {
        return journal.seek_realtime_usec(unix_us).map_err(failed);
    }
    journal.previous().map(drop).map_err(failed)
}

pub(super) fn values_of(field: &str) -> io::Result<Vec<String>> {
    let mut journal = open()?;
    journal.query_unique(field).map_err(failed)?;
    let mut values = Vec::new();
    while let Some(value) = journal.enumerate_unique().map_err(failed)? {
        values.extend(value.value().map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    }
    Ok(values)
}

fn open() -> io::Result<Journal> {
    OpenOptions::default().system(true).local_only(true).open().map_err(failed)
}

fn failed(error: systemd::Error) -> io::Error {
    io::Error::other(error.to_string())
}

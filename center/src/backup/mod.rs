//! Backups: one file with all rows of the database and all files of Magic Links, out of SQLite or PostgreSQL and into either. What is secret
//! and lies beside the database (signing keys, the authority, passwords of the broker, the access token) is never in it.
//!
//! The file is a tar: `backup.json`, then parts of tables below `rows/`, then `blobs/`, and at the end `end.json`, with how much there is of
//! each and a digest of all before it. A file without its end is refused.

mod digest;
mod read;
mod write;

use std::collections::BTreeMap;

use keros_protocol::UnixSeconds;
use serde::{Deserialize, Serialize};

pub(crate) use read::{Restore, check, restore};
pub(crate) use write::write;

/// The format of the file.
const FORMAT: u32 = 1;

/// Characters of rows in one part: what is held in memory, some times over.
const PART_SIZE: usize = 4 << 20;

/// A part is at most this large when it is read: one row more than [`PART_SIZE`], with every character escaped.
const MAX_PART_BYTES: u64 = 64 << 20;

/// The first file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    format: u32,
    /// Of the center that made it.
    center_version: String,
    /// When it was made: the moment that it shows.
    pub(crate) made_at_unix_s: UnixSeconds,
    /// The steps that made the tables.
    migrations: Vec<i64>,
}

/// The last file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// Rows of each table that has any.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Files of Magic Links.
    pub(crate) blobs: u64,
    /// Of all names and contents before it, SHA-256.
    sha256: String,
}

impl End {
    /// In one line.
    pub(crate) fn text(&self) -> String {
        let rows: u64 = self.rows.values().sum();
        format!("{rows} rows of {} tables, {} files of Magic Links", self.rows.len(), self.blobs)
    }
}

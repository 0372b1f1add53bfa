//! Reads the journal: by libsystemd, or by running `journalctl` where this program was built without. Both give the same entries. What
//! comes back is not made harmless: whoever prints it does that.

mod entry;

#[cfg(feature = "libsystemd")]
#[path = "by_library.rs"]
mod means;
#[cfg(not(feature = "libsystemd"))]
#[path = "by_program.rs"]
mod means;

use std::io;

pub use entry::Entry;

/// A field and a value that an entry must have.
type Match = (&'static str, String);

/// What to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Entries that have all fields of one of these lists; a field that is in a list twice may have either value.
    any_of: Vec<Vec<Match>>,
    /// At most so many, the newest.
    pub lines: Option<usize>,
    /// None that is older, seconds since 1970.
    pub since_unix_s: Option<u64>,
    /// Go on with what comes.
    pub follow: bool,
}

impl Query {
    /// What agent and executor have said, and systemd about the agent's service. Fields that begin with `_` cannot be forged
    /// (systemd.journal-fields(7)).
    #[must_use]
    pub fn of_our_programs() -> Self {
        let own = |name: &'static str, value: &str| (name, value.to_owned());
        Self {
            any_of: vec![
                vec![own("_SYSTEMD_UNIT", "keros-agent.service")],
                vec![own("_COMM", "keros-executor"), own("_UID", "0")],
                vec![own("UNIT", "keros-agent.service"), own("_PID", "1")],
            ],
            ..Self::default()
        }
    }

    /// What a unit has said, and systemd about it.
    #[must_use]
    pub fn of_unit(unit: &str, lines: usize) -> Self {
        let of_systemd = vec![("UNIT", unit.to_owned()), ("_PID", "1".to_owned())];
        let any_of = vec![vec![("_SYSTEMD_UNIT", unit.to_owned())], of_systemd];
        Self { any_of, lines: Some(lines), ..Self::default() }
    }

    /// Only entries about this job.
    #[must_use]
    pub fn of_job(mut self, id: &str) -> Self {
        self.any_of.iter_mut().for_each(|all| all.push(("KEROS_JOB_ID", id.to_owned())));
        self
    }

    /// Only entries of this priority (0: the machine is unusable, to 7: to find mistakes) or a higher one.
    #[must_use]
    pub fn up_to_priority(mut self, priority: u8) -> Self {
        for all in &mut self.any_of {
            all.extend((0..=priority.min(7)).map(|priority| ("PRIORITY", priority.to_string())));
        }
        self
    }
}

/// Entries as they are found, the oldest first.
#[derive(Debug)]
pub struct Reader(means::Reader);

impl Reader {
    /// Begins to read.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn open(query: &Query) -> io::Result<Self> {
        means::Reader::open(query).map(Self)
    }

    /// The next entry; `None` at the end, which never comes where it follows.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        self.0.next_entry()
    }
}

/// The jobs that the journal knows, by their ids.
///
/// # Errors
/// When the journal cannot be read.
pub fn job_ids() -> io::Result<Vec<String>> {
    means::values_of("KEROS_JOB_ID")
}

//! What is asked for, as it goes to the service that reads the journal.

use std::time::{SystemTime, UNIX_EPOCH};

use keros_service::journal::Query;
use serde::{Deserialize, Serialize};

use super::LogsError;
use crate::arguments::Logs;

/// Lines, where nobody says how many.
const LINES: usize = 50;
/// At most.
const MAX_LINES: usize = 100_000;

/// One request: a line of JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Request {
    /// The beginning of a job's id.
    pub(super) job: Option<String>,
    pub(super) lines: Option<usize>,
    pub(super) since_unix_s: Option<u64>,
    pub(super) priority: Option<u8>,
    pub(super) follow: bool,
}

impl Request {
    pub(super) fn of(what: &Logs) -> Result<Self, LogsError> {
        let job = what.job.as_deref().map(prefix).transpose()?;
        let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // All that was asked for by job or time, and otherwise a screen.
        let lines = what.lines.or_else(|| (job.is_none() && what.since.is_none()).then_some(LINES));
        Ok(Self {
            job,
            lines,
            since_unix_s: what.since.map(|ago| now_unix_s.saturating_sub(ago.as_secs())),
            priority: what.priority,
            follow: what.follow,
        })
    }

    /// The query for one job, or for all.
    pub(super) fn query(&self, job_id: Option<&str>) -> Query {
        let mut query = Query::of_our_programs();
        if let Some(id) = job_id {
            query = query.of_job(id);
        }
        if let Some(priority) = self.priority {
            query = query.up_to_priority(priority);
        }
        query.lines = self.lines.map(|lines| lines.min(MAX_LINES));
        (query.since_unix_s, query.follow) = (self.since_unix_s, self.follow);
        query
    }

    /// The one job that is meant, of those that the journal knows.
    pub(super) fn job_id<'k>(&self, known: &'k [String]) -> Result<Option<&'k str>, LogsError> {
        let Some(wanted) = &self.job else { return Ok(None) };
        let wanted = prefix(wanted)?;
        let found: Vec<&String> = known.iter().filter(|id| id.starts_with(&wanted)).collect();
        match found[..] {
            [id] => Ok(Some(id)),
            [] => Err(LogsError::NoSuchJob(wanted)),
            _ => Err(LogsError::Ambiguous(wanted, found.len())),
        }
    }
}

/// As ids are written; nothing else can be one.
fn prefix(text: &str) -> Result<String, LogsError> {
    let text = text.trim().to_ascii_lowercase();
    let is_part_of_id = text.len() <= 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if text.is_empty() || !is_part_of_id { Err(LogsError::NoSuchJob(text)) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_by_a_beginning_that_no_other_has() {
        let known = ["0192aa-1".to_owned(), "0192ab-2".to_owned()];
        let job = |text: &str| Request { job: Some(text.to_owned()), ..Request::default() };
        assert_eq!(job("0192AB").job_id(&known).unwrap(), Some("0192ab-2"));
        assert!(matches!(job("0192a").job_id(&known), Err(LogsError::Ambiguous(_, 2))));
        for text in ["", "0193", "x", "0192aa-1 _UID=0", "../"] {
            assert!(matches!(job(text).job_id(&known), Err(LogsError::NoSuchJob(_))), "{text}");
        }
        assert_eq!(Request::default().job_id(&known).unwrap(), None);
    }
}

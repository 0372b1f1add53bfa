//! Every queue, rate and number of rows that the center bounds, with the arithmetic in the comment. Sizes of messages are in
//! `keros_protocol::limits`.

use std::time::Duration;

// From gateways: MQTT to the database.

/// Messages that the broker may send without an acknowledgement.
pub(crate) const RECEIVE_MAXIMUM: u16 = 128;

/// Messages that wait for the database: two connections full of them, and as much for those of QoS 0. Beyond it the
/// connection ends, and the broker sends again what was not acknowledged.
pub(crate) const INBOX: usize = 512;

/// Messages in one transaction.
pub(crate) const BATCH: usize = 64;

// To gateways.

/// Messages on their way to the connection.
pub(crate) const REQUESTS: usize = 256;

/// Messages that the center may send without an acknowledgement.
pub(crate) const SEND_MAXIMUM: u16 = 256;

/// Lists of gateways that wait to be nudged. Beyond it nobody is nudged: the next telemetry does it.
pub(crate) const NUDGES: usize = 64;

// To people.

/// Changes that a slow listener may be behind, before it has to read everything again.
pub(crate) const CHANGES: usize = 1024;

/// Streams of events at the same time, and events on their way to one of them.
pub(crate) const STREAMS: usize = 256;
pub(crate) const STREAM_EVENTS: usize = 16;

// Time.

/// Gateways send telemetry this often.
pub(crate) const TELEMETRY_INTERVAL_S: u64 = 3600;

/// What a job may take beside its own time and its confirm windows: to start, to undo, one reboot.
pub(crate) const JOB_GRACE_S: u64 = 1800;

/// For so long after it has expired a gateway may still be busy with a command that the center has no word of: the longest job
/// and two of the longest confirm windows, a day each, and a day.
pub(crate) const BUSY_AFTER_EXPIRY_S: u64 = 4 * 86_400;

/// How often deadlines are looked at.
pub(crate) const DEADLINE_PERIOD: Duration = Duration::from_secs(5);

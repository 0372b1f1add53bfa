//! Every queue, rate and number of rows that the center bounds, with the arithmetic in the comment. Sizes of messages are in
//! `keros_protocol::limits`.

use std::time::Duration;

// From gateways: MQTT to the database.

/// Messages that the broker may send without an acknowledgement.
pub(crate) const RECEIVE_MAXIMUM: u16 = 128;

/// Messages that wait for the database, and their bytes. A broker should never send more than [`RECEIVE_MAXIMUM`] ahead, but mosquitto
/// 2.0.11, Debian's, sends all that it has queued as soon as some of it is acknowledged: 10,000 messages and 64 MiB at most, as it is
/// shipped with this center. Beyond it the connection ends, and the broker sends again what was not acknowledged; with less room a
/// center that comes back to a long queue would get no further than that, again and again.
pub(crate) const INBOX: usize = 16_384;
pub(crate) const INBOX_BYTES: usize = 96 << 20;

/// Messages in one transaction.
pub(crate) const BATCH: usize = 64;

// To gateways.

/// Messages on their way to the connection.
pub(crate) const REQUESTS: usize = 256;

/// Messages that the center may send without an acknowledgement.
pub(crate) const SEND_MAXIMUM: u16 = 256;

/// Lists of gateways that wait to be nudged. Beyond it nobody is nudged: the next telemetry does it.
pub(crate) const NUDGES: usize = 64;

/// Gateways that are nudged when another center has gone: at 1,000 a second some seconds. The others come by themselves.
pub(crate) const NUDGED_AFTER_LOSS: usize = 10_000;

/// A center whose sign of life has stood still for so long has gone: four of them were left out.
pub(crate) const CENTER_SILENCE: Duration = Duration::from_secs(20);

// To people.

/// Changes that a slow listener may be behind, before it has to read everything again.
pub(crate) const CHANGES: usize = 1024;

/// Lines in the answer to an order: an update of more gateways is answered without them, at some 300 bytes each 300 KB at most.
pub(crate) const MAX_ANSWERED_LINES: u32 = 1000;

/// Updates of one gateway that its page shows, the newest first.
pub(crate) const MAX_GATEWAY_UPDATES: u32 = 100;

/// Groups of one customer, unless the center is started with another number.
pub(crate) const MAX_GROUPS: u32 = 100;

/// Streams of events at the same time, those of one user, and events on their way to one of them. Eight who have a page of an update in each of 32
/// tabs take them all.
pub(crate) const STREAMS: usize = 256;
pub(crate) const STREAMS_OF_ONE: usize = 32;
pub(crate) const STREAM_EVENTS: usize = 16;

/// Changes are gathered for so long before a stream of all changes tells of them, each once: of 100,000 gateways with hourly telemetry some 14.
pub(crate) const GATHER: Duration = Duration::from_millis(500);

/// A stream of all changes ends after so long, and is opened again by its client: then whoever asks is looked at anew.
pub(crate) const STREAM_LIFE: Duration = Duration::from_secs(600);

/// Whoever follows a stream is looked at anew before he is told something, and after so long in any case: he may have logged out, or been
/// disabled.
pub(crate) const STREAM_CHECK: Duration = Duration::from_secs(60);

/// Scripts that are checked at the same time, for people who are writing them: each is 256 KiB at most, and takes a thread. More wait.
pub(crate) const SCRIPT_CHECKS: usize = 4;

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

/// How often it is looked whether updates go on, after those that have changed, and after all that have not ended.
pub(crate) const TEND_PERIOD: Duration = Duration::from_secs(1);
pub(crate) const TEND_ALL_PERIOD: Duration = Duration::from_secs(10);

/// How often old reports are removed.
pub(crate) const TIDY_PERIOD: Duration = Duration::from_secs(3600);

// What one gateway may make of the database.

/// What may be sent at once, and what comes back of it in a minute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// At once, bytes.
    pub(crate) burst_bytes: u64,
    /// In the long run, bytes.
    pub(crate) bytes_per_minute: u64,
}

/// What a message counts beside its payload: its row, its answer.
pub(crate) const MESSAGE_OVERHEAD_BYTES: u64 = 1024;

/// Reports of one gateway. A true one holds 64 at most, with 256 KiB of output together, and tells progress once a second at most: some
/// 80 KiB a minute. Ten times that at once, and six times in the long run: 31 MB an hour before the bounds below.
pub(crate) const REPORT_RATE: Rate = Rate { burst_bytes: 8 << 20, bytes_per_minute: 512 << 10 };

/// Telemetry of one gateway: one row that is written anew. A true one sends some 2 KiB an hour, at a nudge once a minute, and now and
/// then its packages (256 KiB at most): this is 85 of the usual ones a minute.
pub(crate) const TELEMETRY_RATE: Rate = Rate { burst_bytes: 4 << 20, bytes_per_minute: 256 << 10 };

/// Presence of one gateway, 1 KiB each with what it counts beside its payload: 60 at once, then one every 2 s. A true one connects anew some
/// times in a minute at most, with two messages each time. What is over it is put off, the last of them, and kept when deadlines are looked at.
pub(crate) const PRESENCE_RATE: Rate = Rate { burst_bytes: 60 << 10, bytes_per_minute: 30 << 10 };

/// Reports of one gateway that are kept. When there are more than the first, or more characters in them than the second, all but the
/// last half is removed: terminal ones last. 400 reports of 300 characters are a busy week.
pub(crate) const MAX_REPORTS: u64 = 2000;
pub(crate) const MAX_REPORTS_SIZE: u64 = 32 << 20;

/// Reports of one gateway that wait for one before them: it has 8 on their way (`agent/machine/src/outbox.rs`), and some of progress which it
/// has replaced since. What is beyond it comes again. 16 of the greatest are 7 MB.
pub(crate) const MAX_EARLY_REPORTS: u64 = 16;

/// And for so long: the gateway sends again what is not acknowledged after half a minute.
pub(crate) const EARLY_REPORT_AGE_S: u64 = 3600;

/// Reports that are shown of one command. A job of 300 tasks may send as many, and one that is confirmed some more; each is some 300
/// bytes, and the few with output 64 KiB at most.
pub(crate) const REPORTS_SHOWN: u32 = 400;

/// Groups of gateways whose dry run would change the same, shown at once: 50 texts of 16 KiB are 800 KiB.
pub(crate) const DIFFERENCES_SHOWN: u32 = 50;

/// Gateways that are named of each such group; the others are listed by their group's digest.
pub(crate) const GATEWAYS_OF_DIFFERENCES: u32 = 100;

/// Streams of reports of one gateway whose position is kept: it begins a new one when it has lost its state.
pub(crate) const MAX_STREAMS: u64 = 16;

/// Reports are kept for 90 days. What became of each command is kept apart, and stays.
pub(crate) const REPORT_AGE_S: u64 = 90 * 86_400;

// HTTP: the REST API, and the registry with each of its entrances.

/// Connections at the same time at one entrance; more wait in the backlog of the socket.
pub(crate) const HTTP_CONNECTIONS: usize = 1024;

/// A request's head has to come within this time; a connection without a request ends by it too.
pub(crate) const HTTP_HEAD_LIMIT: Duration = Duration::from_secs(30);

/// A client that reads nothing of its answer for so long is gone: three losses of a cellular link in a row.
pub(crate) const HTTP_WRITE_LIMIT: Duration = Duration::from_secs(120);

/// A request's head, and what is read ahead of its body, bytes.
pub(crate) const HTTP_BUFFER_BYTES: usize = 64 * 1024;

/// The body of a request, but for blobs, comes within this time: 2 MiB in 30 s are 560 kbit/s, which a cellular link has.
pub(crate) const HTTP_BODY_LIMIT: Duration = Duration::from_secs(30);

/// An answer takes no longer, the body of its request included; streams of events and blobs are excepted.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Requests with an `Idempotency-Key` are remembered for a day: longer than anybody tries again.
pub(crate) const KEY_AGE_S: u64 = 86_400;

/// And so many of one user; of the answers to them, those up to so many bytes: 64 MB in all.
pub(crate) const KEYS_OF_ONE: u64 = 1000;
pub(crate) const KEPT_ANSWER_BYTES: usize = 64 * 1024;

// Magic Links.

/// Links in the store.
pub(crate) const MAX_LINKS: u32 = 1000;

/// Blobs of links on their way out at the same time. Each holds two parts of 64 KiB and the connection's buffer: 48 MiB together. Whoever
/// comes beyond it is asked to come again: gateways wait longer each time.
pub(crate) const PULLS: usize = 256;

/// And of one gateway. It fetches one after the other; the others are of connections that it has lost and that have not ended here yet.
pub(crate) const PULLS_OF_ONE: usize = 8;

/// Blobs on their way in at the same time, a thread each; and those of one user.
pub(crate) const UPLOADS: usize = 16;
pub(crate) const UPLOADS_OF_ONE: usize = 8;

/// Parts of an upload that wait for the disk: 8 of what is read ahead, 512 KiB.
pub(crate) const UPLOAD_PARTS: usize = 8;

/// An upload of which nothing comes for so long has broken off.
pub(crate) const UPLOAD_IDLE_LIMIT: Duration = Duration::from_secs(60);

/// A blob that no link names stays this long after somebody who uploads has last asked for it: an upload of a bundle of the greatest
/// size over a slow link (512 MiB at 64 kbit/s) takes 19 hours.
pub(crate) const UNNAMED_BLOB_AGE: Duration = Duration::from_secs(86_400);

/// How often such blobs are removed.
pub(crate) const SWEEP_PERIOD: Duration = Duration::from_secs(86_400);

// Alerts: webhooks are told of gateways that have fallen silent.

/// How often it is looked for them.
pub(crate) const ALERT_PERIOD_S: u64 = 60;

/// A center that has just found its broker does not know yet who is there: gateways wait 5 minutes at most between attempts to connect
/// (`reconnect_max_s` of the agent), and as long again for a bad moment.
pub(crate) const ALERT_SETTLE_S: u64 = 600;

/// Gateways that are told of in one look, and in one message, some 20 KiB: when 100,000 fall silent at once, all have been told of after 100
/// minutes, in 1,000 messages.
pub(crate) const ALERTED_AT_ONCE: usize = 1000;
pub(crate) const ALERTED_IN_ONE: usize = 100;

// Webhooks.

/// Webhooks of one customer.
pub(crate) const MAX_WEBHOOKS: usize = 20;

/// Messages of one webhook that wait. An update is told of three times at most: these are those of 300 updates while a receiver is away
/// for three days. Beyond it messages are left out, and the log of the webhook says so. 1,000 of some 1 KiB are 1 MiB.
pub(crate) const WEBHOOK_MESSAGES_WAITING: u32 = 1000;

/// Messages that nobody waits for are kept for 30 days.
pub(crate) const WEBHOOK_AGE_S: u64 = 30 * 86_400;

/// Who sends a message has so long to say what came of it (an attempt takes 15 seconds at most); then another one tries.
pub(crate) const WEBHOOK_LEASE_S: u64 = 60;

// People.

/// Passwords that are checked at the same time, 40 ms of one core and 19 MiB each; and how long one waits for its turn: beyond it the log-in
/// is asked to come again.
pub(crate) const PASSWORD_CHECKS: usize = 2;
pub(crate) const PASSWORD_WAIT: Duration = Duration::from_secs(5);

/// Wrong passwords for one account: 10 at once, then one in a minute: 1450 a day, of at least 12 characters. And from one address, behind
/// which there may be an office: 30 at once, then one every 10 s. 10,000 names of each, some 1 MB.
pub(crate) const LOGIN_BURST: u64 = 10;
pub(crate) const LOGIN_EVERY_S: u64 = 60;
pub(crate) const ADDRESS_BURST: u64 = 30;
pub(crate) const ADDRESS_EVERY_S: u64 = 10;
pub(crate) const THROTTLED_NAMES: usize = 10_000;

/// Refused attempts of one user that come into the audit log: 20 at once, then one in a minute. Who is refused all day must not push
/// out what was done.
pub(crate) const REFUSED_BURST: u64 = 20;
pub(crate) const REFUSED_EVERY_S: u64 = 60;

/// Names of users and customers that somebody who does not see all of them wanted and that were taken: 10 at once, then one in a minute. The
/// answer says that there is one, though he may not see it.
pub(crate) const TAKEN_BURST: u64 = 10;
pub(crate) const TAKEN_EVERY_S: u64 = 60;

/// A log-in ends after this time without a request, and after this time in any case.
pub(crate) const SESSION_IDLE_S: u64 = 8 * 3600;
pub(crate) const SESSION_AGE_S: u64 = 24 * 3600;

/// When a log-in or a token was last used is written once a minute at most.
pub(crate) const SEEN_EVERY_S: u64 = 60;

/// Log-ins of one user at the same time, and his API tokens.
pub(crate) const MAX_SESSIONS: u32 = 20;
pub(crate) const MAX_TOKENS: usize = 50;

/// Users, customers, roles of one user.
pub(crate) const MAX_USERS: u32 = 10_000;
pub(crate) const MAX_CUSTOMERS: u32 = 1000;
pub(crate) const MAX_ROLES: usize = 200;

/// A set-up link is good for three days: over a weekend.
pub(crate) const SETUP_S: u64 = 3 * 86_400;

/// The audit log is kept for `--keep-audit` days, and a million lines at most, the newest: some 300 MB at 300 bytes a line.
pub(crate) const MAX_AUDIT: u64 = 1_000_000;

/// Rows that one transaction removes of what is old: some 10 ms, for which others that write wait.
pub(crate) const PRUNED_AT_ONCE: u64 = 1000;

//! What the center signs, and what somebody else would like it to have signed.

use std::time::{SystemTime, UNIX_EPOCH};

use keros_protocol::executor::Request;
use keros_protocol::{
    Cancellation, Command, CommandId, Envelope, Eui, Job, JobLimits, JobOptions, SigningKey, Statement,
    UpdateId,
};
use uuid::Uuid;

pub(crate) const EUI: &str = "7076FF0056070123";
const OTHER_EUI: &str = "7076FF0056070124";

/// The center's key for commands, the one for statements, and one that nobody trusts here.
pub(crate) const COMMAND: u8 = 1;
pub(crate) const STATEMENT: u8 = 2;
const FOREIGN: u8 = 9;

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_pem(&SigningKey::pem_from_seed(&[seed; 32])).expect("a key of this form")
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A command with a script of these tasks; the number makes its id.
pub(crate) fn command(number: u64, tasks: &[&str]) -> Command {
    let tasks: String = tasks.iter().map(|task| format!("    - {task}\n")).collect();
    let script = format!("- name: test\n  groups: [all]\n  tasks:\n{tasks}");
    with_job(number, Job::JetPorch { script, vars: serde_json::Map::new() })
}

pub(crate) fn with_job(number: u64, job: Job) -> Command {
    let issued = now();
    Command {
        command_id: CommandId(Uuid::from_u128(((u128::from(issued) * 1000) << 80) | u128::from(number))),
        update_id: UpdateId(Uuid::from_u128(2)),
        eui: EUI.parse::<Eui>().expect("an EUI"),
        issued_at_unix_s: issued,
        expires_at_unix_s: issued + 3600,
        job,
        limits: JobLimits::default(),
        options: JobOptions { confirm_window_s: 0, ..JobOptions::default() },
    }
}

pub(crate) fn signed(command: &Command, seed: u8) -> Envelope {
    Envelope::sign(Envelope::COMMAND, &serde_json::to_vec(command).expect("JSON"), &key(seed))
}

pub(crate) fn statement(eui: &str, cancelled: &[CommandId], nonces: &[&str], seed: u8) -> Envelope {
    let statement = Statement {
        eui: eui.parse().expect("an EUI"),
        time_unix_s: now(),
        last_report: None,
        cancellations: cancelled.iter().map(|id| Cancellation { command_id: *id }).collect(),
        nonces: nonces.iter().map(|&nonce| nonce.to_owned()).collect(),
    };
    Envelope::sign(Envelope::STATEMENT, &serde_json::to_vec(&statement).expect("JSON"), &key(seed))
}

pub(crate) fn line(request: &Request) -> Vec<u8> {
    let mut line = serde_json::to_vec(request).expect("JSON");
    line.push(b'\n');
    line
}

pub(crate) fn run(envelope: Envelope) -> Vec<u8> {
    line(&Request::Run { envelope, statement: None, bundle: None })
}

/// A request, and a word of the reason for which it must be refused.
pub(crate) type Forged = (String, &'static str, Vec<u8>);

/// Commands that must not run: each would leave a file `/var/owned-…`.
pub(crate) fn forged_commands() -> Vec<Forged> {
    let order = |name: &str| command(100, &[&format!("!shell {{ cmd: 'touch /var/owned-{name}' }}")]);
    let named = |name: &str, why: &'static str, envelope: Envelope| (name.to_owned(), why, run(envelope));
    let mut unsigned = signed(&order("unsigned"), COMMAND);
    unsigned.signatures.clear();
    let mut renamed = signed(&order("renamed"), FOREIGN);
    renamed.signatures[0].keyid = key(COMMAND).public().id();
    let mut altered = signed(&order("altered"), COMMAND);
    altered.payload = signed(&command(101, &["!shell { cmd: 'touch /var/owned-altered' }"]), COMMAND).payload;
    let mut retyped = signed(&order("retyped"), COMMAND);
    retyped.payload_type = Envelope::STATEMENT.to_owned();
    let elsewhere = Command { eui: OTHER_EUI.parse().expect("an EUI"), ..order("elsewhere") };
    let past = now() - 7200;
    let expired = Command { issued_at_unix_s: past, expires_at_unix_s: past + 60, ..order("expired") };
    let mut forged = vec![
        named("unsigned", "bad_signature", unsigned),
        named("foreign", "bad_signature", signed(&order("foreign"), FOREIGN)),
        named("renamed", "bad_signature", renamed),
        named("statement-key", "bad_signature", signed(&order("statement-key"), STATEMENT)),
        named("altered", "bad_signature", altered),
        named("retyped", "bad_signature", retyped),
        named("elsewhere", "wrong_target", signed(&elsewhere, COMMAND)),
        named("expired", "expired", signed(&expired, COMMAND)),
    ];
    for bit in [0, 7, 100, 333, 511] {
        let mut envelope = signed(&order("bit"), COMMAND);
        flip(&mut envelope.signatures[0].sig, bit);
        forged.push(named(&format!("bit-{bit}"), "bad_signature", envelope));
    }
    forged
}

/// Turns one bit of what this base64 text says.
fn flip(base64: &mut String, bit: usize) {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (at, bit) = (bit / 6, bit % 6);
    let digit = DIGITS.iter().position(|digit| *digit == base64.as_bytes()[at]).expect("a digit");
    let other = DIGITS[digit ^ (32 >> bit)] as char;
    base64.replace_range(at..=at, &other.to_string());
}

/// Statements that must neither cancel nor confirm this job.
pub(crate) fn forged_statements(id: CommandId, nonce: &str) -> Vec<(&'static str, Option<Envelope>)> {
    let ours = |seed| statement(EUI, &[id], &[nonce], seed);
    let mut altered = ours(STATEMENT);
    altered.payload = statement(EUI, &[id], &[nonce, "more"], STATEMENT).payload;
    let mut unsigned = ours(STATEMENT);
    unsigned.signatures.clear();
    let mut retyped = ours(STATEMENT);
    retyped.payload_type = Envelope::COMMAND.to_owned();
    let other = CommandId(Uuid::from_u128(77));
    vec![
        ("no-statement", None),
        ("unsigned-statement", Some(unsigned)),
        ("foreign-statement", Some(ours(FOREIGN))),
        ("command-key-statement", Some(ours(COMMAND))),
        ("altered-statement", Some(altered)),
        ("retyped-statement", Some(retyped)),
        ("elsewhere-statement", Some(statement(OTHER_EUI, &[id], &[nonce], STATEMENT))),
        (
            "other-job-statement",
            Some(statement(EUI, &[other], &["00112233445566778899aabbccddeeff"], STATEMENT)),
        ),
    ]
}

//! A small center that keeps to the protocol's rules, and the network between it and the gateway.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use keros_protocol::{
    Cancellation, Command, CommandId, Envelope, Eui, Job, JobLimits, JobOptions, KeyRing, Outcome, Report,
    ReportPosition, SigningKey, Statement, UpdateId, limits,
};

use crate::bundles::{Link, digest_of};

pub(crate) const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
/// When each history begins.
pub(crate) const BEGIN_UNIX_S: u64 = 1_800_000_000;

static KEY: LazyLock<SigningKey> = LazyLock::new(|| key(1));
static STATEMENT_KEY: LazyLock<SigningKey> = LazyLock::new(|| key(2));

fn key(seed: u8) -> SigningKey {
    SigningKey::from_pem(&SigningKey::pem_from_seed(&[seed; 32])).expect("a seed is a key")
}

/// The keys' public halves as files: for commands, for statements.
pub(crate) fn key_pems() -> [String; 2] {
    [KEY.public().to_pem(), STATEMENT_KEY.public().to_pem()]
}

pub(crate) fn command_keys() -> KeyRing {
    KeyRing::new(vec![KEY.public()])
}

/// As the center signs it.
pub(crate) fn signed(command: &Command) -> Envelope {
    let payload = serde_json::to_vec(command).expect("a command is JSON");
    Envelope::sign(Envelope::COMMAND, &payload, &KEY)
}

/// What a job does, for the toy. Tasks count from 1; 0 is none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Script {
    pub(crate) fails_at: u32,
    pub(crate) reboots_at: u32,
    /// This task cannot be undone.
    pub(crate) cannot_undo: u32,
    /// Of the confirm window, seconds.
    pub(crate) window_s: u32,
}

impl Script {
    fn to_text(self) -> String {
        format!("[{},{},{},{}]", self.fails_at, self.reboots_at, self.cannot_undo, self.window_s)
    }

    /// As it travels in a command.
    pub(crate) fn from_text(text: &str) -> serde_json::Result<Self> {
        let [fails_at, reboots_at, cannot_undo, window_s] = serde_json::from_str(text)?;
        Ok(Self { fails_at, reboots_at, cannot_undo, window_s })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Center {
    pub(crate) orders: BTreeMap<CommandId, Order>,
    last: Option<ReportPosition>,
    /// Those that came before the one before them.
    early: BTreeMap<u64, Report>,
}

pub(crate) struct Order {
    envelope: Envelope,
    expires_at_unix_s: u64,
    pub(crate) cancelled: bool,
    sent: bool,
    pub(crate) received: bool,
    /// The stream of the last report about it.
    heard_in: Option<uuid::Uuid>,
    pub(crate) terminal: Option<Outcome>,
}

impl std::fmt::Debug for Order {
    /// Without the envelope.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { envelope: _, heard_in: _, expires_at_unix_s, cancelled, sent, received, terminal } = self;
        let told = terminal.as_ref().map(Outcome::name);
        write!(
            f,
            "expires {expires_at_unix_s}, cancelled {cancelled}, sent {sent}, received {received}, told {told:?}"
        )
    }
}

/// What the center sends.
#[derive(Debug, Clone)]
pub(crate) struct Down {
    pub(crate) statement: Statement,
    pub(crate) signed: Envelope,
    pub(crate) commands: Vec<Envelope>,
    pub(crate) answers_telemetry: bool,
}

impl Order {
    /// The center waits for nothing more.
    pub(crate) fn is_closed(&self, now_unix_s: u64) -> bool {
        self.terminal.is_some()
            || (!self.received && self.expires_at_unix_s <= now_unix_s)
            || (self.cancelled && !self.sent)
    }
}

impl Center {
    /// A new order: a script, or a Magic Link that does the same.
    pub(crate) fn order(
        &mut self,
        now_unix_s: u64,
        life_s: u64,
        script: Script,
        link: Option<Link>,
    ) -> (CommandId, u64) {
        let number = self.orders.len() as u128 + 1;
        // As in a UUID of version 7, the later command is the greater one.
        let id = CommandId(uuid::Uuid::from_u128((u128::from(now_unix_s) << 80) | number));
        let expires_at_unix_s = now_unix_s + life_s;
        let text = script.to_text();
        let job = match link {
            None => Job::JetPorch { script: text, vars: serde_json::Map::new() },
            Some(Link { number, by_hand, .. }) => Job::MagicLink {
                digest: digest_of(number),
                source: if by_hand { String::new() } else { "https://links.example/v2/links".to_owned() },
                // The toy reads no files of the bundle.
                token: Some(text),
            },
        };
        let command = Command {
            command_id: id,
            update_id: UpdateId(uuid::Uuid::from_u128(number)),
            eui: EUI,
            issued_at_unix_s: now_unix_s,
            expires_at_unix_s,
            job,
            limits: JobLimits::default(),
            options: JobOptions { confirm_window_s: script.window_s, ..JobOptions::default() },
        };
        let envelope = signed(&command);
        let order = Order {
            envelope,
            expires_at_unix_s,
            cancelled: false,
            sent: false,
            received: false,
            heard_in: None,
            terminal: None,
        };
        self.orders.insert(id, order);
        (id, expires_at_unix_s)
    }

    /// The answer to telemetry, or an acknowledgement: a signed statement, all commands that there is no `received` for, and those
    /// that the gateway has lost with its state.
    pub(crate) fn downlink(
        &mut self,
        now_unix_s: u64,
        nonces: Option<Vec<String>>,
        repeat_received: bool,
    ) -> Down {
        let answers_telemetry = nonces.is_some();
        let nonces = nonces.unwrap_or_default();
        let open = self.orders.iter().filter(|(_, order)| order.cancelled && order.terminal.is_none());
        let cancellations = open.map(|(id, _)| Cancellation { command_id: *id }).collect();
        let statement =
            Statement { eui: EUI, time_unix_s: now_unix_s, last_report: self.last, cancellations, nonces };
        let mut commands = Vec::new();
        if answers_telemetry {
            let stream = self.last.map(|last| last.stream);
            let wanted = self.orders.values_mut().filter(|order| {
                (!order.received || order.heard_in != stream || repeat_received)
                    && !order.is_closed(now_unix_s)
            });
            for order in wanted.take(limits::MAX_COMMANDS_PER_DOWNLINK) {
                order.sent = true;
                commands.push(order.envelope.clone());
            }
        }
        let text = serde_json::to_vec(&statement).expect("a statement is JSON");
        let signed = Envelope::sign(Envelope::STATEMENT, &text, &STATEMENT_KEY);
        Down { statement, signed, commands, answers_telemetry }
    }

    /// A gateway that numbers its reports anew has lost its state. What it had received and not ended is lost with it, and is sent
    /// again until a report of the new stream is about it. Gives how many commands that concerns.
    pub(crate) fn heard_of(&mut self, stream: uuid::Uuid) -> u64 {
        if self.last.is_none_or(|last| last.stream == stream) {
            return 0;
        }
        self.last = Some(ReportPosition { stream, number: 0 });
        self.early.clear();
        let lost = self.orders.values().filter(|order| order.received && order.terminal.is_none());
        lost.count() as u64
    }

    /// Stores a report, and those that waited for it; one before which another one is missing is put aside.
    ///
    /// # Errors
    /// What no gateway may send.
    pub(crate) fn report(&mut self, report: &Report) -> Result<(), String> {
        self.heard_of(report.position.stream);
        self.early.insert(report.position.number, report.clone());
        while let Some(number) = self.next_early() {
            if let Some(report) = self.early.remove(&number) {
                self.take(&report)?;
            }
        }
        Ok(())
    }

    /// The first that waits for nothing any more.
    fn next_early(&self) -> Option<u64> {
        let fits = |(_, report): &(&u64, &Report)| report.after <= self.last_number();
        self.early.iter().find(fits).map(|(number, _)| *number)
    }

    fn last_number(&self) -> u64 {
        self.last.map_or(0, |last| last.number)
    }

    fn take(&mut self, report: &Report) -> Result<(), String> {
        if report.position.number <= self.last_number() {
            return Ok(());
        }
        self.last = Some(report.position);
        let id = report.command_id;
        let order =
            self.orders.get_mut(&id).ok_or_else(|| format!("a report about {id}, which nobody sent"))?;
        order.received = true;
        order.heard_in = Some(report.position.stream);
        if report.outcome.is_terminal() {
            let before = order.terminal.get_or_insert_with(|| report.outcome.clone());
            if *before != report.outcome {
                return Err(format!(
                    "a second terminal outcome of {id}: {before:?}, then {:?}",
                    report.outcome
                ));
            }
        }
        Ok(())
    }
}

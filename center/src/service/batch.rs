//! Messages from gateways, many in one transaction: read, ask the pure rules, keep, commit; only then is anything sent.

use std::collections::{BTreeMap, BTreeSet};

use keros_protocol::limits::{MAX_CANCELLATIONS_PER_STATEMENT, MAX_COMMANDS_PER_DOWNLINK};
use keros_protocol::topics::Leaf;
use keros_protocol::{CommandId, Delivery, Eui, Outcome, ReportPosition, Telemetry, UnixSeconds};
use sqlx::AnyConnection;
use uuid::Uuid;

use super::center::Center;
use super::changes::Change;
use super::downlink::{self, Outgoing, OutgoingKind};
use super::incoming::{self, Incoming, ReceivedReport};
use super::overdue::overdue_at;
use super::report::{Known, Verdict, judge};
use crate::bounds::{BUSY_AFTER_EXPIRY_S, MAX_EARLY_REPORTS, MAX_REPORTS, MAX_REPORTS_SIZE, MAX_STREAMS};
use crate::plan::hold;
use crate::store::{
    DueCommand, Kept, KnownCommand, NewReport, StoreError, cancellations, commands, differences, early,
    gateways, plans, reports, tally, vitals,
};

/// One MQTT message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    /// Where it was published.
    pub(crate) topic: &'a str,
    /// What was published.
    pub(crate) payload: &'a [u8],
    /// The MQTT property of this name.
    pub(crate) correlation: Option<&'a [u8]>,
    /// The MQTT property of this name.
    pub(crate) response_topic: Option<&'a str>,
}

/// What follows from messages whose effect is committed.
#[derive(Debug, Default)]
pub(crate) struct Handled {
    /// To be published.
    pub(crate) outgoing: Vec<Outgoing>,
    /// To be told to listeners.
    pub(crate) changes: Vec<Change>,
}

/// Commands of a gateway that are looked at, of which some may be held back: by the rules of the center two wait at most, and those beside them
/// were sent before and are not known to have arrived.
const HELD_AND_DUE: usize = 4 * MAX_COMMANDS_PER_DOWNLINK;

/// A telemetry that has to be answered.
struct Question {
    telemetry: Telemetry,
    correlation: Option<Vec<u8>>,
    packages_wanted: bool,
    /// Up to where the stream of the last report before it is kept.
    position: Option<ReportPosition>,
    /// The gateway may have to be told of a command.
    has_open: bool,
}

/// What has been gathered while the messages of one batch are gone through.
#[derive(Default)]
struct Work {
    questions: Vec<Question>,
    /// Gateways that wait for an acknowledgement, and the stream that they are in.
    reported: BTreeMap<Eui, Uuid>,
    /// Gateways that are online and that a command waits for: a center that was away when it had to nudge them, or to answer
    /// them, learns it from their retained presence.
    waited_for: BTreeSet<Eui>,
    changes: Vec<Change>,
    /// The history of vitals is kept for so many days.
    history_days: u32,
}

impl Center {
    /// Keeps what the messages say and makes the answers. Nothing is kept when it fails: the messages can be given again.
    pub(crate) async fn handle(
        &self,
        messages: &[Message<'_>],
        now: UnixSeconds,
    ) -> Result<Handled, StoreError> {
        let incoming: Vec<_> = messages.iter().filter_map(|message| self.read(message)).collect();
        if incoming.is_empty() {
            return Ok(Handled::default());
        }
        let gateways: Vec<Eui> = incoming.iter().map(|(incoming, _)| incoming.eui()).collect();
        let mut transaction = self.store.begin_for(&gateways).await?;
        let mut work = Work { history_days: self.history_days, ..Work::default() };
        for (incoming, correlation) in incoming {
            match incoming {
                Incoming::Telemetry(telemetry) => {
                    hear(&mut transaction, *telemetry, correlation, now, &mut work).await?;
                }
                Incoming::Report(report) => take(&mut transaction, &report, now, &mut work).await?,
                Incoming::Presence { eui, online } => {
                    gateways::keep_presence(&mut transaction, eui, online).await?;
                    if online && is_waited_for(&mut transaction, eui, now).await? {
                        work.waited_for.insert(eui);
                    }
                }
            }
        }
        let outgoing = self.answers(&mut transaction, &mut work, now).await?;
        transaction.commit().await?;
        Ok(Handled { outgoing, changes: work.changes })
    }

    fn read(&self, message: &Message<'_>) -> Option<(Incoming, Option<Vec<u8>>)> {
        let incoming = match incoming::read(&self.prefix, message.topic, message.payload) {
            Ok(incoming) => incoming,
            Err(reason) => {
                self.count_unusable();
                tracing::warn!(topic = message.topic, %reason, "left out a message");
                return None;
            }
        };
        if let (Incoming::Telemetry(telemetry), Some(topic)) = (&incoming, message.response_topic)
            && topic != self.prefix.topic(telemetry.eui, Leaf::Down)
        {
            tracing::warn!(eui = %telemetry.eui, topic, "the response topic is not this gateway's own: not used");
        }
        Some((incoming, message.correlation.map(<[u8]>::to_vec)))
    }

    async fn answers(
        &self,
        connection: &mut AnyConnection,
        work: &mut Work,
        now: UnixSeconds,
    ) -> Result<Vec<Outgoing>, StoreError> {
        let mut outgoing = Vec::new();
        for question in std::mem::take(&mut work.questions) {
            let stream = work.reported.get(&question.telemetry.eui).copied();
            outgoing.push(self.answer(connection, question, stream, now, &mut work.changes).await?);
        }
        // An answer has acknowledged too.
        for answer in &outgoing {
            work.reported.remove(&answer.eui);
            work.waited_for.remove(&answer.eui);
        }
        for eui in std::mem::take(&mut work.waited_for) {
            let last = last_report(connection, eui, work.reported.remove(&eui)).await?;
            outgoing.push(self.bare(connection, eui, last, OutgoingKind::Nudge, now).await?);
        }
        for (eui, stream) in std::mem::take(&mut work.reported) {
            let last = reports::position(connection, eui, stream).await?;
            outgoing.push(self.bare(connection, eui, last, OutgoingKind::Acknowledgement, now).await?);
        }
        Ok(outgoing)
    }

    async fn answer(
        &self,
        connection: &mut AnyConnection,
        question: Question,
        stream: Option<Uuid>,
        now: UnixSeconds,
        changes: &mut Vec<Change>,
    ) -> Result<Outgoing, StoreError> {
        let Question { telemetry, correlation, packages_wanted, position, has_open } = question;
        let eui = telemetry.eui;
        let last = match stream {
            Some(stream) => reports::position(connection, eui, stream).await?,
            None => position,
        };
        let nonces = telemetry.nonces.clone();
        // Nearly always there is nothing. Nothing opens within a batch: only an operator's order does, and none is kept beside it.
        let (due, to_cancel) = if has_open {
            let lost = lost(connection, &telemetry).await?;
            let due = let_through(commands::due(connection, eui, now, HELD_AND_DUE).await?, now);
            (downlink::to_send(lost, due), to_cancel(connection, eui, now).await?)
        } else {
            (Vec::new(), Vec::new())
        };
        let cancellations = downlink::cancellations(&due, &to_cancel);
        let statement = downlink::statement(eui, last, cancellations, nonces, now, &self.keys.statement)
            .map_err(not_json)?;
        let mut commands = Vec::with_capacity(due.len());
        for due in &due {
            match downlink::command_envelope(eui, due, &self.keys.command, &self.links).map_err(not_json)? {
                Some(envelope) => commands.push((due.command_id, envelope)),
                None => {
                    tracing::warn!(%eui, update_id = %due.update_id, "a Magic Link waits: the center has no registry to tell its gateways")
                }
            }
        }
        let (outgoing, sent) =
            downlink::answer(&telemetry, correlation, packages_wanted, statement, commands)
                .map_err(not_json)?;
        for due in due.iter().filter(|due| sent.contains(&due.command_id)) {
            commands::keep_sent(connection, due.command_id, now).await?;
            changes.push(Change::Delivery { update_id: due.update_id, eui });
        }
        Ok(outgoing)
    }

    async fn bare(
        &self,
        connection: &mut AnyConnection,
        eui: Eui,
        last: Option<ReportPosition>,
        kind: OutgoingKind,
        now: UnixSeconds,
    ) -> Result<Outgoing, StoreError> {
        let cancellations = downlink::cancellations(&[], &to_cancel(connection, eui, now).await?);
        let statement = downlink::statement(eui, last, cancellations, Vec::new(), now, &self.keys.statement)
            .map_err(not_json)?;
        downlink::bare(eui, statement, kind).map_err(not_json)
    }

    /// The message that asks one gateway for telemetry.
    pub(crate) async fn nudge_message(&self, eui: Eui, now: UnixSeconds) -> Result<Outgoing, StoreError> {
        let mut connection = self.store.read().await?;
        let last = last_report(&mut connection, eui, None).await?;
        self.bare(&mut connection, eui, last, OutgoingKind::Nudge, now).await
    }
}

/// What the gateway has lost together with its state.
async fn lost(connection: &mut AnyConnection, telemetry: &Telemetry) -> Result<Vec<DueCommand>, StoreError> {
    let Some(stream) = telemetry.report_stream else { return Ok(Vec::new()) };
    let lost = commands::lost(connection, telemetry.eui, stream, MAX_COMMANDS_PER_DOWNLINK).await?;
    if !lost.is_empty() {
        tracing::warn!(eui = %telemetry.eui, commands = lost.len(), "a gateway has lost its state: it is asked again what became of its commands");
    }
    Ok(lost)
}

/// Those that nothing holds back.
fn let_through(mut due: Vec<DueCommand>, now: UnixSeconds) -> Vec<DueCommand> {
    // One whose end is asked for may be there already: it is sent beside its cancellation, as one that was lost.
    due.retain(|command| hold(&command.gate, command.stage, now).is_none());
    due
}

async fn to_cancel(
    connection: &mut AnyConnection,
    eui: Eui,
    now: UnixSeconds,
) -> Result<Vec<CommandId>, StoreError> {
    let expired_after = now.saturating_sub(BUSY_AFTER_EXPIRY_S);
    cancellations::open(connection, eui, expired_after, MAX_CANCELLATIONS_PER_STATEMENT).await
}

/// Whether there is something that the gateway has to be told.
async fn is_waited_for(
    connection: &mut AnyConnection,
    eui: Eui,
    now: UnixSeconds,
) -> Result<bool, StoreError> {
    Ok(!let_through(commands::due(connection, eui, now, HELD_AND_DUE).await?, now).is_empty()
        || !to_cancel(connection, eui, now).await?.is_empty())
}

/// Up to where the given stream is kept, or else the one that was heard of last.
async fn last_report(
    connection: &mut AnyConnection,
    eui: Eui,
    stream: Option<Uuid>,
) -> Result<Option<ReportPosition>, StoreError> {
    let stream = match stream {
        Some(stream) => Some(stream),
        None => gateways::find(connection, eui).await?.and_then(|gateway| gateway.report_stream),
    };
    match stream {
        Some(stream) => reports::position(connection, eui, stream).await,
        None => Ok(None),
    }
}

async fn hear(
    connection: &mut AnyConnection,
    mut telemetry: Telemetry,
    correlation: Option<Vec<u8>>,
    now: UnixSeconds,
    work: &mut Work,
) -> Result<(), StoreError> {
    let known = vitals::known(connection, telemetry.eui).await?;
    let packages_wanted = downlink::packages_wanted(known.as_ref().map(|known| &known.row), &telemetry);
    if known.is_none() {
        tracing::info!(eui = %telemetry.eui, "a gateway is heard of for the first time");
        gateways::ensure(connection, telemetry.eui, now).await?;
    }
    let packages = telemetry.installed_packages.take().map(|list| serde_json::to_string(&list));
    let packages = packages.transpose().map_err(not_json)?.zip(telemetry.packages_digest.clone());
    let heard = vitals::Heard { telemetry, packages, history_days: work.history_days };
    vitals::keep(connection, known.as_ref(), &heard, now).await?;
    work.changes.push(Change::Gateway(heard.telemetry.eui));
    let has_open = known.as_ref().is_some_and(|known| known.has_open);
    let position = known.and_then(|known| known.position);
    let telemetry = heard.telemetry;
    work.questions.push(Question { telemetry, correlation, packages_wanted, position, has_open });
    Ok(())
}

/// Takes a report, and those that have waited for it: several centers, each of which gets some of a gateway's reports, need not take them in
/// the order in which they were sent.
async fn take(
    connection: &mut AnyConnection,
    report: &ReceivedReport,
    now: UnixSeconds,
    work: &mut Work,
) -> Result<(), StoreError> {
    let (eui, stream) = (report.eui, report.position.stream);
    let waiting = take_one(connection, report, now, work).await?;
    if waiting == 0 {
        return Ok(());
    }
    while let Some(json) = early::next(connection, eui, stream).await? {
        match incoming::report(eui, json.as_bytes()) {
            Ok(report) => {
                take_one(connection, &report, now, work).await?;
            }
            // Put aside by a center of another version.
            Err(reason) => tracing::warn!(%eui, %reason, "left out a report that was put aside"),
        }
    }
    Ok(())
}

/// Takes one report; how many of its gateway wait for one before them.
async fn take_one(
    connection: &mut AnyConnection,
    report: &ReceivedReport,
    now: UnixSeconds,
    work: &mut Work,
) -> Result<u64, StoreError> {
    let ReceivedReport { eui, position, .. } = *report;
    let command = match report.command_id.parse::<CommandId>() {
        Ok(command_id) => commands::find(connection, command_id).await?,
        Err(_) => None,
    };
    let gateway = reports::known(connection, eui, position).await?;
    let early = gateway.map_or(0, |gateway| gateway.early);
    let known = Known {
        position: gateway.and_then(|gateway| gateway.position),
        has_lost_reports: gateway.is_some_and(|gateway| gateway.has_lost),
        is_kept: gateway.is_some_and(|gateway| gateway.is_kept),
        command: command.as_ref().map(|command| &command.row),
    };
    let verdict = judge(report, known);
    work.reported.insert(eui, position.stream);
    match verdict {
        Verdict::Duplicate => gateways::keep_stream(connection, eui, position.stream).await?,
        Verdict::Gap { missing } => {
            put_aside(connection, report, missing, early, now).await?;
        }
        Verdict::Keep { outcome, note } => {
            if let Some(note) = &note {
                tracing::warn!(%eui, command = report.command_id, status = report.status, %note, "an odd report is kept");
            }
            let row = NewReport {
                eui,
                position,
                command_id: report.command_id.clone(),
                status: &report.status,
                json: &report.json,
                note: note.map(|note| note.to_string()),
            };
            if gateway.is_none() {
                gateways::ensure(connection, eui, now).await?;
            }
            let kept = reports::keep(connection, &row, now).await?;
            if known.has_lost_reports {
                reports::count_again(connection, eui).await?;
            }
            if known.position.is_none() {
                reports::prune_streams(connection, eui, position.stream, MAX_STREAMS).await?;
            }
            if kept.reports > MAX_REPORTS || kept.size > MAX_REPORTS_SIZE {
                let most = Kept { reports: MAX_REPORTS / 2, size: MAX_REPORTS_SIZE / 2 };
                reports::prune_gateway(connection, eui, most).await?;
            }
            let own = command.filter(|command| command.row.eui == eui);
            let Some(command) = own else { return Ok(early) };
            if let Some(outcome) = outcome {
                let owed = owed_from(&command, &outcome, now);
                let said = (&outcome, position.stream);
                commands::keep_outcome(connection, command.row.command_id, said, owed, now).await?;
                if command.is_counted {
                    tally::forget(connection, command.row.update_id).await?;
                }
                // It was counted as one that never comes.
                if matches!(command.row.delivery, Delivery::Expired | Delivery::Cancelled) {
                    plans::reopen(connection, command.row.update_id).await?;
                }
                if let Some(text) = &report.differences {
                    differences::keep(connection, command.row.update_id, command.row.command_id, text)
                        .await?;
                }
                work.changes.push(Change::Delivery { update_id: command.row.update_id, eui });
            } else {
                commands::keep_heard_stream(connection, command.row.command_id, position.stream).await?;
            }
        }
    }
    Ok(early)
}

/// When the next step is owed. To say once more how far it was begins no time anew: what runs for ever is late at last.
fn owed_from(command: &KnownCommand, outcome: &Outcome, now: UnixSeconds) -> Option<UnixSeconds> {
    let row = &command.row;
    match (&row.outcome, row.overdue_at) {
        (Some(before), Some(at)) if before.rank() == outcome.rank() => Some(at),
        _ => overdue_at(outcome, &command.allowance, now),
    }
}

/// Puts a report aside that came before the one before it. It is not acknowledged: when there is no room for it, it comes again.
async fn put_aside(
    connection: &mut AnyConnection,
    report: &ReceivedReport,
    missing: u64,
    waiting: u64,
    now: UnixSeconds,
) -> Result<(), StoreError> {
    let ReceivedReport { eui, position, .. } = *report;
    let mut waiting = waiting;
    if waiting >= MAX_EARLY_REPORTS {
        // The gateway has lost its state since, and sends no more of what these wait for.
        waiting -= early::forget_other_streams(connection, eui, position.stream).await?;
    }
    let has_room = waiting < MAX_EARLY_REPORTS;
    tracing::debug!(%eui, number = position.number, missing, has_room, "a report came before the one before it");
    if has_room {
        gateways::ensure(connection, eui, now).await?;
        early::put(connection, report.eui, position, report.after, &report.json, now).await?;
    }
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
pub(super) fn not_json(error: serde_json::Error) -> StoreError {
    StoreError::Row { column: "(a message)", value: error.to_string() }
}

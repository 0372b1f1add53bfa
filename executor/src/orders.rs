//! Requests about a job that was begun: its cancellation, its confirmation. A session verifies them, leaves them for the
//! runner, and says what comes of it.

use std::io::Write as _;
use std::time::Duration;

use keros_platform::Open;
use keros_protocol::executor::{CancelAnswer, Event};
use keros_protocol::{CommandId, Envelope, Outcome};

use crate::begin::Answer;
use crate::cli::{CancelArgs, find_id};
use crate::drive::Drive;
use crate::engine::{Engine, PlaybookEngine};
use crate::exit::Failure;
use crate::follow::take_locks;
use crate::life::{CancelledBy, Phase};
use crate::settings::Settings;
use crate::state::asked::{leave_cancellation, leave_confirmation};
use crate::state::job::{Job, LockedJob};
use crate::state::started::Started;
use crate::state::story::Story;
use crate::state::{RunLock, State};
use crate::{stragglers, time_floor};

/// How long a runner may take to decide; it looks four times a second.
const PATIENCE: u32 = 200;
const INTERVAL: Duration = Duration::from_millis(50);

/// What it takes to serve such a request.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a, 's> {
    pub(crate) settings: &'a Settings,
    pub(crate) state: &'s State,
    pub(crate) engine: &'a dyn Engine,
}

impl<'a> Desk<'a, '_> {
    /// Cancels a job. `statement` is the center's word; without it the caller has made sure that root asks.
    pub(crate) fn cancel(self, id: CommandId, statement: Option<Envelope>) -> Result<Answer<'a>, Failure> {
        let by = if statement.is_some() { CancelledBy::Center } else { CancelledBy::Root };
        if let Some(envelope) = &statement {
            let statement = self.believed(envelope)?;
            if !statement.cancels(id) {
                return Err(Failure::Request(format!("the statement does not cancel command {id}")));
            }
        }
        let say = |answer| Event::CancelAnswered { command_id: id, answer };
        let Some(job) = self.state.job(id)? else {
            let started = Started::read(self.state.disk(), &self.state.started_path())?.contains(id);
            return Ok(Answer::Say(say(if started { CancelAnswer::TooLate } else { CancelAnswer::Unknown })));
        };
        let locks = take_locks(self.state, &job)?;
        let answer = answer_to_cancel(&phase(&job)?, by);
        if answer == CancelAnswer::TooLate {
            return Ok(Answer::Say(say(answer)));
        }
        let doing = format!("leave the cancellation of job {id}");
        leave_cancellation(&job, by, statement).map_err(Failure::io(doing))?;
        let Some((run_lock, locked)) = locks else {
            let answer = match answer {
                CancelAnswer::RollingBack => match self.decision(&job)? {
                    Some(Phase::Confirmed { .. }) => CancelAnswer::TooLate,
                    Some(Phase::Ended { outcome, .. }) if !matches!(*outcome, Outcome::RolledBack { .. }) => {
                        CancelAnswer::TooLate
                    }
                    _ => answer,
                },
                _ => answer,
            };
            return Ok(Answer::Say(say(answer)));
        };
        self.carry_on(say(answer), Some((run_lock, locked)))
    }

    /// Says this; a job that nobody runs is carried on then.
    fn carry_on(self, event: Event, locks: Option<(RunLock, LockedJob)>) -> Result<Answer<'a>, Failure> {
        let Some((run_lock, locked)) = locks else { return Ok(Answer::Say(event)) };
        let drive = Drive::take_over(self.settings, self.engine, locked)?;
        Ok(Answer::CarryOn(event, run_lock, Box::new(drive)))
    }

    /// Confirms a job, or spares the gateway the reboot after its undoing.
    pub(crate) fn confirm(self, id: CommandId, statement: &Envelope) -> Result<Answer<'a>, Failure> {
        let say = |accepted, message: Option<&str>| Event::ConfirmAnswered {
            command_id: id,
            accepted,
            message: message.map(str::to_owned),
        };
        let said = self.believed(statement)?;
        let Some(job) = self.state.job(id)? else {
            return Ok(Answer::Say(say(false, Some("no job of this id is kept here"))));
        };
        let locks = take_locks(self.state, &job)?;
        let phase = phase(&job)?;
        let waited_for = match &phase {
            Phase::Provisional(provisional) => &provisional.nonce,
            Phase::Undone { nonce: Some(nonce), .. } => nonce,
            Phase::Ended { .. } => return Ok(Answer::Say(say(false, Some("the job has ended")))),
            _ => return Ok(Answer::Say(say(false, Some("the job does not wait for a confirmation")))),
        };
        if !said.nonces.contains(waited_for) {
            return Ok(Answer::Say(say(
                false,
                Some("the statement does not carry the newest nonce of the job"),
            )));
        }
        time_floor::correct(self.state, said.time_unix_s);
        // Whoever asks may have kept the cancellation back, and cannot have the nonce signed without it.
        if said.cancels(id) && answer_to_cancel(&phase, CancelledBy::Center) == CancelAnswer::RollingBack {
            let doing = format!("leave the cancellation of job {id}");
            leave_cancellation(&job, CancelledBy::Center, Some(statement.clone()))
                .map_err(Failure::io(doing))?;
            let event = say(false, Some("the statement cancels the job: it is undone"));
            return self.carry_on(event, locks);
        }
        let doing = format!("leave the confirmation of job {id}");
        leave_confirmation(&job, statement).map_err(Failure::io(doing))?;
        if locks.is_some() {
            return self.carry_on(say(true, None), locks);
        }
        let is_late = self.is_late(&phase, &job)?;
        Ok(Answer::Say(say(!is_late, is_late.then_some("too late: that is decided already"))))
    }

    /// Whether a confirmation that was left for the runner in this phase has come too late.
    fn is_late(self, phase: &Phase, job: &Job) -> Result<bool, Failure> {
        Ok(match (phase, self.decision(job)?) {
            (Phase::Provisional(_), Some(Phase::Ended { outcome, .. })) => {
                matches!(*outcome, Outcome::RolledBack { .. })
            }
            (Phase::Provisional(_), Some(Phase::Confirmed { .. }) | None) => false,
            (Phase::Provisional(_), Some(_)) => true,
            (_, decided) => matches!(decided, Some(Phase::Rebooting { .. })),
        })
    }

    /// A statement that may be acted upon; its time raises the floor.
    fn believed(self, envelope: &Envelope) -> Result<keros_protocol::Statement, Failure> {
        let statement = self.settings.verifier().verify(envelope).map_err(Failure::Request)?;
        time_floor::raise(self.state, statement.time_unix_s);
        Ok(statement)
    }

    /// Where the job stands when its runner has made up its mind; `None` when it takes too long.
    fn decision(self, job: &Job) -> Result<Option<Phase>, Failure> {
        let length = || {
            let length = job.disk().open(&job.journal_path(), Open::Read).and_then(|file| file.length());
            length.map_err(Failure::io(format!("look at the journal of job {}", job.id())))
        };
        let before = std::mem::discriminant(&phase(job)?);
        let mut seen = None;
        for _ in 0..PATIENCE {
            // It may have become long: it is read only when something has come.
            let now = Some(length()?);
            if now != seen {
                seen = now;
                let now = phase(job)?;
                let waits = matches!(now, Phase::Provisional(_) | Phase::Undone { .. });
                if !waits || std::mem::discriminant(&now) != before {
                    return Ok(Some(now));
                }
            }
            self.state.host().sleep(INTERVAL);
        }
        Ok(None)
    }
}

/// `keros-executor cancel`: root asks on the gateway.
pub(crate) fn cancel(args: &CancelArgs) -> Result<(), Failure> {
    let settings = &args.settings;
    let state = State::open_for(settings)?;
    let known: Vec<CommandId> = state.jobs()?.iter().map(Job::id).collect();
    let id = find_id(&args.id, &known)?;
    let engine = PlaybookEngine { settings };
    let (event, rest) = match (Desk { settings, state: &state, engine: &engine }).cancel(id, None)? {
        Answer::CarryOn(event, run_lock, drive) => (event, Some((run_lock, drive))),
        Answer::Say(event) => (event, None),
        Answer::Follow(_) | Answer::Run(..) => {
            return Err(Failure::Internal("a cancellation runs no job".to_owned()));
        }
    };
    let line = match &event {
        Event::CancelAnswered { answer, .. } if !args.json => words(*answer).to_owned(),
        event => serde_json::to_string(event).map_err(|error| Failure::Internal(error.to_string()))?,
    };
    let _ = writeln!(std::io::stdout().lock(), "{line}");
    let Some((_run_lock, mut drive)) = rest else { return Ok(()) };
    stragglers::lead_session();
    drive.go(true).map(drop)
}

const fn words(answer: CancelAnswer) -> &'static str {
    match answer {
        CancelAnswer::Stopping => {
            "The job stops after the task under way; `keros-executor job ID` tells when it has."
        }
        CancelAnswer::RollingBack => "The job is being undone; `keros-executor job ID` tells when it is.",
        CancelAnswer::TooLate => "Too late: the job has ended, or is being undone already.",
        CancelAnswer::Unknown => "No such job was started here.",
    }
}

/// What comes of a cancellation, by where the job stands.
fn answer_to_cancel(phase: &Phase, by: CancelledBy) -> CancelAnswer {
    match phase {
        Phase::Unborn | Phase::Tasks { .. } | Phase::PartEnded { .. } => CancelAnswer::Stopping,
        // Its tasks have obeyed already; only root, who sees that, can mean more.
        Phase::Provisional(provisional)
            if by == CancelledBy::Center && matches!(*provisional.outcome, Outcome::Cancelled { .. }) =>
        {
            CancelAnswer::Stopping
        }
        Phase::Provisional(_) => CancelAnswer::RollingBack,
        Phase::Confirmed { .. }
        | Phase::RollingBack { .. }
        | Phase::Undone { .. }
        | Phase::Rebooting { .. }
        | Phase::Ended { .. } => CancelAnswer::TooLate,
    }
}

fn phase(job: &Job) -> Result<Phase, Failure> {
    let doing = format!("read the journal of job {}", job.id());
    let story = Story::read(job.disk(), &job.journal_path()).map_err(Failure::io(doing))?;
    match (story.life.phase, job.outcome()) {
        // An old job: its journal is gone.
        (Phase::Unborn, Some(Event::Ended { outcome })) => {
            Ok(Phase::Ended { outcome: Box::new(outcome), undone: None })
        }
        (phase, _) => Ok(phase),
    }
}

//! Carries a job through its life: asks the table ([`crate::life`]) what is next, does it, asks again. The process that began
//! the job and one that took it over do the same here.

use std::io;
use std::time::Duration;

use keros_protocol::Outcome;
use keros_protocol::executor::Event;
use keros_protocol::limits::{MAX_TEXT_BYTES, shorten};
use keros_service::Named;
use keros_service::log::{self, Subject};

use crate::bundle::Store;
use crate::engine::{Controls, Engine, Plan, TasksEnd};
use crate::exit::Failure;
use crate::life::{Action, CancelledBy, Concluded, Known, Life, Phase, after_tasks, next};
use crate::resume;
use crate::settings::Settings;
use crate::state::asked::Asked;
use crate::state::job::{Job, LockedJob};
use crate::state::journal::Journal;
use crate::state::story::Story;
use crate::telling::{self, Telling};
use crate::trust::{self, Kept};

/// How often it is looked for requests.
const INTERVAL: Duration = Duration::from_millis(250);
/// The longest window: a job must not keep the gateway from the next one for longer.
const MAX_WINDOW_S: u32 = 86_400;
/// The window of a job whose command cannot be read any more.
const UNKNOWN_WINDOW_S: u32 = 1800;
/// What is told of what remains: an event of a line, and a report, must hold it.
const MAX_REMAINS: usize = 100;

/// Where a job was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// It has its end.
    Ended,
    /// It waits for something.
    Waiting,
}

/// A job, and all that it takes to carry it on. Its holder has the run lock besides.
pub(crate) struct Drive<'a> {
    settings: &'a Settings,
    engine: &'a dyn Engine,
    locked: LockedJob,
    journal: Journal,
    life: Life,
    /// What the journal says, when this process took the job over.
    story: Story,
    /// What this process is to run, when it began the job.
    plan: Option<Plan>,
    asked: Asked,
    /// What lines of the log are about.
    subject: Subject,
    /// What happened and could not be written yet.
    unwritten: Vec<Event>,
    recorded_here: bool,
    reboot_asked: bool,
    since_ms: u64,
    /// The trusted keys were looked at since the tasks ended.
    keys_seen: bool,
}

impl<'a> Drive<'a> {
    /// A job that this process has just begun.
    pub(crate) fn begun(
        settings: &'a Settings,
        engine: &'a dyn Engine,
        (locked, journal): (LockedJob, Journal),
        plan: Plan,
    ) -> Self {
        let life = Life { phase: Phase::Tasks { resumed: 0 }, in_doubt: false };
        let drive = Self::of(settings, engine, locked, journal, Story { life, ..Story::default() });
        let text = format_args!("job started; tasks: {}", plan.tasks);
        log::tell_of(Named::JobStarted, drive.subject, &text);
        Self { plan: Some(plan), recorded_here: true, ..drive }
    }

    /// A job whose process is gone. What that left running is ended first.
    pub(crate) fn take_over(
        settings: &'a Settings,
        engine: &'a dyn Engine,
        mut locked: LockedJob,
    ) -> Result<Self, Failure> {
        let doing = format!("take job {} over", locked.job.id());
        let mut take = || -> io::Result<_> {
            let job = &locked.job;
            let story = Story::read(job.disk(), &job.journal_path())?;
            if story.terminated && story.ended.is_some() {
                // Nothing is written any more.
                let journal = Journal::append_to(job.disk(), &job.journal_path(), &story)?;
                return Ok((story, journal));
            }
            if let Some(runner) = job.runner()? {
                job.host().end_stragglers(&runner);
            }
            let journal = Journal::append_to(job.disk(), &job.journal_path(), &story)?;
            // On a full disk it cannot be told who carries the job on; it is carried on.
            let _ = locked.claim();
            Ok((story, journal))
        };
        let (story, journal) = take().map_err(Failure::io(doing))?;
        let mut drive = Self::of(settings, engine, locked, journal, story);
        if drive.outcome().is_none() {
            let text = "the process that ran the job is gone: this one goes on with it, or settles it";
            log::tell_of(Named::JobTakenOver, drive.subject, &text);
        }
        drive.mend_end()?;
        Ok(drive)
    }

    /// A job that has ended stays so, also when the record of its end is damaged.
    fn mend_end(&mut self) -> Result<(), Failure> {
        let outcome = match (&self.story.ended, self.job().outcome()) {
            (Some(_), _) if self.story.terminated => return Ok(()),
            // Its line feed is lost: that line may be taken for a torn one.
            (Some(outcome), _) => outcome.clone(),
            (None, Some(Event::Ended { outcome })) => outcome,
            (None, _) if self.job().has_outcome() => self.lost(),
            (None, _) => return Ok(()),
        };
        self.record(&Event::Ended { outcome })
    }

    fn of(
        settings: &'a Settings,
        engine: &'a dyn Engine,
        locked: LockedJob,
        journal: Journal,
        story: Story,
    ) -> Self {
        let asked = Asked::of(locked.job.clone(), settings.verifier());
        let since_ms = locked.job.host().boottime_ms();
        let life = story.life.clone();
        let command = locked.job.command();
        let subject = command.as_ref().map_or_else(|| locked.job.id().into(), telling::subject);
        Self {
            settings,
            engine,
            locked,
            journal,
            life,
            story,
            plan: None,
            asked,
            subject,
            unwritten: Vec::new(),
            recorded_here: false,
            reboot_asked: false,
            since_ms,
            keys_seen: false,
        }
    }

    /// The job.
    pub(crate) const fn job(&self) -> &Job {
        &self.locked.job
    }

    /// What lines of the log about it are about.
    pub(crate) const fn subject(&self) -> Subject {
        self.subject
    }

    /// Its journal.
    pub(crate) const fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// Its end, when it has one.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        if let Phase::Ended { outcome, .. } = &self.life.phase { Some(outcome) } else { None }
    }

    /// Carries it on, to its end, or until it would have to wait.
    pub(crate) fn go(&mut self, may_wait: bool) -> Result<Left, Failure> {
        loop {
            match self.next()? {
                Action::RunTasks => self.run_tasks(None)?,
                Action::ResumeTasks => self.resume_tasks()?,
                Action::Conclude(concluded) => self.conclude(concluded)?,
                Action::Record(event) => self.record(&event)?,
                Action::Undo => self.undo()?,
                Action::AskReboot => self.ask_reboot(),
                Action::Wait { .. } if !may_wait => return Ok(Left::Waiting),
                Action::Wait { at_most_ms } => {
                    self.job().host().sleep(INTERVAL.min(Duration::from_millis(at_most_ms)));
                }
                Action::Nothing => {
                    self.journal.release_reserve();
                    self.job().give_room_back();
                    self.keep_outcome()?;
                    return Ok(Left::Ended);
                }
            }
        }
    }

    fn next(&mut self) -> Result<Action, Failure> {
        self.with_known(next)
    }

    fn with_known<T>(&mut self, decide: impl FnOnce(&Life, &Known<'_>) -> T) -> Result<T, Failure> {
        let cancelled = self.asked.cancelled();
        let keys_lost = self.keys_lost_when_it_matters();
        let job = &self.locked.job;
        let host = job.host();
        let boottime_ms = host.boottime_ms();
        let new_nonce = host.new_nonce().map_err(Failure::io("make a nonce"))?;
        Ok(decide(
            &self.life,
            &Known {
                boot_id: &host.boot_id(),
                boottime_ms,
                unix_s: host.now_unix_s(),
                recorded_here: self.recorded_here,
                reboot_asked: self.reboot_asked,
                in_phase_ms: boottime_ms.saturating_sub(self.since_ms),
                can_reboot: host.can_reboot(),
                cancelled,
                keys_lost: keys_lost.as_deref(),
                signed_nonces: self.asked.signed_nonces(),
                new_nonce: &new_nonce,
                bounds: self.settings.bounds.of_life(),
            },
        ))
    }

    fn record(&mut self, event: &Event) -> Result<(), Failure> {
        self.unwritten.push(event.clone());
        if let Err(error) = self.write() {
            let failure = Failure::io(format!("write the journal of job {}", self.job().id()))(error);
            // A full disk is one of the things that undoing mends: what leads to it is done all the same, and may be done again.
            if !matches!(event, Event::Confirming { .. } | Event::RollingBack { .. }) {
                return Err(failure);
            }
            telling::failed(Some(self.subject), &failure.chain());
        }
        telling::tell(self.subject, event);
        self.life.take(event);
        self.recorded_here = true;
        self.reboot_asked = false;
        self.since_ms = self.job().host().boottime_ms();
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        while let Some(event) = self.unwritten.first() {
            self.journal.append_synced(event)?;
            self.unwritten.remove(0);
        }
        Ok(())
    }

    fn run_tasks(&mut self, resume: Option<String>) -> Result<(), Failure> {
        let plan = match self.plan.take() {
            Some(plan) => plan,
            None => match self.plan_again() {
                Ok(plan) => plan,
                Err(message) => return self.after_tasks(self.failed(message)),
            },
        };
        if self.window_s() > 0
            && let Err(failure) = self.job().keep_room()
        {
            telling::failed(Some(self.subject), &failure.chain());
        }
        let mut asked = self.asked.clone();
        let controls = Controls {
            is_cancelled: Box::new(move || asked.cancelled().is_some()),
            grace: self.settings.bounds.cancel_grace(),
            backup: self.job().backup_folder(),
            resume,
        };
        let mut journal = Telling { observer: &mut self.journal, subject: self.subject };
        match (plan.work)(&mut journal, controls) {
            TasksEnd::Ended(outcome) => self.after_tasks(outcome),
            TasksEnd::Reboot(task, text) => {
                let kept = resume::keep(self.job(), &text);
                kept.map_err(Failure::io(format!("keep where job {} goes on", self.job().id())))?;
                let boot_id = self.job().host().boot_id();
                self.record(&Event::PartEnded { task, boot_id })
            }
        }
    }

    fn resume_tasks(&mut self) -> Result<(), Failure> {
        match resume::find(self.job()) {
            Some(text) => self.run_tasks(Some(text)),
            None => {
                let message = "the record of where the job goes on after its reboot is damaged, so the rest was not run";
                self.after_tasks(self.failed(message.to_owned()))
            }
        }
    }

    /// The command was verified when it began; that nobody has changed it since is [`resume::find`]'s to say.
    fn plan_again(&self) -> Result<Plan, String> {
        let command = self.job().command().ok_or("the command is not readable any more")?;
        let store = Store::of(self.job().disk(), &self.settings.state.state_folder);
        let bundle = command.job.link().map(|digest| store.open(digest)).transpose();
        let plan = bundle.and_then(|bundle| self.engine.plan(&command, bundle.as_ref()));
        plan.map_err(|refusal| format!("the rest of the job cannot be run: {refusal}"))
    }

    fn conclude(&mut self, concluded: Concluded) -> Result<(), Failure> {
        let interruption = self.story.interruption.clone();
        let outcome = match concluded {
            Concluded::Interrupted => Outcome::Interrupted { interruption },
            Concluded::Cancelled(task) => {
                Outcome::Cancelled { task: Some(task), summary: interruption.summary, by_root: false }
            }
            Concluded::NoReboot(task, why) => Outcome::Failed {
                task: Some(task),
                exit_code: None,
                message: why,
                output: None,
                summary: interruption.summary,
            },
            Concluded::Damaged => self.lost(),
        };
        self.after_tasks(outcome)
    }

    fn window_s(&self) -> u32 {
        match self.job().command().map(|command| command.options) {
            Some(options) if options.dry_run => 0,
            Some(options) => options.confirm_window_s.min(MAX_WINDOW_S),
            // It may have had one.
            None => UNKNOWN_WINDOW_S,
        }
    }

    /// Why the job may not stay, as far as the trusted keys go.
    fn keys_lost(&self) -> Option<String> {
        let job = self.job();
        if job.command().is_some_and(|command| command.options.dry_run) {
            return None;
        }
        let after = Kept::read(&self.settings.trust_folder).ok();
        trust::lost(job.envelope().as_ref(), job.keys_before().as_ref(), after.as_ref())
    }

    /// The same while the job waits: once, and again when it is about to be confirmed.
    fn keys_lost_when_it_matters(&mut self) -> Option<String> {
        let Phase::Provisional(provisional) = &self.life.phase else { return None };
        if self.keys_seen && !self.asked.signed_nonces().contains(&provisional.nonce) {
            return None;
        }
        self.keys_seen = true;
        self.keys_lost()
    }

    fn after_tasks(&mut self, mut outcome: Outcome) -> Result<(), Failure> {
        if let Outcome::Cancelled { by_root, .. } = &mut outcome {
            *by_root = self.asked.cancelled() == Some(CancelledBy::Root);
        }
        let window_s = self.window_s();
        let has_changed = window_s > 0 && self.engine.has_changed(&self.job().backup_folder());
        let must_wait = has_changed || self.keys_lost().is_some();
        let has_obeyed = matches!(outcome, Outcome::Cancelled { .. });
        let event = self.with_known(|_, known| after_tasks(outcome, window_s, must_wait, known))?;
        self.record(&event)?;
        if has_obeyed {
            self.asked.forget_cancellation();
        }
        Ok(())
    }

    fn undo(&mut self) -> Result<(), Failure> {
        self.job().give_room_back();
        let backup = self.job().backup_folder();
        let (journal, subject) = (&mut self.journal, self.subject);
        let mut tell = |what: &str, error: Option<&str>| {
            let short = |text: &str| shorten(text, MAX_TEXT_BYTES);
            // A full disk must not keep the job from being undone: that may be what frees it.
            let step = Event::UndoStep { what: short(what), error: error.map(short) };
            let _ = journal.tell(&step);
            telling::tell(subject, &step);
        };
        let mut remains = self.engine.undo(&backup, &mut tell);
        // What no backup knows of: a shell task may have changed them.
        if let Some(keys) = self.locked.job.keys_before()
            && let Err(error) = keys.put_back(&self.settings.trust_folder)
        {
            remains.insert(0, format!("the trusted keys: {error}"));
        }
        let remains = bounded(remains);
        let nonce = self.with_known(|_, known| {
            (!remains.is_empty() && known.can_reboot).then(|| known.new_nonce.to_owned())
        })?;
        self.record(&Event::Undone { remains, nonce })
    }

    fn ask_reboot(&mut self) {
        if let Err(error) = self.job().host().reboot() {
            telling::failed(Some(self.subject), &format!("the gateway is to reboot, but: {error}"));
        }
        self.reboot_asked = true;
        self.since_ms = self.job().host().boottime_ms();
    }

    fn keep_outcome(&self) -> Result<(), Failure> {
        if self.job().outcome().is_some() {
            return Ok(());
        }
        let Some(outcome) = self.outcome() else { return Ok(()) };
        let ended = Event::Ended { outcome: outcome.clone() };
        let doing = format!("keep the outcome of job {}", self.job().id());
        self.job().keep_outcome(&ended).map_err(Failure::io(doing))
    }

    fn lost(&self) -> Outcome {
        let known = match &self.story.interruption.task {
            Some(task) => format!("the last task known to have begun is {task}"),
            None => "no task is known to have begun".to_owned(),
        };
        let lost = "the job's journal on the gateway is damaged, so its end is not known";
        self.failed(format!("{lost}; {known}"))
    }

    fn failed(&self, message: String) -> Outcome {
        let summary = self.story.interruption.summary;
        Outcome::Failed { task: None, exit_code: None, message, output: None, summary }
    }
}

/// No more of what remains than a report can hold.
fn bounded(mut remains: Vec<String>) -> Vec<String> {
    let all = remains.len();
    remains.truncate(MAX_REMAINS);
    let mut remains: Vec<String> = remains.iter().map(|text| shorten(text, MAX_TEXT_BYTES)).collect();
    if all > MAX_REMAINS {
        remains.push(format!("and {} more", all - MAX_REMAINS));
    }
    remains
}

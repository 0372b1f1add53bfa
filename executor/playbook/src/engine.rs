//! The engine: plays, tasks, items, attempts.

mod doubt;
mod group;
mod part;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use keros_protocol::executor::{Event, TaskResult, TaskStatus};
use keros_protocol::limits::{MAX_TEXT_BYTES, shorten};
use keros_protocol::{JobLimits, Summary, TaskRef, TimeLimit};
use serde_json::{Map, Value};

use self::doubt::Doubt;
use self::group::Group;
use crate::helpers::Registries;
use crate::mentions;
use crate::modules::{Action, Failure, Imagined, Run, Scope};
use crate::play::{Part, Play};
use crate::run::{Observer, RunOptions, Stop};
use crate::secrets::Secrets;
use crate::task::{Followup, Items, Task};
use crate::template::{self, Text};
use crate::variables::Variables;
use crate::{Actor, Cancel, Script, System, SystemError};

/// Items of one loop.
const MAX_ITEMS: usize = 10_000;

/// Events that are named in the end of one task; all are raised.
const MAX_SHOWN_EVENTS: usize = 100;

/// What became of one item, or of a task without items.
struct Ended {
    result: TaskResult,
    notified: Option<String>,
    timed_out: Option<TimeLimit>,
}

impl Ended {
    fn failed(message: impl Into<String>) -> Self {
        let message = Some(shorten(&message.into(), MAX_TEXT_BYTES));
        Self {
            result: TaskResult { message, ..TaskResult::of(TaskStatus::Failed) },
            notified: None,
            timed_out: None,
        }
    }

    const fn of(status: TaskStatus) -> Self {
        Self { result: TaskResult::of(status), notified: None, timed_out: None }
    }
}

/// Where in the script a task stands.
#[derive(Clone, Copy)]
struct Here<'a> {
    play: &'a Play,
    part: &'a Part,
    is_handler: bool,
}

/// A run under way.
pub(crate) struct Engine<'a> {
    script: &'a Script,
    system: &'a mut dyn System,
    options: &'a RunOptions,
    observer: &'a mut dyn Observer,
    limits: JobLimits,
    began: Instant,
    /// By the parts of the run before a reboot.
    used_ms: u64,
    deadline: Instant,
    variables: Variables,
    registries: Registries,
    imagined: Imagined,
    /// Counts of the tasks so far.
    pub(crate) summary: Summary,
    /// Events raised in this play.
    raised: BTreeSet<String>,
    /// What of this play a dry run cannot tell.
    doubt: Doubt,
    group: Group,
    /// Of the task before.
    number: u32,
    /// The last task that ended.
    last: Option<TaskRef>,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(
        script: &'a Script,
        system: &'a mut dyn System,
        options: &'a RunOptions,
        observer: &'a mut dyn Observer,
        secrets: Secrets,
    ) -> Self {
        let limits = options.limits.clamped();
        let mut variables = Variables::new(script.extra_vars.clone()).heard_by(secrets);
        // What `item` is outside of loops: a fact, so that the script's own variable of that name stands above it.
        variables.fact("item", Value::Bool(true));
        let (began, group) = (Instant::now(), Group::new(observer.barrier()));
        Self {
            script,
            system,
            options,
            observer,
            limits,
            began,
            used_ms: 0,
            deadline: began + Duration::from_secs(limits.total_s.into()),
            variables,
            registries: Registries::new(),
            imagined: Imagined::default(),
            summary: Summary::default(),
            raised: BTreeSet::new(),
            doubt: Doubt::default(),
            group,
            number: 0,
            last: None,
        }
    }

    /// Makes durable what the tasks did.
    ///
    /// # Errors
    /// Names what is not as a task said.
    pub(crate) fn checkpoint(&mut self) -> Result<(), SystemError> {
        self.system.checkpoint()?;
        // What is recorded next cannot be kept either, and that ends the run.
        let _ = self.end_group();
        Ok(())
    }

    /// Runs all plays.
    ///
    /// # Errors
    /// Why it ended before the last task.
    pub(crate) fn plays(&mut self) -> Result<(), Stop> {
        let (script, options) = (self.script, self.options);
        if let Some(resume) = &options.resume {
            self.take_over(resume);
        }
        script.plays.iter().try_for_each(|play| self.play(play))
    }

    fn play(&mut self, play: &'a Play) -> Result<(), Stop> {
        self.variables.enter_play(&play.variables);
        self.raised.clear();
        self.doubt = Doubt::default();
        for is_handler in [false, true] {
            for part in &play.parts {
                self.variables.enter_role(&part.variables);
                let here = Here { play, part, is_handler };
                let tasks = if is_handler { &part.handlers } else { &part.tasks };
                tasks.iter().try_for_each(|task| self.task(task, here))?;
            }
        }
        Ok(())
    }

    fn task(&mut self, task: &Task, here: Here<'a>) -> Result<(), Stop> {
        self.number += 1;
        let options = self.options;
        if let Some(resume) = options.resume.as_ref().filter(|resume| self.number <= resume.task.number) {
            return self.pass(task, resume);
        }
        if !self.is_selected(task, here.part) {
            return Ok(());
        }
        let reference = self.reference(task);
        if self.is_cancelled() || options.stop.as_ref().is_some_and(Cancel::is_asked) {
            return Err(Stop::Cancelled { task: self.last.take() });
        }
        let began = Instant::now();
        if began >= self.deadline {
            return Err(Stop::TimedOut { limit: TimeLimit::Total, task: None, output: None });
        }
        let grouped = self.join_group(task)?;
        self.observer.event(&Event::TaskStarted {
            task: reference.clone(),
            module: task.module_name.to_owned(),
            role: here.part.role.clone(),
            handler: here.is_handler,
            file: task.file.clone(),
            line: task.at.line,
            grouped,
        })?;
        self.variables.unknown.begin_task(&task.name);
        let mut notified = BTreeSet::new();
        let ended = self.task_result(task, here, &reference, &mut notified)?;
        let ended = self.settled(ended, grouped);
        if task.module.reboots() && ended.result.status == TaskStatus::Executed && !options.dry_run {
            let resume = Box::new(self.part_end(reference.clone(), notified));
            return Err(Stop::Reboot { task: reference, resume });
        }
        self.summary.count(ended.result.status);
        let duration_ms = ms_since(began);
        if !here.is_handler {
            self.raised.extend(notified.iter().cloned());
        }
        let notified = shown(&notified);
        let (task, result) = (reference, ended.result);
        self.observer.event(&Event::TaskEnded {
            task: task.clone(),
            result: result.clone(),
            notified,
            duration_ms,
        })?;
        if grouped {
            self.count_in_group()?;
        }
        match (ended.timed_out, result.status) {
            (Some(_), _) if self.is_cancelled() => Err(Stop::Cancelled { task: Some(task) }),
            (Some(limit), _) => Err(Stop::TimedOut { limit, task: Some(task), output: result.output }),
            (None, TaskStatus::Failed) => Err(Stop::Failed { task, result: Box::new(result) }),
            _ => {
                self.last = Some(task);
                Ok(())
            }
        }
    }

    fn reference(&self, task: &Task) -> TaskRef {
        TaskRef { number: self.number, count: self.script.task_count(), name: shorten(&task.name, 256) }
    }

    fn is_cancelled(&self) -> bool {
        self.options.cancel.as_ref().is_some_and(Cancel::is_asked)
    }

    /// Whether a task must not act any more.
    fn is_over(&self, deadline: Instant) -> bool {
        Instant::now() >= deadline || self.is_cancelled()
    }

    fn is_selected(&self, task: &Task, part: &Part) -> bool {
        let mut tags = task.with.tags.iter().chain(&part.tags);
        self.options.tags.is_empty() || tags.any(|tag| self.options.tags.contains(tag))
    }

    fn task_result(
        &mut self,
        task: &Task,
        here: Here<'a>,
        reference: &TaskRef,
        notified: &mut BTreeSet<String>,
    ) -> Result<Ended, Stop> {
        let is_handler = here.is_handler;
        let subscribe = task.with.subscribe.as_ref().filter(|_| is_handler);
        if let Some(event) = subscribe.filter(|event| !self.raised.contains(*event)) {
            return Ok(self.uncalled(task, here, event));
        }
        let Some(items) = &task.with.items else {
            let ended = self.one(task, here, reference)?;
            notified.extend(ended.notified.clone().filter(|_| !is_handler));
            return Ok(ended);
        };
        let items = match self.items(items) {
            Ok(items) => items,
            Err(message) => return Ok(self.refused(task, here, message)),
        };
        let mut most: Option<Ended> = None;
        for (item, number) in items.into_iter().zip(1..) {
            let began = Instant::now();
            let ended = self.item(task, here, item.clone(), reference)?;
            let raised = ended.notified.clone().filter(|_| !is_handler);
            notified.extend(raised.clone());
            let (item, result) = (shown_item(item), ended.result.clone());
            self.observer.event(&Event::ItemEnded {
                task: reference.clone(),
                item_number: number,
                item,
                result,
                notified: raised,
                duration_ms: Some(ms_since(began)),
            })?;
            let last = ended.result.status == TaskStatus::Failed;
            if most.as_ref().is_none_or(|most| weight(&ended) > weight(most)) {
                most = Some(ended);
            }
            if last {
                break;
            }
        }
        Ok(most.unwrap_or_else(|| Ended::failed("with/items contained no entries")))
    }

    /// The items of a loop; texts among them rendered.
    fn items(&self, items: &Items) -> Result<Vec<Value>, String> {
        let list = match items {
            Items::Texts(texts) => {
                let render =
                    |text: &Text| text.render(&self.registries, &self.variables).and_then(trimmed_item);
                texts.iter().map(render).collect::<Result<Vec<_>, _>>()?
            }
            Items::Variable(name) => {
                self.variables.refuse_unknown([name.as_str()])?;
                let value = self
                    .variables
                    .get(name)
                    .ok_or_else(|| format!("variable not found for items: {name}"))?;
                let list = value.as_array().ok_or("with/items variable did not resolve to a list")?;
                let list =
                    list.iter().map(|value| self.rendered_item(value)).collect::<Result<Vec<_>, _>>()?;
                list.iter().for_each(|value| self.variables.secrets().learn(name, value));
                list
            }
        };
        match list.len() {
            0 => Err("with/items contained no entries".to_owned()),
            1..=MAX_ITEMS => Ok(list),
            more => Err(format!("with/items contained {more} entries; at most {MAX_ITEMS} are allowed")),
        }
    }

    fn rendered_item(&self, value: &Value) -> Result<Value, String> {
        let Value::String(text) = value else { return Ok(value.clone()) };
        if !text.contains("{{") {
            return trimmed_item(text);
        }
        self.variables.refuse_unknown(mentions::in_template(text))?;
        let template = template::compile(text).map_err(|fault| fault.message)?;
        template::render(&template, &self.registries, self.variables.context()).and_then(trimmed_item)
    }

    fn item(&mut self, task: &Task, here: Here<'a>, item: Value, reference: &TaskRef) -> Result<Ended, Stop> {
        let before = self.variables.overlay(Map::from_iter([("item".to_owned(), item)]));
        let ended = self.one(task, here, reference);
        self.variables.lay_back(before);
        ended
    }

    /// One item, or a task without items: condition, texts, action.
    fn one(&mut self, task: &Task, here: Here<'a>, reference: &TaskRef) -> Result<Ended, Stop> {
        if let Some(message) = self.variables.secrets().take_complaint() {
            return Ok(Ended::failed(message));
        }
        let mut scope = Scope {
            registries: &self.registries,
            variables: &mut self.variables,
            folder: here.part.folder.as_deref(),
        };
        match task.with.condition.as_ref().map_or(Ok(true), |condition| scope.holds(condition)) {
            Ok(true) => {}
            Ok(false) => return Ok(Ended::of(TaskStatus::Skipped)),
            Err(message) => return Ok(self.refused(task, here, message)),
        }
        let prepared = default_user(here.play, self.options, &scope)
            .and_then(|user| Followup::prepare(task, user.as_deref(), &mut scope))
            .and_then(|followup| Ok((task.module.prepare(&mut scope)?, followup)));
        match prepared {
            Ok((mut action, followup)) => {
                let ended = self.attempts(action.as_mut(), here, &followup, (reference, task.module_name))?;
                Ok(self.told(task, here, ended))
            }
            Err(message) => Ok(self.refused(task, here, message)),
        }
    }

    /// Acts, again after a failure as often as the task says.
    fn attempts(
        &mut self,
        action: &mut dyn Action,
        here: Here<'a>,
        followup: &Followup,
        (reference, module): (&TaskRef, &str),
    ) -> Result<Ended, Stop> {
        let task_deadline = Instant::now() + Duration::from_secs(self.limits.task_s.into());
        let deadline = task_deadline.min(self.deadline);
        let limit = if self.deadline <= task_deadline { TimeLimit::Total } else { TimeLimit::Task };
        let mut left = if self.options.dry_run { 0 } else { followup.retry };
        let mut attempts = 0_u32;
        loop {
            if self.is_over(deadline) {
                return Ok(self.timed_out(Failure::default(), limit));
            }
            attempts += 1;
            let mut shown = reference.clone();
            self.variables.secrets().hide_in_task(&mut shown);
            self.system.begin_task(&shown, module);
            let acted = self.act_as(followup.user.as_deref(), action, here, deadline);
            let complaint = self.variables.secrets().take_complaint();
            let failure = match complaint.map_or(acted, |message| Err(message.into())) {
                Ok(mut result) => {
                    if !result.status.is_change() {
                        // What cannot be kept stays what it was: a program that may have changed something.
                        let _ = self.system.only_looked();
                    }
                    result.attempts = Some(attempts).filter(|attempts| *attempts > 1);
                    let notified = followup.notify.clone().filter(|_| result.status.is_change());
                    return Ok(Ended { result, notified, timed_out: None });
                }
                Err(failure) => failure,
            };
            if failure.timed_out || self.is_over(deadline) {
                return Ok(self.timed_out(failure, limit));
            }
            if left == 0 || failure.is_of_the_task {
                let is_ignored = followup.ignore_errors && !failure.is_of_the_task;
                let status = if is_ignored { TaskStatus::Ignored } else { TaskStatus::Failed };
                let mut result = failed(failure, status);
                result.attempts = Some(attempts).filter(|attempts| *attempts > 1);
                return Ok(Ended { result, notified: None, timed_out: None });
            }
            left -= 1;
            let (task, delay_s) = (reference.clone(), followup.delay_s);
            let message = shorten(&failure.message, MAX_TEXT_BYTES);
            // Whoever reads of the tasks before may end this program now; an error comes again at the end of the run.
            let _ = self.system.checkpoint();
            self.end_group_now()?;
            self.observer.event(&Event::Retrying { task, left, delay_s, message })?;
            let pause = Duration::from_secs(delay_s.into());
            self.rest(pause.min(deadline.saturating_duration_since(Instant::now())));
            if self.is_over(deadline) {
                return Ok(self.timed_out(failure, limit));
            }
        }
    }

    /// A pause that ends early when the run is cancelled.
    fn rest(&self, pause: Duration) {
        match &self.options.cancel {
            Some(cancel) => _ = cancel.wait(pause),
            None => std::thread::sleep(pause),
        }
    }

    /// Acts as a user; whatever comes of it, this program is itself again afterwards.
    fn act_as(
        &mut self,
        user: Option<&str>,
        action: &mut dyn Action,
        here: Here<'a>,
        deadline: Instant,
    ) -> Result<TaskResult, Failure> {
        let Some(user) = user else { return self.act(action, here, deadline) };
        let uid = self.system.user_id(user)?;
        let gid = self.system.own_group(uid)?;
        let acting = self.system.act_as(Some(Actor { uid, gid }));
        let result = acting.map_err(Failure::from).and_then(|()| self.act(action, here, deadline));
        self.system.act_as(None)?;
        result
    }

    fn act(
        &mut self,
        action: &mut dyn Action,
        here: Here<'a>,
        deadline: Instant,
    ) -> Result<TaskResult, Failure> {
        action.apply(&mut Run {
            system: self.system,
            variables: &mut self.variables,
            registries: &self.registries,
            dry_run: self.options.dry_run,
            diff: self.options.diff || self.options.dry_run,
            imagined: &mut self.imagined,
            deadline,
            cancel: self.options.cancel.as_ref(),
            output_bytes: usize::try_from(self.limits.output_bytes).unwrap_or(usize::MAX),
            folder: here.part.folder.as_deref(),
        })
    }

    fn timed_out(&self, failure: Failure, limit: TimeLimit) -> Ended {
        let seconds = match limit {
            TimeLimit::Task => self.limits.task_s,
            TimeLimit::Total => self.limits.total_s,
        };
        let message = match self.is_cancelled() {
            true => "ended: the run was cancelled".to_owned(),
            false => format!("ended after its time limit of {seconds} s ({})", limit.as_str()),
        };
        let result = failed(Failure { message, ..failure }, TaskStatus::Failed);
        Ended { result, notified: None, timed_out: Some(limit) }
    }
}

/// The user that tasks of a play act as when they name none: the play's, else that of the run.
fn default_user(play: &Play, options: &RunOptions, scope: &Scope<'_>) -> Result<Option<String>, String> {
    Ok(scope.optional_word(play.sudo.as_ref())?.or_else(|| options.sudo.clone()))
}

fn failed(failure: Failure, status: TaskStatus) -> TaskResult {
    let message = Some(shorten(&failure.message, MAX_TEXT_BYTES));
    TaskResult { message, exit_code: failure.exit_code, output: failure.output, ..TaskResult::of(status) }
}

/// Events that are named in the end of a task.
fn shown(notified: &BTreeSet<String>) -> Vec<String> {
    notified.iter().take(MAX_SHOWN_EVENTS).cloned().collect()
}

fn ms_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A text of a list as the loop has it: blanks at its ends do not count, and nothing is no item.
fn trimmed_item(text: impl AsRef<str>) -> Result<Value, String> {
    match text.as_ref().trim() {
        "" => Err("with/items: an item evaluated to empty string".to_owned()),
        trimmed => Ok(Value::from(trimmed)),
    }
}

/// An item as an event tells of it: a long one is cut, as text.
fn shown_item(item: Value) -> Value {
    let text = item.to_string();
    if text.len() <= MAX_TEXT_BYTES { item } else { Value::String(shorten(&text, MAX_TEXT_BYTES)) }
}

/// Of several items, the one that says most about their task.
const fn weight(ended: &Ended) -> u8 {
    match ended.result.status {
        TaskStatus::Failed => 8,
        TaskStatus::Ignored => 7,
        TaskStatus::Created => 6,
        TaskStatus::Modified => 5,
        TaskStatus::Removed => 4,
        TaskStatus::Executed => 3,
        TaskStatus::Matched => 2,
        TaskStatus::Passive => 1,
        TaskStatus::Skipped => 0,
    }
}

//! The engine: plays, tasks, items, attempts.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use keros_protocol::executor::{Event, TaskResult, TaskStatus};
use keros_protocol::limits::{MAX_TEXT_BYTES, shorten};
use keros_protocol::{JobLimits, Summary, TaskRef, TimeLimit};
use serde_json::{Map, Value};

use crate::helpers::Registries;
use crate::modules::{Action, Failure, Imagined, Run, Scope};
use crate::play::Play;
use crate::run::{Observer, RunOptions, Stop};
use crate::task::{Followup, Items, Task};
use crate::template;
use crate::variables::Variables;
use crate::{Script, System, SystemError};

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

/// A run under way.
pub(crate) struct Engine<'a> {
    script: &'a Script,
    system: &'a mut dyn System,
    options: &'a RunOptions,
    observer: &'a mut dyn Observer,
    limits: JobLimits,
    deadline: Instant,
    variables: Variables,
    registries: Registries,
    imagined: Imagined,
    /// Counts of the tasks so far.
    pub(crate) summary: Summary,
    /// Events raised in this play.
    raised: BTreeSet<String>,
    /// Of the task before.
    number: u32,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(
        script: &'a Script,
        system: &'a mut dyn System,
        options: &'a RunOptions,
        observer: &'a mut dyn Observer,
    ) -> Self {
        let limits = options.limits.clamped();
        Self {
            script,
            system,
            options,
            observer,
            limits,
            deadline: Instant::now() + Duration::from_secs(limits.total_s.into()),
            variables: Variables::new(script.extra_vars.clone()),
            registries: Registries::new(),
            imagined: Imagined::default(),
            summary: Summary::default(),
            raised: BTreeSet::new(),
            number: 0,
        }
    }

    /// Makes durable what the tasks did.
    ///
    /// # Errors
    /// Names what is not as a task said.
    pub(crate) fn checkpoint(&mut self) -> Result<(), SystemError> {
        self.system.checkpoint()
    }

    /// Runs all plays.
    ///
    /// # Errors
    /// Why it ended before the last task.
    pub(crate) fn plays(&mut self) -> Result<(), Stop> {
        let script = self.script;
        script.plays.iter().try_for_each(|play| self.play(play))
    }

    fn play(&mut self, play: &Play) -> Result<(), Stop> {
        self.variables.enter_play(play.variables.clone());
        self.raised.clear();
        play.tasks.iter().try_for_each(|task| self.task(task, false))?;
        play.handlers.iter().try_for_each(|task| self.task(task, true))
    }

    fn task(&mut self, task: &Task, is_handler: bool) -> Result<(), Stop> {
        self.number += 1;
        if !self.is_selected(task) {
            return Ok(());
        }
        let reference =
            TaskRef { number: self.number, count: self.script.task_count(), name: shorten(&task.name, 256) };
        let began = Instant::now();
        if began >= self.deadline {
            return Err(Stop::TimedOut { limit: TimeLimit::Total, task: None, output: None });
        }
        self.observer.event(&Event::TaskStarted {
            task: reference.clone(),
            module: task.module_name.to_owned(),
            role: task.role.clone(),
            handler: is_handler,
            line: task.at.line,
        })?;
        let mut notified = BTreeSet::new();
        let ended = self.task_result(task, is_handler, &reference, &mut notified)?;
        self.summary.count(ended.result.status);
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if !is_handler {
            self.raised.extend(notified.iter().cloned());
        }
        let notified = notified.into_iter().take(MAX_SHOWN_EVENTS).collect();
        let (task, result) = (reference, ended.result);
        self.observer.event(&Event::TaskEnded {
            task: task.clone(),
            result: result.clone(),
            notified,
            duration_ms,
        })?;
        match (ended.timed_out, result.status) {
            (Some(limit), _) => Err(Stop::TimedOut { limit, task: Some(task), output: result.output }),
            (None, TaskStatus::Failed) => Err(Stop::Failed { task, result: Box::new(result) }),
            _ => Ok(()),
        }
    }

    fn is_selected(&self, task: &Task) -> bool {
        self.options.tags.is_empty() || task.with.tags.iter().any(|tag| self.options.tags.contains(tag))
    }

    fn task_result(
        &mut self,
        task: &Task,
        is_handler: bool,
        reference: &TaskRef,
        notified: &mut BTreeSet<String>,
    ) -> Result<Ended, Stop> {
        if is_handler && task.with.subscribe.as_ref().is_some_and(|event| !self.raised.contains(event)) {
            return Ok(Ended::of(TaskStatus::Skipped));
        }
        let Some(items) = &task.with.items else {
            let ended = self.item(task, Value::Bool(true), reference)?;
            notified.extend(ended.notified.clone().filter(|_| !is_handler));
            return Ok(ended);
        };
        let items = match self.items(items) {
            Ok(items) => items,
            Err(message) => return Ok(Ended::failed(message)),
        };
        let mut most: Option<Ended> = None;
        for (item, number) in items.into_iter().zip(1..) {
            let ended = self.item(task, item.clone(), reference)?;
            notified.extend(ended.notified.clone().filter(|_| !is_handler));
            let (item, result) = (shown_item(item), ended.result.clone());
            self.observer.event(&Event::ItemEnded {
                task: reference.clone(),
                item_number: number,
                item,
                result,
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
        let context = self.variables.context();
        let list = match items {
            Items::Texts(texts) => {
                let rendered =
                    texts.iter().map(|text| text.render(&self.registries, context).map(Value::from));
                rendered.collect::<Result<Vec<_>, _>>()?
            }
            Items::Variable(name) => {
                let value = self
                    .variables
                    .get(name)
                    .ok_or_else(|| format!("variable not found for items: {name}"))?;
                let list = value.as_array().ok_or("with/items variable did not resolve to a list")?;
                list.iter().map(|value| self.rendered_item(value)).collect::<Result<Vec<_>, _>>()?
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
            return Ok(value.clone());
        }
        let template = template::compile(text).map_err(|fault| fault.message)?;
        template::render(&template, &self.registries, self.variables.context()).map(Value::String)
    }

    fn item(&mut self, task: &Task, item: Value, reference: &TaskRef) -> Result<Ended, Stop> {
        let before = self.variables.overlay(Map::from_iter([("item".to_owned(), item)]));
        let ended = self.one(task, reference);
        self.variables.lay_back(before);
        ended
    }

    /// One item, or a task without items: condition, texts, action.
    fn one(&mut self, task: &Task, reference: &TaskRef) -> Result<Ended, Stop> {
        let script = self.script;
        let mut scope = Scope {
            registries: &self.registries,
            variables: &mut self.variables,
            folder: script.folder.as_deref(),
        };
        match task.with.condition.as_ref().map_or(Ok(true), |condition| scope.holds(condition)) {
            Ok(true) => {}
            Ok(false) => return Ok(Ended::of(TaskStatus::Skipped)),
            Err(message) => return Ok(Ended::failed(message)),
        }
        let prepared = Followup::prepare(task, &scope)
            .and_then(|followup| Ok((task.module.prepare(&mut scope)?, followup)));
        match prepared {
            Ok((mut action, followup)) => self.attempts(action.as_mut(), &followup, reference),
            Err(message) => Ok(Ended::failed(message)),
        }
    }

    /// Acts, again after a failure as often as the task says.
    fn attempts(
        &mut self,
        action: &mut dyn Action,
        followup: &Followup,
        reference: &TaskRef,
    ) -> Result<Ended, Stop> {
        let task_deadline = Instant::now() + Duration::from_secs(self.limits.task_s.into());
        let deadline = task_deadline.min(self.deadline);
        let limit = if self.deadline <= task_deadline { TimeLimit::Total } else { TimeLimit::Task };
        let mut left = if self.options.dry_run { 0 } else { followup.retry };
        loop {
            if Instant::now() >= deadline {
                return Ok(self.timed_out(Failure::default(), limit));
            }
            let failure = match self.act(action, deadline) {
                Ok(result) => {
                    let notified = followup.notify.clone().filter(|_| result.status.is_change());
                    return Ok(Ended { result, notified, timed_out: None });
                }
                Err(failure) => failure,
            };
            if failure.timed_out || Instant::now() >= deadline {
                return Ok(self.timed_out(failure, limit));
            }
            if left == 0 {
                let status = if followup.ignore_errors { TaskStatus::Ignored } else { TaskStatus::Failed };
                return Ok(Ended { result: failed(failure, status), notified: None, timed_out: None });
            }
            left -= 1;
            let (task, delay_s) = (reference.clone(), followup.delay_s);
            let message = shorten(&failure.message, MAX_TEXT_BYTES);
            // Whoever reads of the tasks before may end this program now; an error comes again at the end of the run.
            let _ = self.system.checkpoint();
            self.observer.event(&Event::Retrying { task, left, delay_s, message })?;
            let pause = Duration::from_secs(delay_s.into());
            std::thread::sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
            if Instant::now() >= deadline {
                return Ok(self.timed_out(failure, limit));
            }
        }
    }

    fn act(&mut self, action: &mut dyn Action, deadline: Instant) -> Result<TaskResult, Failure> {
        let script = self.script;
        action.apply(&mut Run {
            system: self.system,
            variables: &mut self.variables,
            registries: &self.registries,
            dry_run: self.options.dry_run,
            imagined: &mut self.imagined,
            deadline,
            output_bytes: usize::try_from(self.limits.output_bytes).unwrap_or(usize::MAX),
            folder: script.folder.as_deref(),
        })
    }

    fn timed_out(&self, failure: Failure, limit: TimeLimit) -> Ended {
        let seconds = match limit {
            TimeLimit::Task => self.limits.task_s,
            TimeLimit::Total => self.limits.total_s,
        };
        let message = format!("ended after its time limit of {seconds} s ({})", limit.as_str());
        let result = failed(Failure { message, ..failure }, TaskStatus::Failed);
        Ended { result, notified: None, timed_out: Some(limit) }
    }
}

fn failed(failure: Failure, status: TaskStatus) -> TaskResult {
    let message = Some(shorten(&failure.message, MAX_TEXT_BYTES));
    TaskResult { status, changes: Vec::new(), message, exit_code: failure.exit_code, output: failure.output }
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

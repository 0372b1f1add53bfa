//! Who goes on, when, and what is lost: the scheduler. One thread at a time has the baton, chance decides at each operation
//! whether another one gets it, so that a seed gives the same history each time.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::counts::Counts;
use crate::disk::{Fault, Op};
use crate::plan::{Lie, Plan, Rates};
use crate::random::Random;
use crate::truth::Truth;

/// The thread of the world and of the agent.
const MAIN: usize = 0;
/// Lines of the trace that are kept.
const TRACE_LINES: usize = 20_000;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(MAIN) };
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    Fail(Fault),
    /// The process ends here: [`Sim::die`].
    Die,
}

/// Carried by the unwinding of a process that is lost.
struct Lost;

#[derive(Debug)]
pub(crate) struct Sim {
    inner: Mutex<Inner>,
    main: Condvar,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) random: Random,
    /// The true time since the history began.
    pub(crate) now_ms: u64,
    /// What the gateway's clock is ahead of the true time, seconds.
    pub(crate) clock_ahead_s: i64,
    pub(crate) boot: u64,
    pub(crate) booted_at_ms: u64,
    pub(crate) rates: Rates,
    /// What fails at this time.
    pub(crate) fault: Option<Fault>,
    /// What goes wrong at an operation of a certain number.
    pub(crate) plan: Plan,
    pub(crate) counts: Counts,
    pub(crate) truth: Truth,
    pub(crate) power_lost: bool,
    /// The gateway reboots by itself then.
    pub(crate) reboot_at_ms: Option<u64>,
    trace: Option<VecDeque<String>>,
    failure: Option<String>,
    holder: usize,
    threads: Vec<Thread>,
    last_process: i32,
}

#[derive(Debug)]
struct Thread {
    process: i32,
    state: ThreadState,
    killed: bool,
    resumed: Arc<Condvar>,
    handle: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ThreadState {
    Ready,
    Waiting { until_ms: u64 },
    Finished,
}

impl Sim {
    pub(crate) fn new(seed: u64, traced: bool) -> Arc<Self> {
        CURRENT.set(MAIN);
        let inner = Inner {
            random: Random::new(seed),
            now_ms: 0,
            clock_ahead_s: 0,
            boot: 1,
            booted_at_ms: 0,
            rates: Rates::default(),
            fault: None,
            plan: Plan::default(),
            counts: Counts { histories: 1, ..Counts::default() },
            truth: Truth::default(),
            power_lost: false,
            reboot_at_ms: None,
            trace: traced.then(VecDeque::new),
            failure: None,
            holder: MAIN,
            // The world's own place.
            threads: vec![Thread {
                process: 0,
                state: ThreadState::Finished,
                killed: false,
                resumed: Arc::default(),
                handle: None,
            }],
            last_process: 0,
        };
        Arc::new(Self { inner: Mutex::new(inner), main: Condvar::new() })
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with_random<T>(&self, choose: impl FnOnce(&mut Random) -> T) -> T {
        choose(&mut self.inner().random)
    }

    /// What becomes of this operation.
    pub(crate) fn decide(&self, op: Op, path: &Path) -> Verdict {
        if std::thread::panicking() {
            return Verdict::Fail(Fault::Broken);
        }
        let me = CURRENT.get();
        let mut inner = self.inner();
        let switch_percent = inner.rates.switch_percent;
        if me != MAIN && inner.random.percent(switch_percent) {
            inner = self.pass(inner, me, ThreadState::Ready);
        }
        if inner.threads[me].killed {
            return Verdict::Die;
        }
        inner.verdict(me, op, path)
    }

    /// Between two effects of a process.
    pub(crate) fn between(&self, what: &str) {
        if self.decide(Op::Effect, Path::new(what)) == Verdict::Die {
            self.die();
        }
    }

    /// Ends the process that asks.
    pub(crate) fn die(&self) -> ! {
        resume_unwind(Box::new(Lost))
    }

    /// Whether the machine lies about this.
    pub(crate) fn lies(&self, op: Op, path: &Path) -> bool {
        let ends = |end: &str| path.to_string_lossy().ends_with(end);
        match (self.inner().plan.lie, op) {
            (Some(Lie::Sync(end)), Op::Sync)
            | (Some(Lie::FolderSync(end)), Op::SyncFolder)
            | (Some(Lie::Lock(end)), Op::Lock)
            | (Some(Lie::Rename(end)), Op::Rename) => ends(end),
            _ => false,
        }
    }

    /// Whether this is how a process ends that is lost.
    pub(crate) fn is_loss(payload: &(dyn Any + Send)) -> bool {
        payload.is::<Lost>()
    }

    /// Notes that the real code, or an invariant, is wrong. The first one counts.
    pub(crate) fn fail(&self, text: impl Into<String>) {
        let mut inner = self.inner();
        let text = text.into();
        inner.tell(|| format!("FAILURE: {text}"));
        inner.failure.get_or_insert(text);
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.inner().failure.clone()
    }

    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        self.inner().tell(line);
    }

    pub(crate) fn trace(&self) -> Vec<String> {
        self.inner().trace.iter().flatten().cloned().collect()
    }

    /// Starts a process with one thread.
    pub(crate) fn start_process(self: &Arc<Self>, body: impl FnOnce() + Send + 'static) -> i32 {
        let mut inner = self.inner();
        inner.last_process += 1;
        let process = inner.last_process;
        drop(inner);
        self.start_thread_of(process, Box::new(body));
        process
    }

    /// Starts another thread of the process that asks.
    pub(crate) fn start_thread(self: &Arc<Self>, body: Box<dyn FnOnce() + Send>) {
        self.start_thread_of(self.process(), body);
    }

    fn start_thread_of(self: &Arc<Self>, process: i32, body: Box<dyn FnOnce() + Send>) {
        let mut inner = self.inner();
        let number = inner.threads.len();
        let sim = Arc::clone(self);
        let builder = std::thread::Builder::new().stack_size(1024 * 1024);
        let handle = builder.spawn(move || sim.thread(number, body)).expect("a thread for the simulation");
        inner.threads.push(Thread {
            process,
            state: ThreadState::Ready,
            killed: false,
            resumed: Arc::default(),
            handle: Some(handle),
        });
    }

    fn thread(self: Arc<Self>, number: usize, body: Box<dyn FnOnce() + Send>) {
        CURRENT.set(number);
        let inner = self.wait_for_baton(self.inner(), number);
        let killed = inner.threads[number].killed;
        drop(inner);
        if !killed && let Err(payload) = catch_unwind(AssertUnwindSafe(body)) {
            self.note_end(payload.as_ref());
        }
        let mut inner = self.inner();
        inner.threads[number].state = ThreadState::Finished;
        inner.holder = MAIN;
        self.main.notify_one();
    }

    /// After an unwinding: a loss is part of the history, anything else is a failure.
    pub(crate) fn note_end(&self, payload: &(dyn Any + Send)) {
        if !Self::is_loss(payload) {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("?");
            self.fail(format!("the code panicked: {text}"));
        }
    }

    /// The process that asks; 0 is the agent's.
    pub(crate) fn process(&self) -> i32 {
        self.inner().threads[CURRENT.get()].process
    }

    /// Lets others go on until `done`, or until this time has passed.
    pub(crate) fn wait(&self, done: &mut dyn FnMut() -> bool, at_most: Duration) {
        let me = CURRENT.get();
        let at_most_ms = u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX).max(1);
        // On a gateway that is busy, a while becomes longer.
        let factor = if at_most_ms < 1000 { 1 + self.with_random(|random| random.below(30)) } else { 1 };
        let until_ms = self.inner().now_ms.saturating_add(at_most_ms * factor);
        while !done() {
            let inner = self.inner();
            if std::thread::panicking() || inner.now_ms >= until_ms || me == MAIN {
                return;
            }
            let inner = self.pass(inner, me, ThreadState::Waiting { until_ms });
            if inner.threads[me].killed {
                drop(inner);
                self.die();
            }
        }
    }

    fn pass<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        me: usize,
        state: ThreadState,
    ) -> MutexGuard<'a, Inner> {
        inner.threads[me].state = state;
        inner.holder = MAIN;
        self.main.notify_one();
        self.wait_for_baton(inner, me)
    }

    fn wait_for_baton<'a>(&'a self, mut inner: MutexGuard<'a, Inner>, me: usize) -> MutexGuard<'a, Inner> {
        let resumed = Arc::clone(&inner.threads[me].resumed);
        while inner.holder != me {
            inner = resumed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner
    }

    /// Gives a thread the baton until it gives it back.
    fn resume(&self, number: usize) {
        let mut inner = self.inner();
        inner.holder = number;
        inner.threads[number].resumed.notify_one();
        while inner.holder != MAIN {
            inner = self.main.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if inner.threads[number].state == ThreadState::Finished
            && let Some(handle) = inner.threads[number].handle.take()
        {
            drop(inner);
            let _ = handle.join();
        }
    }

    /// Lets any thread go on for a while. `false` when there is none that could.
    pub(crate) fn run_one(&self) -> bool {
        let mut inner = self.inner();
        let now_ms = inner.now_ms;
        let runnable: Vec<usize> = (1..inner.threads.len())
            .filter(|number| match inner.threads[*number].state {
                ThreadState::Ready => true,
                ThreadState::Waiting { until_ms } => now_ms >= until_ms,
                ThreadState::Finished => false,
            })
            .collect();
        if runnable.is_empty() {
            return false;
        }
        let chosen = runnable[inner.random.index(runnable.len())];
        drop(inner);
        self.resume(chosen);
        self.reap();
        true
    }

    /// When the next waiting thread may go on.
    pub(crate) fn next_wake_ms(&self) -> Option<u64> {
        let inner = self.inner();
        let waits = inner.threads.iter().filter_map(|thread| match thread.state {
            ThreadState::Ready => Some(inner.now_ms),
            ThreadState::Waiting { until_ms } => Some(until_ms),
            ThreadState::Finished => None,
        });
        waits.min()
    }

    /// Processes that have not ended.
    pub(crate) fn alive(&self) -> Vec<i32> {
        let inner = self.inner();
        let alive = inner.threads.iter().filter(|thread| thread.state != ThreadState::Finished);
        let mut alive: Vec<i32> = alive.map(|thread| thread.process).collect();
        alive.dedup();
        alive
    }

    pub(crate) fn kill(&self, process: i32) {
        self.inner().kill(process);
        self.reap();
    }

    /// Ends all processes.
    pub(crate) fn kill_all(&self) {
        self.inner().kill_all();
        self.reap();
    }

    /// Ends all processes for a reboot that one of them has asked for: none of them is lost.
    pub(crate) fn stop_all(&self) {
        for thread in &mut self.inner().threads {
            thread.killed = true;
        }
        self.reap();
        self.inner().threads[MAIN].killed = false;
    }

    /// Lets what was killed end.
    fn reap(&self) {
        loop {
            let inner = self.inner();
            let killed = (1..inner.threads.len()).find(|number| {
                inner.threads[*number].killed && inner.threads[*number].state != ThreadState::Finished
            });
            drop(inner);
            match killed {
                Some(number) => self.resume(number),
                None => return,
            }
        }
    }
}

impl Inner {
    fn verdict(&mut self, me: usize, op: Op, path: &Path) -> Verdict {
        self.counts.operations += 1;
        let number = self.counts.operations;
        let process = self.threads[me].process;
        self.tell(|| format!("{number} process {process}: {op:?} {}", path.display()));
        let (loss, power) = (self.rates.loss_once_in, self.rates.power_percent);
        let planned = self.plan.lost.take_if(|(at, _)| *at <= number).map(|(_, power)| power);
        if planned.is_some() || self.random.once_in(loss) {
            let power = planned.unwrap_or_else(|| self.random.percent(power));
            self.lose(me, op, path, power);
            return Verdict::Die;
        }
        if op == Op::Effect {
            return Verdict::Go;
        }
        let once = self.plan.fails.filter(|(at, length, _)| (*at..at + length).contains(&number));
        let once = once.map(|(_, _, fault)| fault);
        let error = self.rates.error_once_in;
        let failing = once.or(self.fault).or_else(|| self.random.once_in(error).then_some(Fault::Broken));
        match failing.filter(|fault| fault.concerns(op)) {
            Some(fault) => {
                self.counts.failed_operations += 1;
                self.truth.disk_failed = true;
                self.tell(|| format!("    fails: {fault:?}"));
                Verdict::Fail(fault)
            }
            None => Verdict::Go,
        }
    }

    fn lose(&mut self, me: usize, op: Op, path: &Path, power: bool) {
        self.counts.crash_points += 1;
        let who = if me == MAIN { "agent" } else { "executor" };
        *self.counts.sites.entry((who, op, class_of(path))).or_default() += 1;
        if power {
            self.tell(|| "    the power is cut".to_owned());
            self.power_lost = true;
            self.kill_all();
        } else {
            self.counts.process_losses += 1;
            self.tell(|| "    the process is killed".to_owned());
            if me != MAIN {
                self.kill(self.threads[me].process);
            }
        }
    }

    fn kill(&mut self, process: i32) {
        let mut any = false;
        for thread in self.threads.iter_mut().filter(|thread| thread.process == process) {
            any |= thread.state != ThreadState::Finished;
            thread.killed = true;
        }
        if any {
            self.truth.process_lost(process);
        }
    }

    fn kill_all(&mut self) {
        let processes: Vec<i32> = self.threads.iter().skip(1).map(|thread| thread.process).collect();
        for process in processes {
            self.kill(process);
        }
    }

    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        let now_ms = self.now_ms;
        if let Some(trace) = &mut self.trace {
            trace.push_back(format!("{now_ms:>9} ms  {}", line()));
            if trace.len() > TRACE_LINES {
                trace.pop_front();
            }
        }
    }
}

/// A path without what is different in each history.
fn class_of(path: &Path) -> String {
    let text = path.to_string_lossy();
    let parts = text.split('/').filter(|part| !part.is_empty()).map(|part| {
        let is_id = |text: &str| text.parse::<uuid::Uuid>().is_ok();
        let stem = part.strip_prefix(".new-").unwrap_or(part);
        let (stem, end) = stem.split_once('.').unwrap_or((stem, ""));
        match (part.starts_with(".new-"), is_id(stem), end) {
            (true, true, _) => ".new-ID".to_owned(),
            (false, true, "") => "ID".to_owned(),
            (false, true, end) => format!("ID.{end}"),
            _ => part.split(".damaged-").next().unwrap_or(part).to_owned(),
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

//! Ends an attempt from outside, also while it waits for a server that says nothing.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::Agent;

/// Shared by an attempt and the one who may end it.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_set: bool,
    /// Whose connections are shut.
    agent: Option<Agent>,
}

impl Stop {
    /// Ends the attempt: its connections are shut, and it makes no new ones.
    pub(crate) fn set(&self) {
        let mut state = self.state();
        state.is_set = true;
        if let Some(agent) = state.agent.take() {
            agent.shutdown();
        }
        self.changed.notify_all();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.state().is_set
    }

    /// From now on this one's connections are shut when the attempt is ended.
    pub(crate) fn watch(&self, agent: Agent) {
        let mut state = self.state();
        if state.is_set {
            agent.shutdown();
        } else {
            state.agent = Some(agent);
        }
    }

    /// Waits, but not beyond the end of the attempt.
    pub(crate) fn sleep(&self, duration: Duration) {
        let end = Instant::now() + duration;
        let mut state = self.state();
        while !state.is_set {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

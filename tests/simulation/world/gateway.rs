//! The agent's process, and its sessions with the executor.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use keros_machine::Event;
use keros_protocol::CommandId;
use keros_protocol::eligibility::claimed_ids;
use keros_protocol::executor::{self, Request};

use super::{Session, Up, World};
use crate::agent::{Agent, Wish};
use crate::center::BEGIN_UNIX_S;
use crate::executor::{Said, start_session};

impl World {
    pub(super) fn start_agent(&mut self) -> Result<(), String> {
        let (sim, disk) = (Arc::clone(&self.sim), Arc::clone(&self.disk));
        let before = self.sim.inner().truth.disk_failed;
        match catch_unwind(AssertUnwindSafe(|| Agent::start(&sim, &disk))) {
            Ok(Ok((agent, warnings))) => {
                let excused = {
                    let truth = &self.sim.inner().truth;
                    truth.damaged || truth.disk_failed
                };
                self.sim.tell(|| format!("the agent starts {warnings:?}"));
                if !warnings.is_empty() && !excused {
                    return Err(format!("not true: a power cut damages no state: {warnings:?}"));
                }
                self.agent = Some(agent);
                self.agent_does(Agent::boot);
            }
            Ok(Err(error)) => {
                self.sim.tell(|| format!("the agent does not start: {error}"));
                if !self.sim.inner().truth.disk_failed && !before {
                    return Err(format!("not true: the agent starts: {error}"));
                }
            }
            Err(payload) => self.sim.note_end(payload.as_ref()),
        }
        self.after()
    }

    /// The agent's process does something, and may be lost in it.
    pub(crate) fn agent_does(&mut self, what: impl FnOnce(&mut Agent)) {
        let Some(agent) = &mut self.agent else { return };
        let lost = catch_unwind(AssertUnwindSafe(|| what(agent)));
        let wishes = std::mem::take(&mut agent.hands.wishes);
        for wish in wishes {
            self.fulfil(wish);
        }
        if let Err(payload) = lost {
            self.sim.note_end(payload.as_ref());
            self.agent_is_gone();
        }
    }

    pub(super) fn agent_is_gone(&mut self) {
        if self.agent.take().is_some() {
            self.sim.tell(|| "the agent is gone".to_owned());
        }
        self.connected = false;
        self.down.clear();
        self.bundles.agent_is_gone();
        for said in std::mem::take(&mut self.sessions).into_values().filter_map(|session| session.said) {
            said.close();
        }
    }

    fn fulfil(&mut self, wish: Wish) {
        match wish {
            Wish::Report(report) => {
                let checked = self.sim.inner().truth.published(&report);
                checked.unwrap_or_else(|text| self.sim.fail(text));
                self.send(Up::Report(report));
            }
            Wish::Telemetry { stream, nonces } => self.send(Up::Telemetry { stream, nonces }),
            Wish::Reconnect => self.reconnects = true,
            Wish::Open { session, request } => self.open(session, request),
            Wish::Fetch { command_id, rehash } => self.fetch_ordered(command_id, rehash),
            Wish::StopFetch { command_id } => self.fetch_stopped(command_id),
            Wish::Close { session } => {
                if let Some(said) = self.sessions.remove(&session).and_then(|session| session.said) {
                    said.close();
                }
            }
        }
    }

    fn open(&mut self, number: u64, mut request: Request) {
        let id = match &mut request {
            Request::Run { envelope, bundle, .. } => {
                let id = claimed_ids(envelope).map(|(id, _)| id);
                *bundle = id.and_then(|id| self.bundle_of(id));
                id
            }
            Request::Attach { command_id }
            | Request::Cancel { command_id, .. }
            | Request::Confirm { command_id, .. } => Some(*command_id),
            Request::Status {} => None,
        };
        self.sim.tell(|| format!("session {number}: {}", of_request(&request)));
        if !self.executor_reachable {
            self.sessions.insert(number, Session { id, said: None });
            return;
        }
        let (process, said) = start_session(&self.sim, &self.disk, request);
        if let Some(id) = id {
            let mut inner = self.sim.inner();
            let honest = !inner.truth.clock_was_wrong;
            let now_unix_s = BEGIN_UNIX_S + inner.now_ms / 1000;
            inner.truth.asked(process, id, honest.then_some(now_unix_s));
        }
        self.sessions.insert(number, Session { id, said: Some(said) });
    }

    fn bundle_of(&self, id: CommandId) -> Option<PathBuf> {
        let link = self.sim.inner().truth.stories.get(&id)?.link?;
        Some(self.bundles.folder_of(link.number))
    }

    /// The agent hears the next thing of one of its sessions.
    pub(super) fn hear(&mut self) {
        if self.sessions.is_empty() || self.agent.is_none() {
            return;
        }
        let chosen = self.below(self.sessions.len() as u64) as usize;
        let Some((number, session)) = self.sessions.iter().nth(chosen) else { return };
        let (number, id) = (*number, session.id);
        if let Some(event) = session.said.as_ref().and_then(Said::take) {
            self.sim.tell(|| format!("session {number} says {event:?}"));
            if let (Some(id), executor::Event::Confirming { nonce, .. }) = (id, &event) {
                self.sim.inner().truth.asks(id, nonce);
            }
            self.agent_does(|agent| agent.happen(Event::Executor { session: number, event }));
        } else if session.said.as_ref().is_none_or(Said::is_over) {
            let handed_over = session.said.is_some();
            self.sessions.remove(&number);
            let message = "the session is over".to_owned();
            self.agent_does(|agent| {
                agent.happen(Event::SessionClosed { session: number, handed_over, message });
            });
        }
    }
}

const fn of_request(request: &Request) -> &'static str {
    match request {
        Request::Run { .. } => "run",
        Request::Attach { .. } => "attach",
        Request::Cancel { .. } => "cancel",
        Request::Confirm { .. } => "confirm",
        Request::Status {} => "status",
    }
}

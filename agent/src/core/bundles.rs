//! What the state orders about bundles, from the commands that are stored.

use std::thread::JoinHandle;

use keros_machine::{Event, Now, State};
use keros_protocol::magic_link::{Digest, Source};
use keros_protocol::{Command, CommandId, Job};
use keros_service::log;
use tracing::Level;

use super::{Core, Shell};
use crate::fetch::{FetchEvent, Order};
use crate::store::{Store, StoredCommand};

/// What a command needs before it can run.
pub(super) struct Link {
    digest: Digest,
    source: Option<Source>,
    token: Option<String>,
}

/// The Magic Link that a stored command names. It was verified before it was stored.
pub(super) fn link_of(command: &StoredCommand) -> Option<Link> {
    let payload = command.envelope.unverified_payload().ok()?;
    let Job::MagicLink { digest, source, token } = serde_json::from_slice::<Command>(&payload).ok()?.job
    else {
        return None;
    };
    let source = if source.is_empty() { None } else { Some(source.parse().ok()?) };
    Some(Link { digest, source, token })
}

impl Core {
    /// An attempt to fetch says something.
    pub(crate) fn fetched(&mut self, event: FetchEvent) {
        if let Some((command_id, end)) = self.shell.fetcher.heard(event) {
            self.apply(vec![Event::FetchEnded { command_id, end }]);
            if self.shell.fetcher.is_collection_due() {
                self.collect_bundles();
            }
        }
    }

    /// Ends the fetching with the agent.
    pub(crate) fn end_fetching(&mut self) -> Option<JoinHandle<()>> {
        self.shell.fetcher.end()
    }

    pub(super) fn collect_bundles(&mut self) {
        self.shell.collect_bundles(&self.keeper.state, &self.keeper.store);
    }
}

impl Shell {
    pub(super) fn fetch(
        &mut self,
        state: &State,
        store: &Store,
        now: Now,
        command_id: CommandId,
        rehash: bool,
    ) -> Option<Event> {
        let link = store.read_command(command_id).ok().and_then(|command| link_of(&command));
        let Some(Link { digest, source, token }) = link else {
            log::remark(Level::ERROR, command_id, &"the stored command cannot be read");
            return Some(Event::EnvelopeLost { command_id });
        };
        // After the state was lost an expired one may have run: as with commands, the executor is asked first.
        let now_unix_s = if state.is_after_loss() { 0 } else { state.judged_time(now) };
        let open = open_bundles(state, store);
        let order = Order { command_id, digest, source, token, now_unix_s, open, rehash };
        let end = self.fetcher.start(order)?;
        Some(Event::FetchEnded { command_id, end })
    }

    pub(super) fn collect_bundles(&mut self, state: &State, store: &Store) {
        self.fetcher.collect(open_bundles(state, store));
    }
}

/// The bundles of all open jobs.
fn open_bundles(state: &State, store: &Store) -> Vec<Digest> {
    let links = state.jobs().iter().filter(|job| job.needs_bundle);
    let command = |job: &keros_machine::Job| link_of(&store.read_command(job.command_id).ok()?);
    links.filter_map(command).map(|link| link.digest).collect()
}

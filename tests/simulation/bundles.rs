//! Magic Links: three small bundles, sources that give them, are away or refuse, and the copies on the agent's disk, which a power
//! cut shortens and damage spoils. The copies lie on the real disk, once for all histories, in each state that one can have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use keros_machine::{Event, FetchEnd};
use keros_protocol::magic_link::{Digest, GatewayPattern};
use keros_protocol::{CommandId, RefusalReason};
use keros_test_bundle::Bundle;

use crate::center::EUI;
use crate::random::Random;
use crate::world::World;

/// Different bundles; several commands may name the same one.
pub(crate) const LINKS: usize = 3;
/// A bundle comes in so many parts.
const PARTS: u32 = 3;

/// What becomes of the attempts to fetch a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Gives,
    /// It cannot be reached, ever.
    Away,
    /// Its manifest does not declare this gateway.
    Refuses,
}

/// A bundle that a command names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// Which one.
    pub(crate) number: usize,
    pub(crate) source: Source,
    /// A technician has brought it.
    pub(crate) by_hand: bool,
}

/// The bundles in each state of a copy.
static FOLDERS: LazyLock<Folders> = LazyLock::new(Folders::make);

struct Folders {
    place: tempfile::TempDir,
    digests: Vec<Digest>,
}

impl Folders {
    fn make() -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        let digests = (0..LINKS).map(|number| make_bundle(place.path(), number)).collect();
        Self { place, digests }
    }
}

/// Makes a bundle: whole, with a file that is missing, and with one that is spoilt.
fn make_bundle(place: &Path, number: usize) -> Digest {
    let gateway = GatewayPattern::of(EUI).to_string();
    let contents = [("site.yml", format!("playbook {number}")), ("files/a", format!("file {number}"))];
    let files = contents.each_ref().map(|(title, content)| (*title, content.as_bytes()));
    let make = |state| Bundle::write(&place.join(state), &[&gateway], &files).expect("a bundle");
    std::fs::remove_file(make("short").file("files/a")).expect("a file");
    let spoilt = contents[1].1.to_ascii_uppercase();
    std::fs::write(make("spoilt").file("files/a"), spoilt).expect("a file");
    make("whole").digest
}

/// The digest that a command names.
pub(crate) fn digest_of(number: usize) -> Digest {
    FOLDERS.digests[number]
}

/// The agent's fetcher, and the disk that it writes to.
#[derive(Debug, Default)]
pub(crate) struct Bundles {
    copies: BTreeMap<usize, Copy>,
    under_way: Option<Attempt>,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    id: CommandId,
    link: Link,
    rehash: bool,
}

#[derive(Debug, Default)]
struct Copy {
    parts: u32,
    durable_parts: u32,
    spoilt: bool,
}

impl Bundles {
    /// The folder that the executor is given.
    pub(crate) fn folder_of(&self, number: usize) -> PathBuf {
        let state = match self.copies.get(&number) {
            Some(Copy { parts: PARTS, spoilt: false, .. }) => "whole",
            Some(Copy { parts: PARTS, spoilt: true, .. }) => "spoilt",
            _ => "short",
        };
        FOLDERS.place.path().join(state)
    }

    /// The agent's process is gone.
    pub(crate) fn agent_is_gone(&mut self) {
        self.under_way = None;
    }

    /// What was not synced may be lost.
    pub(crate) fn cut_power(&mut self, random: &mut Random) {
        for copy in self.copies.values_mut() {
            let unsure = u64::from(copy.parts - copy.durable_parts);
            copy.parts = copy.durable_parts + random.below(unsure + 1) as u32;
            copy.durable_parts = copy.parts;
        }
    }

    /// A copy loses a part, or a bit of it; gives which one.
    pub(crate) fn damage(&mut self, random: &mut Random) -> Option<usize> {
        let chosen = random.index(LINKS);
        let copy = self.copies.get_mut(&chosen)?;
        if random.percent(50) {
            copy.spoilt = true;
        } else {
            copy.parts = copy.parts.saturating_sub(1);
            copy.durable_parts = copy.durable_parts.min(copy.parts);
        }
        Some(chosen)
    }
}

impl World {
    pub(crate) fn fetch_ordered(&mut self, id: CommandId, rehash: bool) {
        let Some(link) = self.sim.inner().truth.stories.get(&id).and_then(|story| story.link) else {
            self.sim.fail(format!("not true: only Magic Links are fetched: {id}"));
            return;
        };
        if rehash {
            let mut inner = self.sim.inner();
            let now_ms = inner.now_ms;
            inner.truth.stories.entry(id).or_default().rehashed_ms = Some(now_ms);
        }
        if let Some(other) = self.bundles.under_way.replace(Attempt { id, link, rehash }) {
            self.sim.fail(format!("not true: one bundle is fetched at a time: {id} beside {}", other.id));
        }
    }

    pub(crate) fn fetch_stopped(&mut self, id: CommandId) {
        // Without its command an attempt never began.
        if let Some(other) = self.bundles.under_way.take().filter(|attempt| attempt.id != id) {
            self.sim.fail(format!("not true: what is stopped is under way: {id}, but {}", other.id));
        }
    }

    /// The fetcher goes on.
    pub(crate) fn fetch(&mut self) {
        let Some(attempt) = self.bundles.under_way else { return };
        let end = match attempt.link.source {
            Source::Away => Some(FetchEnd::Failed { message: "no route".to_owned(), progressed: false }),
            Source::Refuses => {
                let (reason, detail) = (RefusalReason::NotDeclared, "another gateway's".to_owned());
                Some(FetchEnd::Refused { reason, detail })
            }
            Source::Gives => self.part_comes(attempt),
        };
        let Some(end) = end else { return };
        let id = attempt.id;
        self.bundles.under_way = None;
        self.sim.tell(|| format!("the fetch of {id} has ended: {end:?}"));
        if matches!(end, FetchEnd::Failed { .. }) {
            self.sim.inner().truth.stories.entry(id).or_default().fetch_failed = true;
        }
        self.sim.inner().counts.fetched += u64::from(end == FetchEnd::Complete);
        self.agent_does(|agent| agent.happen(Event::FetchEnded { command_id: id, end }));
    }

    fn part_comes(&mut self, attempt: Attempt) -> Option<FetchEnd> {
        let (fails, syncs) = (!self.calm && self.chance(20), self.chance(50));
        let copy = self.bundles.copies.entry(attempt.link.number).or_default();
        if attempt.rehash && copy.spoilt {
            *copy = Copy::default();
        }
        if copy.parts < PARTS {
            copy.parts += 1;
            copy.spoilt = false;
        }
        if syncs || copy.parts == PARTS {
            copy.durable_parts = copy.parts;
        }
        match (copy.parts, fails) {
            (PARTS, _) => Some(FetchEnd::Complete),
            (_, true) => Some(FetchEnd::Failed { message: "it broke off".to_owned(), progressed: true }),
            (_, false) => None,
        }
    }
}

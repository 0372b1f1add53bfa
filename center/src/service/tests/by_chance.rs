//! Histories by chance: two gateways, a network that loses and repeats, a center that is killed after its commits, an operator who
//! cancels at any moment. `KEROS_SEED` repeats one history, `KEROS_HISTORIES` sets their number.

mod gateway;

use std::collections::{BTreeMap, BTreeSet};

use keros_protocol::topics::Leaf;
use keros_protocol::{CommandId, Delivery, Eui, Outcome, UpdateId};

use self::gateway::Gateway;
use super::world::{A, B, World, cancelled, commands};
use crate::access::Caller;
use crate::api::CancelAnswer;
use crate::bounds::BUSY_AFTER_EXPIRY_S;
use crate::service::Outgoing;
use crate::store::Store;

const HISTORIES: u64 = 12;
const STEPS: usize = 150;

/// Steele, Lea, Flood: splitmix64. The same numbers for the same seed, everywhere.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let index = self.below(of.len().max(1) as u64);
        of.get(usize::try_from(index).unwrap()).copied()
    }
}

struct History {
    chance: Chance,
    now: u64,
    world: Option<World>,
    gateways: BTreeMap<Eui, Gateway>,
    updates: Vec<(UpdateId, u64)>,
    sent: BTreeSet<CommandId>,
    never: BTreeSet<CommandId>,
    asked: BTreeSet<CommandId>,
    ended: BTreeMap<CommandId, Outcome>,
    /// What is on its way, or comes again.
    in_the_air: Vec<Outgoing>,
    /// What gateways have sent, and what another center of several has not looked at yet.
    late: Vec<(Eui, Leaf, Vec<u8>)>,
    losses: usize,
}

impl History {
    async fn new(seed: u64) -> Self {
        Self {
            chance: Chance(seed),
            now: 1000,
            world: Some(World::new().await),
            gateways: [A, B].into_iter().map(|eui| (eui, Gateway::new(eui))).collect(),
            updates: Vec::new(),
            sent: BTreeSet::new(),
            never: BTreeSet::new(),
            asked: BTreeSet::new(),
            ended: BTreeMap::new(),
            in_the_air: Vec::new(),
            late: Vec::new(),
            losses: 0,
        }
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    async fn step(&mut self) {
        match self.chance.below(15) {
            0 => self.send().await,
            1 => self.cancel().await,
            2..=4 => self.gateway_speaks().await,
            5 | 6 => {
                let eui = self.chance.pick(&[A, B]).unwrap();
                let (now, luck) = (self.now, self.chance.below(1000));
                self.gateways.get_mut(&eui).unwrap().work(now, luck);
            }
            7 | 8 => self.deliver(),
            9 => self.restart().await,
            10 => {
                self.now +=
                    if self.chance.one_in(8) { self.chance.below(40_000) } else { self.chance.below(60) };
            }
            11 if self.chance.one_in(4) => {
                let eui = self.chance.pick(&[A, B]).unwrap();
                self.gateways.get_mut(&eui).unwrap().lose_state();
                self.losses += 1;
            }
            12 | 13 if !self.late.is_empty() => {
                let index = usize::try_from(self.chance.below(self.late.len() as u64)).unwrap();
                let message = self.late.swap_remove(index);
                self.give(&[message]).await;
            }
            _ => self.world().center.expire(self.now).await.unwrap(),
        }
        self.look().await;
    }

    async fn send(&mut self) {
        let lifetime_s = [60, 600, 50_000][usize::try_from(self.chance.below(3)).unwrap()];
        if let Ok(id) = self.world().send(lifetime_s, self.now).await {
            self.updates.push((id, self.now + lifetime_s));
        }
    }

    async fn cancel(&mut self) {
        let Some((update, _)) = self.chance.pick(&self.updates) else { return };
        let eui = self.chance.pick(&[None, Some(A), Some(B)]).unwrap();
        let view = self.world().center.cancel(&Caller::root(), update, eui, self.now).await.unwrap();
        for line in view.gateways {
            let id = line.command_id;
            match line.answer {
                CancelAnswer::NeverDelivered => {
                    assert!(!self.sent.contains(&id), "{id} was sent");
                    self.never.insert(id);
                }
                CancelAnswer::Asked => {
                    assert!(self.sent.contains(&id), "{id} was never sent");
                    self.asked.insert(id);
                }
                CancelAnswer::TooLate => {
                    assert!(line.outcome.is_some_and(|outcome| outcome.is_terminal()));
                }
            }
        }
    }

    /// Telemetry, reports or presence, some of it lost, some twice, some late; what the center answers.
    async fn gateway_speaks(&mut self) {
        let eui = self.chance.pick(&[A, B]).unwrap();
        let gateway = &self.gateways[&eui];
        let mut messages = match self.chance.below(3) {
            0 => vec![gateway.telemetry()],
            1 => gateway.reports(),
            _ => vec![(eui, Leaf::Presence, b"online".to_vec())],
        };
        let lost_from = self.chance.below(12);
        messages.truncate(usize::try_from(lost_from).unwrap());
        if self.chance.one_in(4) {
            messages.extend(messages.clone());
        }
        let late = messages.extract_if(.., |(_, leaf, _)| *leaf == Leaf::Report && self.chance.one_in(5));
        self.late.extend(late);
        self.give(&messages).await;
    }

    async fn give(&mut self, messages: &[(Eui, Leaf, Vec<u8>)]) {
        let outgoing = self.world().give(messages, self.now).await;
        for message in outgoing {
            self.judge(&message).await;
            self.in_the_air.push(message);
        }
    }

    /// What may be sent.
    async fn judge(&mut self, message: &Outgoing) {
        let beside = cancelled(message);
        for command in commands(message) {
            let id = command.command_id;
            assert!(!self.never.contains(&id), "{id} was cancelled before it was sent, and is sent");
            assert!(
                !self.asked.contains(&id) || beside.contains(&id),
                "{id} is sent without its cancellation"
            );
            self.sent.insert(id);
        }
        for (update, expires_at) in &self.updates {
            let line = self.world().delivery(*update, message.eui, self.now).await;
            let open = match line.delivery {
                Delivery::Expired => self.now < expires_at + BUSY_AFTER_EXPIRY_S,
                _ => !line.outcome.is_some_and(|outcome| outcome.is_terminal()),
            };
            if open && self.asked.contains(&line.command_id) {
                assert!(beside.contains(&line.command_id), "{} is not asked to end", line.command_id);
            }
        }
    }

    /// One message arrives, is lost, or arrives and will come again.
    fn deliver(&mut self) {
        if self.in_the_air.is_empty() {
            return;
        }
        let index = usize::try_from(self.chance.below(self.in_the_air.len() as u64)).unwrap();
        let message = self.in_the_air[index].clone();
        if !self.chance.one_in(4) {
            let luck = self.chance.below(1000);
            self.gateways.get_mut(&message.eui).unwrap().hear(&message, self.now, luck);
        }
        if !self.chance.one_in(3) {
            self.in_the_air.swap_remove(index);
        }
    }

    /// The center is gone with what it has not sent yet; its store stays.
    async fn restart(&mut self) {
        if self.chance.one_in(2) {
            self.in_the_air.clear();
        }
        let folder = self.world.take().unwrap().close().await;
        let store = Store::open(folder.path(), None).await.unwrap();
        self.world = Some(World::on(store, folder));
        self.world().center.forget_presence().await.unwrap();
    }

    /// What the operator may see.
    async fn look(&mut self) {
        for (update, _) in self.updates.clone() {
            let view = self.world().view_at(update, self.now).await;
            for line in &view.gateways {
                let id = line.command_id;
                let terminal = line.outcome.clone().filter(Outcome::is_terminal);
                assert!(!(line.overdue && terminal.is_some()), "{id} has ended and is overdue");
                assert!(!line.overdue || line.delivery == Delivery::Received);
                match (self.ended.get(&id), terminal) {
                    (Some(before), now) => assert_eq!(Some(before), now.as_ref(), "{id} ended twice"),
                    (None, Some(now)) => drop(self.ended.insert(id, now)),
                    (None, None) => {}
                }
                if self.never.contains(&id) {
                    assert!(line.outcome.is_none() && line.times_sent == 0, "{id} was never to be sent");
                }
            }
            assert_eq!(view.ended, view.open == 0);
            assert!(view.overdue <= view.open);
        }
    }

    /// All gateways fall silent: nothing may be in progress for ever.
    async fn silence(&mut self) {
        let later = self.now + 20 * 86_400;
        self.world().center.expire(later).await.unwrap();
        for (update, _) in &self.updates {
            let view = self.world().view_at(*update, later).await;
            assert_eq!(view.open, view.overdue, "neither ended nor overdue: {view:?}");
        }
        self.now = later;
    }

    /// The gateways come back and finish: the center learns what they know, however late.
    async fn rest(&mut self) {
        for _ in 0..40 {
            for eui in [A, B] {
                let gateway = self.gateways.get_mut(&eui).unwrap();
                gateway.work(self.now, 0);
                let messages: Vec<_> = gateway.reports().into_iter().chain([gateway.telemetry()]).collect();
                self.give(&messages).await;
                for message in std::mem::take(&mut self.in_the_air) {
                    self.gateways.get_mut(&message.eui).unwrap().hear(&message, self.now, 0);
                }
            }
        }
        self.look().await;
        for (update, _) in &self.updates {
            let view = self.world().view_at(*update, self.now).await;
            assert!(view.ended, "{view:?}");
            for line in view.gateways {
                let gateway = &self.gateways[&line.eui];
                // That it was ever received was lost together with the gateway's state.
                if line.delivery == Delivery::Expired && gateway.has_forgotten(line.command_id) {
                    continue;
                }
                let known = gateway.end_of(line.command_id);
                assert_eq!(line.outcome.as_ref(), known, "{}", line.command_id);
            }
        }
        assert!(self.gateways.values().all(|gateway| gateway.reports().is_empty()));
    }
}

/// How often which moment was met.
#[derive(Default, Debug)]
struct Met {
    commands: usize,
    never: usize,
    asked: usize,
    stopped: usize,
    losses: usize,
}

#[tokio::test]
async fn no_history_loses_an_end_or_sends_what_was_cancelled() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("KEROS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KEROS_HISTORIES").unwrap_or(HISTORIES),
    };
    let mut met = Met::default();
    for seed in seeds {
        println!("KEROS_SEED={seed}");
        let mut history = History::new(seed).await;
        for _ in 0..STEPS {
            history.step().await;
        }
        history.silence().await;
        history.rest().await;
        met.commands += 2 * history.updates.len();
        met.never += history.never.len();
        met.asked += history.asked.len();
        met.losses += history.losses;
        met.stopped += history.ended.values().filter(|end| end.name() == "cancelled").count();
    }
    println!("{met:?}");
}

//! Gateways on real connections: a task polls each connection, one more wakes the gateways whose time has come. All of them share
//! one thread.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use keros_protocol::topics::{CONTENT_TYPE, Leaf, Prefix};
use keros_protocol::{Eui, Presence, limits};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, Filter, LastWill, Packet, PublishProperties, RetainForwardRule,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;
use tokio::time;

use crate::gateway::{At, Gateway, Out, Profile};
use crate::numbers::{Numbers, count};

/// How exactly gateways are woken.
const TICK: Duration = Duration::from_millis(5);
/// As the agent's.
const INFLIGHT_OUT: u16 = 16;
const INFLIGHT_IN: u16 = 4;
const QUEUE: usize = 32;
/// As the agent's default.
const KEEP_ALIVE: Duration = Duration::from_secs(300);
const CONNECT_LIMIT: Duration = Duration::from_secs(40);
const MIN_BACKOFF_MS: u64 = 1000;
const MAX_BACKOFF_MS: u64 = 30_000;

/// Where the gateways connect, and what they do there.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The broker's port on the loopback interface.
    pub(crate) port: u16,
    /// Gateways log in with their EUI and this password.
    pub(crate) password: Option<String>,
    /// The gateways.
    pub(crate) euis: Vec<Eui>,
    /// What they have in common.
    pub(crate) profile: Arc<Profile>,
    /// By which the dice fall.
    pub(crate) seed: u64,
    /// New connections a second, at first.
    pub(crate) connects_per_s: u64,
    /// A mishap of each gateway comes after so long on average; 0: none.
    pub(crate) mishap_every_s: u64,
}

struct Slot {
    gateway: Gateway,
    client: Option<AsyncClient>,
    cut: Rc<Notify>,
    mishap_ms: Option<u64>,
    /// The wake-up that is in the heap.
    woken_at_ms: Option<u64>,
}

struct World {
    plan: Plan,
    prefix: Prefix,
    began: Instant,
    began_unix_ms: u64,
    slots: Vec<RefCell<Slot>>,
    wakes: RefCell<BinaryHeap<Reverse<(u64, usize)>>>,
    numbers: Arc<Numbers>,
    over: watch::Receiver<bool>,
}

/// Runs all gateways until `over` holds true; gives them back.
///
/// # Errors
/// When there is no runtime.
pub(crate) fn run(
    plan: Plan,
    numbers: Arc<Numbers>,
    over: watch::Receiver<bool>,
) -> anyhow::Result<Vec<Gateway>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began_unix_ms =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let at = At { us: 0, began_unix_ms };
    let slots = plan.euis.iter().map(|eui| {
        let mut gateway = Gateway::new(*eui, &plan.profile, plan.seed, at);
        let mishap_ms = next_mishap_ms(&mut gateway, &plan, 0);
        RefCell::new(Slot { gateway, client: None, cut: Rc::default(), mishap_ms, woken_at_ms: None })
    });
    let slots = slots.collect();
    let world = World {
        plan,
        prefix: Prefix::default(),
        began: Instant::now(),
        began_unix_ms,
        slots,
        wakes: RefCell::default(),
        numbers,
        over,
    };
    let world = Rc::new(world);
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        for index in 0..world.slots.len() {
            tokio::task::spawn_local(Rc::clone(&world).keep_connected(index));
        }
        tokio::task::spawn_local(Rc::clone(&world).wake());
        let _ = world.over.clone().wait_for(|over| *over).await;
    });
    drop(local);
    let Ok(world) = Rc::try_unwrap(world) else { anyhow::bail!("a task of a gateway has not ended") };
    Ok(world.slots.into_iter().map(|slot| slot.into_inner().gateway).collect())
}

/// After 1/2 to 3/2 of the mean.
fn next_mishap_ms(gateway: &mut Gateway, plan: &Plan, now_ms: u64) -> Option<u64> {
    let mean_ms = plan.mishap_every_s * 1000;
    (mean_ms > 0).then(|| now_ms + mean_ms / 2 + gateway.below(mean_ms))
}

impl World {
    fn at(&self) -> At {
        At { us: self.began.elapsed().as_micros() as u64, began_unix_ms: self.began_unix_ms }
    }

    /// Connects a gateway again and again.
    async fn keep_connected(self: Rc<Self>, index: usize) {
        time::sleep(Duration::from_millis(index as u64 * 1000 / self.plan.connects_per_s.max(1))).await;
        let mut backoff_ms = MIN_BACKOFF_MS;
        loop {
            let (connected, cut) = self.serve(index).await;
            {
                let mut slot = self.slots[index].borrow_mut();
                slot.client = None;
                slot.gateway.disconnected(self.at());
            }
            if connected {
                self.numbers.connected.fetch_sub(1, Ordering::Relaxed);
                backoff_ms = MIN_BACKOFF_MS;
            }
            if !cut {
                count(&self.numbers.broken);
            }
            self.rearm(index);
            let wait_ms = backoff_ms / 2 + self.slots[index].borrow_mut().gateway.below(backoff_ms / 2);
            time::sleep(Duration::from_millis(wait_ms)).await;
            backoff_ms = (backoff_ms * 2).min(MAX_BACKOFF_MS);
        }
    }

    /// One connection. Whether it was made, and whether it was us who cut it.
    async fn serve(&self, index: usize) -> (bool, bool) {
        let eui = self.plan.euis[index];
        let down = self.prefix.topic(eui, Leaf::Down);
        let (client, mut connection) = AsyncClient::new(self.options(eui), QUEUE);
        let cut = Rc::clone(&self.slots[index].borrow().cut);
        let mut connected = false;
        loop {
            let event = tokio::select! {
                event = next(&mut connection, connected) => event,
                () = cut.notified() => return (connected, true),
            };
            match event {
                Some(Event::Incoming(Packet::ConnAck(_))) => {
                    let presence = self.prefix.topic(eui, Leaf::Presence);
                    let online = Presence::Online.as_str();
                    // As the agent.
                    let mut filter = Filter::new(down.clone(), QoS::AtLeastOnce);
                    filter.retain_forward_rule = RetainForwardRule::Never;
                    let greeted = client.try_subscribe_many([filter]).is_ok()
                        && client.try_publish(presence, QoS::AtLeastOnce, true, online).is_ok();
                    if !greeted {
                        return (connected, false);
                    }
                }
                Some(Event::Incoming(Packet::SubAck(_))) => {
                    connected = true;
                    count(&self.numbers.connects);
                    count(&self.numbers.connected);
                    let mut slot = self.slots[index].borrow_mut();
                    slot.client = Some(client.clone());
                    slot.gateway.connected(self.at());
                    self.send(&mut slot);
                }
                Some(Event::Incoming(Packet::Publish(message))) => {
                    count(&self.numbers.downlinks);
                    let mut slot = self.slots[index].borrow_mut();
                    if let Some(answered) = slot.gateway.message(self.at(), &message.payload) {
                        self.numbers.answer(answered);
                    }
                    let _ = client.try_ack(&message);
                    self.send(&mut slot);
                }
                Some(_) => continue,
                None => return (connected, false),
            }
            self.rearm(index);
        }
    }

    fn options(&self, eui: Eui) -> MqttOptions {
        // A port of its own for each client: 28,000 at least on one address of the loopback network.
        let mut options = MqttOptions::new(eui.to_string(), "127.0.0.1", self.plan.port);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_connection_timeout(CONNECT_LIMIT.as_secs());
        options.set_clean_start(true);
        options.set_manual_acks(true);
        options.set_outgoing_inflight_upper_limit(INFLIGHT_OUT);
        options.set_request_channel_capacity(QUEUE);
        let mut properties = ConnectProperties::new();
        properties.session_expiry_interval = Some(0);
        properties.receive_maximum = Some(INFLIGHT_IN);
        properties.max_packet_size = u32::try_from(limits::MAX_DOWNLINK_BYTES + 64 * 1024).ok();
        options.set_connect_properties(properties);
        let presence = self.prefix.topic(eui, Leaf::Presence);
        options.set_last_will(LastWill::new(
            presence,
            Presence::Offline.as_str(),
            QoS::AtLeastOnce,
            true,
            None,
        ));
        if let Some(password) = &self.plan.password {
            options.set_credentials(eui.to_string(), password.clone());
        }
        options
    }

    /// Hands what a gateway wants to its connection.
    fn send(&self, slot: &mut Slot) {
        for out in std::mem::take(&mut slot.gateway.out) {
            match out {
                Out::Reconnect => slot.cut.notify_one(),
                Out::Publish { leaf, payload, correlation } => {
                    let Some(client) = &slot.client else { continue };
                    let topic = self.prefix.topic(slot.gateway.eui, leaf);
                    let response_topic = correlation.map(|_| self.prefix.topic(slot.gateway.eui, Leaf::Down));
                    let properties = PublishProperties {
                        content_type: Some(CONTENT_TYPE.to_owned()),
                        response_topic,
                        correlation_data: correlation.map(|id| id.to_string().into()),
                        ..PublishProperties::default()
                    };
                    let qos = QoS::AtLeastOnce;
                    if client.try_publish_with_properties(topic, qos, false, payload, properties).is_err() {
                        slot.cut.notify_one();
                    }
                    count(if leaf == Leaf::Telemetry {
                        &self.numbers.telemetry
                    } else {
                        &self.numbers.reports
                    });
                }
            }
        }
    }

    /// Puts a gateway's next wake-up into the heap, when it is earlier than the one that is there.
    fn rearm(&self, index: usize) {
        let mut slot = self.slots[index].borrow_mut();
        let next = [slot.gateway.next_ms(self.at()), slot.mishap_ms].into_iter().flatten().min();
        // What is due already waits for the next tick: nobody may keep the others from theirs.
        let Some(next) = next.map(|next| next.max(self.at().ms() + 1)) else { return };
        if slot.woken_at_ms.is_none_or(|woken_at| next < woken_at) {
            slot.woken_at_ms = Some(next);
            self.wakes.borrow_mut().push(Reverse((next, index)));
        }
    }

    /// Wakes gateways when it is time.
    async fn wake(self: Rc<Self>) {
        loop {
            time::sleep(TICK).await;
            let now_ms = self.at().ms();
            loop {
                let due = self.wakes.borrow().peek().is_some_and(|Reverse((wake, _))| *wake <= now_ms);
                if !due {
                    break;
                }
                let Some(Reverse((wake, index))) = self.wakes.borrow_mut().pop() else { break };
                self.woken(index, wake, now_ms);
            }
        }
    }

    fn woken(&self, index: usize, wake: u64, now_ms: u64) {
        {
            let mut slot = self.slots[index].borrow_mut();
            // A later entry of the same gateway may be left over.
            slot.woken_at_ms.take_if(|woken_at| *woken_at == wake);
            if slot.mishap_ms.is_some_and(|at| at <= now_ms) {
                slot.mishap_ms = next_mishap_ms(&mut slot.gateway, &self.plan, now_ms);
                let mishap = slot.gateway.draw_mishap();
                slot.gateway.suffer(mishap, self.at());
                slot.cut.notify_one();
                slot.client = None;
                count(&self.numbers.mishaps);
            }
            slot.gateway.woken(self.at());
            self.send(&mut slot);
        }
        self.rearm(index);
    }
}

/// `None`: no connection any more.
async fn next(connection: &mut EventLoop, connected: bool) -> Option<Event> {
    // A connection that is there tells by its pings when it is gone.
    let limit = if connected { KEEP_ALIVE * 2 } else { CONNECT_LIMIT };
    time::timeout(limit, connection.poll()).await.ok()?.ok()
}

//! The center's service without a network: what its MQTT client and its operators would ask of it comes by calls, with the time as
//! an argument. Everything behind them is the real code, on a real database. Nothing but tests may use it, and it may change at any
//! time.

use std::collections::BTreeMap;
use std::path::Path;

use keros_protocol::topics::{Leaf, Prefix};
use keros_protocol::{Eui, Job, JobLimits, SigningKey, UnixSeconds, UpdateId};
use tokio::sync::mpsc;

use crate::access::Caller;
use crate::api::{CreateGroup, SendOptions, SendUpdate};
use crate::bounds::NUDGES;
use crate::links::{Blobs, Links, TokenKey};
use crate::service::{Center, Keys, Message, Outgoing};
use crate::store::Store;

/// A center.
#[derive(Debug)]
pub struct Simulation {
    center: Center,
    nudges: mpsc::Receiver<Vec<Eui>>,
    store: Store,
}

/// What a gateway publishes.
#[derive(Debug, Clone)]
pub struct Up {
    /// The gateway.
    pub eui: Eui,
    /// Below its own topic.
    pub leaf: Leaf,
    /// The message.
    pub payload: Vec<u8>,
    /// The MQTT property of this name.
    pub correlation: Option<Vec<u8>>,
}

/// What the center publishes to one gateway.
#[derive(Debug, Clone)]
pub struct Down {
    /// The gateway.
    pub eui: Eui,
    /// The message.
    pub payload: Vec<u8>,
}

/// How far an update has come.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Every gateway has ended it.
    pub ended: bool,
    /// How many gateways have which outcome.
    pub outcomes: BTreeMap<String, u32>,
}

impl Simulation {
    /// Opens the center's database: SQLite in the folder, or the one at the address.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(
        folder: &Path,
        database_url: Option<&str>,
        command: SigningKey,
        statement: SigningKey,
    ) -> anyhow::Result<Self> {
        let store = Store::open(folder, database_url).await?;
        let (sender, nudges) = mpsc::channel(NUDGES);
        let blobs = Blobs::open(folder.join("blobs"), 1 << 20)?;
        let links = Links { blobs, tokens: TokenKey::new("secret"), source: None };
        let keys = Keys { command, statement };
        let center = Center::new(store.clone(), keys, Prefix::default(), links, sender);
        Ok(Self { center, nudges, store })
    }

    /// Takes messages, as many as came together, in one transaction.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn hear(&self, messages: &[Up], now: UnixSeconds) -> anyhow::Result<Vec<Down>> {
        let prefix = self.center.prefix();
        let topics: Vec<String> =
            messages.iter().map(|message| prefix.topic(message.eui, message.leaf)).collect();
        let messages: Vec<Message<'_>> = messages
            .iter()
            .zip(&topics)
            .map(|(message, topic)| Message {
                topic,
                payload: &message.payload,
                correlation: message.correlation.as_deref(),
                response_topic: None,
            })
            .collect();
        let handled = self.center.handle(&messages, now).await?;
        self.center.tell(&handled.changes);
        Ok(handled.outgoing.into_iter().map(down).collect())
    }

    /// What the center does every five seconds.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn deadlines(&self, since: UnixSeconds, now: UnixSeconds) -> anyhow::Result<()> {
        self.center.expire(now).await?;
        self.center.tend(None, since, now).await?;
        Ok(self.center.tell_overdue(since, now).await?)
    }

    /// Makes a group.
    ///
    /// # Errors
    /// When a gateway was never heard of.
    pub async fn group(&self, name: &str, gateways: Vec<Eui>, now: UnixSeconds) -> anyhow::Result<()> {
        let (name, description) = (name.to_owned(), String::new());
        let order = CreateGroup { name, description, gateways, ..CreateGroup::default() };
        Ok(self.center.create_group(&Caller::root(), &order, now).await.map(drop)?)
    }

    /// Sends a script to a group.
    ///
    /// # Errors
    /// When the order is refused.
    pub async fn send(&self, group: &str, script: &str, now: UnixSeconds) -> anyhow::Result<UpdateId> {
        let order = SendUpdate {
            group: group.to_owned(),
            job: Job::JetPorch { script: script.to_owned(), vars: serde_json::Map::new() },
            limits: JobLimits::default(),
            options: SendOptions { dry_run: false, confirm_window_s: Some(0) },
            expires_in_s: None,
            plan: crate::plan::Plan::default(),
            dry_run_first: false,
        };
        Ok(self.center.send_update(&Caller::root(), order, now).await?.update_id)
    }

    /// Asks for telemetry whom an order has named for it; all at once.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn nudge(&mut self, now: UnixSeconds) -> anyhow::Result<Vec<Down>> {
        let mut all = Vec::new();
        while let Ok(gateways) = self.nudges.try_recv() {
            for eui in gateways {
                all.push(down(self.center.nudge_message(eui, now).await?));
            }
        }
        Ok(all)
    }

    /// How far an update has come.
    ///
    /// # Errors
    /// When there is no such update.
    pub async fn progress(&self, update_id: UpdateId, now: UnixSeconds) -> anyhow::Result<Progress> {
        let view = self.center.update_summary(&Caller::root(), update_id, now).await?;
        Ok(Progress { ended: view.ended, outcomes: view.outcomes })
    }

    /// The end.
    pub async fn close(self) {
        self.store.close().await;
    }
}

fn down(outgoing: Outgoing) -> Down {
    Down { eui: outgoing.eui, payload: outgoing.payload }
}

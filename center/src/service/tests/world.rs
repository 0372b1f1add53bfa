//! A center on a real SQLite file, and what gateways send to it.

use std::sync::Arc;

use keros_protocol::magic_link::Digest;
use keros_protocol::topics::{Leaf, Prefix};
use keros_protocol::{
    Command, CommandId, Delivery, Downlink, Envelope, Eui, Job, Outcome, Report, ReportPosition, SigningKey,
    Statement, Summary, UpdateId,
};
use serde_json::json;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::access::{Caller, CustomerId, Grant, Reach, Role, TokenScopes, UserId};
use crate::api::{CreateGroup, DeclareGateway, DeliveryView, SendUpdate, UpdateView};
use crate::links::sample::Bundle;
use crate::links::{Blobs, Links, TokenKey, Upload};
use crate::service::{Center, Handled, Keys, Message, OrderError, Outgoing};
use crate::store::Store;

pub(super) const A: Eui = Eui::from_u64(0x7076_FF00_5607_0001);
pub(super) const B: Eui = Eui::from_u64(0x7076_FF00_5607_0002);
pub(super) const STREAM: Uuid = Uuid::from_u128(1);

/// When nothing is overdue yet.
pub(super) const NOW: u64 = 1000;

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_pem(&SigningKey::pem_from_seed(&[seed; 32])).unwrap()
}

pub(super) struct World {
    pub(super) center: Center,
    pub(super) nudges: mpsc::Receiver<Vec<Eui>>,
    pub(super) folder: tempfile::TempDir,
}

impl World {
    /// A center with the gateways A and B in the group `all`.
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = Self::on(Store::open(folder.path(), None).await.unwrap(), folder);
        let center = &world.center;
        for eui in [A, B] {
            let order = DeclareGateway {
                eui: eui.to_string(),
                name: None,
                description: String::new(),
                customer: None,
            };
            center.declare(&Caller::root(), &order, 1).await.unwrap();
        }
        let group = CreateGroup {
            name: "all".to_owned(),
            description: String::new(),
            gateways: vec![A, B],
            ..CreateGroup::default()
        };
        center.create_group(&Caller::root(), &group, 1).await.unwrap();
        world
    }

    /// A center on a store that may have a past.
    pub(super) fn on(store: Store, folder: tempfile::TempDir) -> Self {
        Self::told(store, folder, Some("http://127.0.0.1:1/v2/links"))
    }

    /// A center whose gateways are told this registry.
    pub(super) fn told(store: Store, folder: tempfile::TempDir, registry: Option<&str>) -> Self {
        let (sender, nudges) = mpsc::channel(4);
        let keys = Keys { command: key(1), statement: key(2) };
        let links = Links {
            blobs: Blobs::open(folder.path().join("blobs"), 1 << 20).unwrap(),
            tokens: TokenKey::new("secret"),
            source: registry.map(|text| text.parse().unwrap()),
        };
        Self { center: Center::new(store, keys, Prefix::default(), links, sender), nudges, folder }
    }

    /// The center is gone; what it kept is in the folder.
    pub(super) async fn close(self) -> tempfile::TempDir {
        self.center.store.close().await;
        self.folder
    }

    /// Another customer, of this name.
    pub(super) async fn customer(&self, name: &str) -> CustomerId {
        let id = CustomerId::new();
        let sql = "INSERT INTO customers (customer_id, name, description, created_at) VALUES ($1, $2, '', 1)";
        let mut transaction = self.center.store.begin().await.unwrap();
        let query = sqlx::query(sql).bind(id.to_string()).bind(name.to_owned());
        query.execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        id
    }

    /// Somebody who may do everything on this customer alone.
    pub(super) fn administrator_of(customer: CustomerId) -> Caller {
        let grant = Grant { reach: Reach::One(customer), role: Role::ChannelAdministrator };
        Caller::user(UserId::new(), "grace".to_owned(), vec![grant], TokenScopes::ALL)
    }

    pub(super) async fn send(&self, expires_in_s: u64, now: u64) -> Result<UpdateId, OrderError> {
        self.send_within("all", expires_in_s, now).await
    }

    /// Sends a script to a group.
    pub(super) async fn send_to(&self, group: &str, now: u64) -> Result<UpdateId, OrderError> {
        self.send_within(group, 1000, now).await
    }

    async fn send_within(&self, group: &str, expires_in_s: u64, now: u64) -> Result<UpdateId, OrderError> {
        let script = "- name: a play\n  groups:\n    - all\n  tasks:\n    - !echo\n      msg: hello\n";
        let job = Job::JetPorch { script: script.to_owned(), vars: serde_json::Map::new() };
        let order = SendUpdate {
            group: group.to_owned(),
            job,
            limits: keros_protocol::JobLimits::default(),
            options: crate::api::SendOptions::default(),
            expires_in_s: Some(expires_in_s),
            plan: crate::plan::Plan::default(),
            dry_run_first: false,
        };
        Ok(self.center.send_update(&Caller::root(), order, now).await?.update_id)
    }

    /// Puts a link into the store, with its blobs.
    pub(super) async fn put_link(&self, bundle: &Bundle, now: u64) -> Result<Digest, OrderError> {
        for blob in bundle.blobs.clone() {
            let links = Arc::clone(self.center.links());
            let put = move || {
                let mut upload = Upload::begin(&links.blobs, Digest::of(&blob), None)?;
                upload.write(&blob)?;
                upload.finish()
            };
            tokio::task::spawn_blocking(put).await.unwrap()?;
        }
        let digest = bundle.digest();
        self.center.put_link(&Caller::root(), None, digest, bundle.manifest.clone(), now).await?;
        Ok(digest)
    }

    /// Sends a link of the store to the group `all`.
    pub(super) async fn send_link(&self, digest: Digest, now: u64) -> Result<UpdateId, OrderError> {
        let order = SendUpdate {
            group: "all".to_owned(),
            job: Job::MagicLink { digest, source: String::new(), token: None },
            limits: keros_protocol::JobLimits::default(),
            options: crate::api::SendOptions::default(),
            expires_in_s: Some(1000),
            plan: crate::plan::Plan::default(),
            dry_run_first: false,
        };
        Ok(self.center.send_update(&Caller::root(), order, now).await?.update_id)
    }

    /// Signs a link for a gateway that a person carries it to.
    pub(super) async fn sign_link(
        &self,
        digest: Digest,
        eui: Eui,
        now: u64,
    ) -> Result<(UpdateId, Command), OrderError> {
        let order = serde_json::from_value(json!({ "eui": eui, "expires_in_s": 1000 })).unwrap();
        let signed = self.center.sign_link(&Caller::root(), &digest.to_string(), order, now).await?;
        let ring = keros_protocol::KeyRing::new(vec![key(1).public()]);
        let payload = signed.envelope.verify(Envelope::COMMAND, &ring).unwrap();
        Ok((signed.update.update_id, serde_json::from_slice(&payload).unwrap()))
    }

    pub(super) async fn give(&self, messages: &[(Eui, Leaf, Vec<u8>)], now: u64) -> Vec<Outgoing> {
        self.handle(messages, now).await.outgoing
    }

    /// Whether listeners had to be told of an update.
    pub(super) async fn give_and_tell(&self, messages: &[(Eui, Leaf, Vec<u8>)], now: u64) -> bool {
        let changes = self.handle(messages, now).await.changes;
        self.center.tell(&changes);
        changes.iter().any(|change| change.update_id().is_some())
    }

    async fn handle(&self, messages: &[(Eui, Leaf, Vec<u8>)], now: u64) -> Handled {
        let topics: Vec<String> =
            messages.iter().map(|(eui, leaf, _)| Prefix::default().topic(*eui, *leaf)).collect();
        let messages: Vec<Message<'_>> = messages
            .iter()
            .zip(&topics)
            .map(|((_, _, payload), topic)| Message {
                topic,
                payload,
                correlation: None,
                response_topic: None,
            })
            .collect();
        self.center.handle(&messages, now).await.unwrap()
    }

    /// Sends telemetry, and gives the commands of the answer.
    pub(super) async fn commands(&self, eui: Eui, now: u64) -> Vec<Command> {
        let outgoing = self.give(&[telemetry(eui)], now).await;
        assert_eq!((outgoing.len(), outgoing[0].eui), (1, eui));
        commands(&outgoing[0])
    }

    pub(super) async fn line(&self, update_id: UpdateId, eui: Eui) -> (Delivery, Option<Outcome>, u32) {
        let view = self.center.update(&Caller::root(), update_id, NOW).await.unwrap();
        let line = view.gateways.into_iter().find(|line| line.eui == eui).unwrap();
        (line.delivery, line.outcome, line.times_sent)
    }

    pub(super) async fn delivery(&self, update_id: UpdateId, eui: Eui, now: u64) -> DeliveryView {
        let view = self.center.update(&Caller::root(), update_id, now).await.unwrap();
        view.gateways.into_iter().find(|line| line.eui == eui).unwrap()
    }

    pub(super) async fn view_at(&self, update_id: UpdateId, now: u64) -> UpdateView {
        self.center.update(&Caller::root(), update_id, now).await.unwrap()
    }

    /// The ids of all updates.
    pub(super) async fn list_updates(&self) -> Vec<UpdateId> {
        let mut snapshot = self.center.store.snapshot().await.unwrap();
        let mut ids: Vec<UpdateId> = Vec::new();
        let take = |rows: &crate::store::Rows| -> Result<(), crate::store::StoreError> {
            let place = rows.columns.iter().position(|column| column == "update_id").unwrap();
            ids.extend(rows.rows.iter().map(|row| row[place].as_str().unwrap().parse::<UpdateId>().unwrap()));
            Ok(())
        };
        snapshot.rows("updates", 1 << 20, take).await.unwrap();
        ids
    }

    pub(super) async fn view(&self, update_id: UpdateId) -> UpdateView {
        self.center.update(&Caller::root(), update_id, NOW).await.unwrap()
    }
}

pub(super) fn telemetry(eui: Eui) -> (Eui, Leaf, Vec<u8>) {
    let telemetry = json!({
        "telemetry_id": Uuid::now_v7(), "eui": eui, "protocol_version": 1, "agent_version": "0.1.0",
        "time_unix_s": 5, "clock": "synchronised",
    });
    (eui, Leaf::Telemetry, serde_json::to_vec(&telemetry).unwrap())
}

/// Of a gateway that states the stream of its reports.
pub(super) fn telemetry_in(eui: Eui, stream: Uuid) -> (Eui, Leaf, Vec<u8>) {
    let (eui, leaf, payload) = telemetry(eui);
    let mut value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    value["report_stream"] = json!(stream);
    (eui, leaf, serde_json::to_vec(&value).unwrap())
}

pub(super) fn report(
    eui: Eui,
    number: u64,
    after: u64,
    command_id: CommandId,
    outcome: Outcome,
) -> (Eui, Leaf, Vec<u8>) {
    report_in(eui, STREAM, (number, after), command_id, outcome)
}

pub(super) fn report_in(
    eui: Eui,
    stream: Uuid,
    (number, after): (u64, u64),
    command_id: CommandId,
    outcome: Outcome,
) -> (Eui, Leaf, Vec<u8>) {
    let report = Report {
        eui,
        position: ReportPosition { stream, number },
        after,
        command_id,
        update_id: None,
        time_unix_s: 5,
        outcome,
    };
    (eui, Leaf::Report, serde_json::to_vec(&report).unwrap())
}

pub(super) fn downlink(outgoing: &Outgoing) -> Downlink {
    serde_json::from_slice(&outgoing.payload).unwrap()
}

/// The commands of a Downlink.
pub(super) fn commands(outgoing: &Outgoing) -> Vec<Command> {
    let ring = keros_protocol::KeyRing::new(vec![key(1).public()]);
    let verified = |envelope: &Envelope| envelope.verify(Envelope::COMMAND, &ring).unwrap();
    let commands = downlink(outgoing).commands;
    commands.iter().map(|envelope| serde_json::from_slice(&verified(envelope)).unwrap()).collect()
}

/// The statement of a Downlink, which is for the gateway that it is sent to.
pub(super) fn statement(outgoing: &Outgoing) -> Statement {
    let ring = keros_protocol::KeyRing::new(vec![key(2).public()]);
    let payload = downlink(outgoing).statement.unwrap().verify(Envelope::STATEMENT, &ring).unwrap();
    let statement: Statement = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement.eui, outgoing.eui);
    statement
}

pub(super) fn acknowledged(outgoing: &Outgoing) -> Option<u64> {
    statement(outgoing).last_report.map(|position| position.number)
}

pub(super) fn cancelled(outgoing: &Outgoing) -> Vec<CommandId> {
    statement(outgoing).cancellations.iter().map(|cancellation| cancellation.command_id).collect()
}

pub(super) fn succeeded() -> Outcome {
    Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None }
}

pub(super) fn failed() -> Outcome {
    Outcome::Failed {
        task: None,
        exit_code: Some(1),
        message: "no".to_owned(),
        output: None,
        summary: Summary::default(),
    }
}

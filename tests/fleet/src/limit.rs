//! The broker's own limit: in the center's place somebody answers each telemetry at once, and keeps, checks and signs nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use keros_protocol::topics::{Leaf, Prefix};
use keros_protocol::{Eui, KeyRing};
use keros_tests::{Mosquitto, MosquittoMode};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde::Deserialize;
use tokio::sync::watch;
use uuid::Uuid;

use crate::arguments::LimitArguments;
use crate::gateway::Profile;
use crate::numbers::{Numbers, read};
use crate::process::{raise_open_files, usage};
use crate::run::FIRST_EUI;
use crate::world::{self, Plan};
use crate::{talk, telemetry};

/// Until all are connected, and then until what came with it is over.
const CONNECT_LIMIT: Duration = Duration::from_secs(120);
const CALM: Duration = Duration::from_secs(3);

/// The head of the table.
pub(crate) const HEAD: &str = "| gateways | broker, with who answers at once | asked a second | answered a second | p50 ms | p99 ms | mosquitto, CPU µs each |\n| ---: | --- | ---: | ---: | ---: | ---: | ---: |";

/// Measures it.
pub(crate) fn run(arguments: &LimitArguments) -> Result<()> {
    let folder = tempfile::tempdir()?;
    println!("{HEAD}\n{}", row(folder.path(), arguments)?);
    Ok(())
}

/// The line of the table.
pub(crate) fn row(folder: &Path, arguments: &LimitArguments) -> Result<String> {
    let LimitArguments { gateways, interval, seconds } = *arguments;
    raise_open_files()?;
    let mosquitto = Mosquitto::start(&folder.join("mosquitto"), MosquittoMode::Busy)?;
    let broker = mosquitto.id().context("mosquitto runs")?;
    let (over, receiver) = watch::channel(false);
    let (port, stop) = (mosquitto.port, receiver.clone());
    let responder = std::thread::spawn(move || respond(port, stop));
    let numbers = Arc::<Numbers>::default();
    let plan = Plan {
        port,
        password: None,
        euis: (0..u64::from(gateways)).map(|number| Eui::from_u64(FIRST_EUI + number)).collect(),
        profile: profile(interval * 1000)?,
        seed: 1,
        connects_per_s: 500,
        mishap_every_s: 0,
    };
    let of_thread = Arc::clone(&numbers);
    let fleet = std::thread::spawn(move || world::run(plan, of_thread, receiver));
    let begin = std::time::Instant::now();
    while read(&numbers.connected) < u64::from(gateways) {
        if begin.elapsed() > CONNECT_LIMIT {
            bail!("only {} of {gateways} gateways are connected", read(&numbers.connected));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(CALM);
    let before = (numbers.snapshot(), usage(broker)?.cpu_s);
    std::thread::sleep(Duration::from_secs(seconds));
    let stretch = numbers.snapshot().since(&before.0, seconds as f64);
    let cpu_us = (usage(broker)?.cpu_s - before.1) * 1e6 / stretch.answered.max(1) as f64;
    over.send_replace(true);
    let broke = |_| anyhow::anyhow!("a thread broke");
    fleet.join().map_err(broke)??;
    responder.join().map_err(broke)??;
    let ms = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
    Ok(format!(
        "| {gateways} | mosquitto | {:.0} | {:.0} | {} | {} | {cpu_us:.0} |",
        f64::from(gateways) / interval as f64,
        stretch.exchanges_per_s,
        ms(stretch.p50_ms),
        ms(stretch.p99_ms),
    ))
}

fn profile(interval_ms: u64) -> Result<Arc<Profile>> {
    let [command, statement] = talk::keys()?;
    let packages = telemetry::packages();
    Ok(Arc::new(Profile {
        command_keys: KeyRing::new(vec![command.public()]),
        statement_keys: KeyRing::new(vec![statement.public()]),
        version: "6.3.1".parse().context("a KerOS version")?,
        packages_digest: telemetry::digest(&packages),
        packages,
        interval_ms,
    }))
}

#[derive(Deserialize)]
struct Asked {
    telemetry_id: Uuid,
}

/// Answers until `over` holds true.
fn respond(port: u16, mut over: watch::Receiver<bool>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let prefix = Prefix::default();
        let mut options = MqttOptions::new("responder", "127.0.0.1", port);
        options.set_connect_properties(ConnectProperties::new()).set_receive_maximum(Some(16_384));
        options.set_outgoing_inflight_upper_limit(1024);
        options.set_request_channel_capacity(4096);
        let (client, mut connection) = AsyncClient::new(options, 4096);
        client.try_subscribe(prefix.all_gateways(Leaf::Telemetry), QoS::AtLeastOnce)?;
        loop {
            let event = tokio::select! {
                event = connection.poll() => event?,
                _ = over.wait_for(|over| *over) => return Ok(()),
            };
            let Event::Incoming(Packet::Publish(message)) = event else { continue };
            let topic = std::str::from_utf8(&message.topic)?;
            let Some((eui, _)) = prefix.parse(topic) else { continue };
            let asked: Asked = serde_json::from_slice(&message.payload)?;
            let answer = serde_json::json!({ "telemetry_id": asked.telemetry_id }).to_string();
            // Beyond what the queue takes it is not answered, which the table shows.
            let _ = client.try_publish(prefix.topic(eui, Leaf::Down), QoS::AtLeastOnce, false, answer);
        }
    })
}

//! The agent at the near end of a cable, the broker at the far end, and everything that happens to such cables: a command
//! comes through all the same, runs once, and the center learns its end once.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{
    Broker, Center, FAR, Gateway, GatewayOptions, KEROS_6, Link, Manner, Mosquitto, MosquittoMode, Proxy,
    Reports, wait_for,
};
use serde_json::{Value, json};

const EUI: &str = "7076FF0000000001";
const PORT: u16 = 1883;
const TASKS: usize = 5;
/// The shortest that the agent takes: faults are noticed the sooner.
const KEEP_ALIVE_S: u32 = 5;
/// An unanswered ping ends a connection when the next one is due.
const NOTICED_WITHIN: Duration = Duration::from_secs(2 * KEEP_ALIVE_S as u64 + 3);

struct Site {
    gateway: Gateway,
    proxy: Proxy,
    link: Link,
    reports: Reports,
    center: Center,
    _broker: Mosquitto,
    _folder: tempfile::TempDir,
}

impl Site {
    /// `None` where a test cannot make network namespaces.
    fn start() -> Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            skipped("only root can make network namespaces");
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
        let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, vec![]))?;
        let reports = Reports::listen(folder.path(), &broker)?;
        let link = Link::make()?;
        let proxy = Proxy::start(link.listen(PORT)?, broker.port)?;
        let options = GatewayOptions {
            host: Some(FAR.to_string()),
            port: PORT,
            namespace: Some(link.near().to_owned()),
            keep_alive_s: Some(KEEP_ALIVE_S),
            trust: center.keys().join("trust"),
            ..GatewayOptions::default()
        };
        let gateway = Gateway::start(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
        center.wait_for_telemetry(&[EUI])?;
        Ok(Some(Self { gateway, proxy, link, reports, center, _broker: broker, _folder: folder }))
    }

    fn send(&self) -> Result<String> {
        self.center.send_with("site", &[EUI], &script(), &json!({ "confirm_window_s": 0 }))
    }

    /// Waits for the end of the update, and judges it.
    fn comes_through(&self, fault: &str, update: &str, begin: Instant) -> Result<()> {
        let update = self.center.wait_for_end(update).with_context(|| self.gateway.log())?;
        let outcome = &update["gateways"][0]["outcome"];
        ensure!(outcome["status"] == "succeeded", "{outcome:#}\n{}", self.gateway.log());
        let done = std::fs::read_to_string(self.gateway.root.join("done"))?;
        let expected: String = (1..=TASKS).map(|number| format!("{number}\n")).collect();
        ensure!(done == expected, "each task once, in order, but: {done:?}");
        // Nothing is owed any more: had the agent more to say, it would be on its way.
        wait_for("the agent owes no report", || {
            let (_, status) = self.gateway.technician(&["status", "--json"])?;
            let status: Value = serde_json::from_str(&status)?;
            ensure!(status["reports_pending"] == json!(0), "{status:#}");
            Ok(Some(()))
        })?;
        let terminals = self.reports.terminals()?;
        ensure!(terminals.len() == 1 && terminals.values().all(|told| told.len() == 1), "{terminals:#?}");
        let (took, bytes) = (begin.elapsed().as_secs_f64(), self.proxy.bytes());
        println!(
            "{fault}: 1 of 1 came through in {took:.1} s, {bytes} bytes of MQTT in all; statuses lost: 0; tasks run twice: 0"
        );
        Ok(())
    }

    fn wait_until_noticed(&self, error: &str, since: Instant) -> Result<Duration> {
        wait_for("the agent has noticed", || {
            let log = self.gateway.log();
            Ok(log.lines().any(|line| line.contains("no connection") && line.contains(error)).then_some(()))
        })
        .with_context(|| self.gateway.log())?;
        Ok(since.elapsed())
    }
}

fn script() -> String {
    (1..=TASKS).fold("- name: steps\n  groups: [all]\n  tasks:\n".to_owned(), |mut text, number| {
        let _ = writeln!(
            text,
            "    - !shell {{ name: t{number}, cmd: 'echo {number} >> \"$KEROS_ROOT/done\"' }}"
        );
        text
    })
}

#[test]
fn a_fifth_of_all_packets_is_lost() -> Result<()> {
    let Some(site) = Site::start()? else { return Ok(()) };
    site.link.filter("numgen random mod 100 < 20 drop;")?;
    let begin = Instant::now();
    site.comes_through("20 % loss in each direction", &site.send()?, begin)
}

#[test]
fn everything_takes_most_of_a_second() -> Result<()> {
    let Some(site) = Site::start()? else { return Ok(()) };
    site.proxy.set_delay(Duration::from_millis(700));
    let begin = Instant::now();
    site.comes_through("700 ms delay in each direction", &site.send()?, begin)
}

#[test]
fn nine_thousand_six_hundred_bits_a_second() -> Result<()> {
    let Some(site) = Site::start()? else { return Ok(()) };
    site.link.slow_down(9600)?;
    let begin = Instant::now();
    site.comes_through("9,600 bit/s", &site.send()?, begin)
}

#[test]
fn connections_are_reset_again_and_again() -> Result<()> {
    let Some(site) = Site::start()? else { return Ok(()) };
    // The third packet to the broker, which the shortest way of a command has, and every sixteenth after it; but for those that
    // begin or end a connection.
    let rule =
        "tcp dport 1883 tcp flags & (syn | rst | fin) == 0 numgen inc mod 16 == 2 reject with tcp reset;";
    site.link.filter(rule)?;
    let begin = Instant::now();
    site.comes_through("every sixteenth packet resets the connection", &site.send()?, begin)?;
    ensure!(site.gateway.log().contains("no connection"), "the fault was there:\n{}", site.gateway.log());
    Ok(())
}

#[test]
fn the_cable_is_pulled_and_nobody_says_so() -> Result<()> {
    let Some(site) = Site::start()? else { return Ok(()) };
    let begin = Instant::now();
    site.link.plug(false)?;
    let update = site.send()?;
    let noticed = site.wait_until_noticed("", begin)?;
    ensure!(noticed <= NOTICED_WITHIN, "noticed after {noticed:?}, which is more than {NOTICED_WITHIN:?}");
    println!(
        "half-open connection: noticed after {:.1} s, keep-alive {KEEP_ALIVE_S} s",
        noticed.as_secs_f64()
    );
    site.link.plug(true)?;
    site.comes_through("half-open connection", &update, begin)
}

#[test]
fn the_broker_takes_messages_and_never_acknowledges_one() -> Result<()> {
    let Some(site) = Site::start()? else { return Ok(()) };
    site.proxy.set_manner(Manner::NeverAcknowledges);
    let begin = Instant::now();
    site.comes_through("a broker that acknowledges nothing", &site.send()?, begin)?;
    let noticed = site.wait_until_noticed("has not acknowledged", begin)?;
    ensure!(noticed <= NOTICED_WITHIN, "noticed after {noticed:?}, which is more than {NOTICED_WITHIN:?}");
    Ok(())
}

#[test]
fn a_broker_that_only_answers_pings_is_left_in_time() -> Result<()> {
    let Some(site) = Site::start()? else { return Ok(()) };
    site.proxy.set_manner(Manner::AnswersPingsOnly);
    let begin = Instant::now();
    site.gateway.technician(&["telemetry", "--now"])?;
    let update = site.send()?;
    let noticed = site.wait_until_noticed("has not acknowledged", begin)?;
    ensure!(noticed <= NOTICED_WITHIN, "noticed after {noticed:?}, which is more than {NOTICED_WITHIN:?}");
    println!("a broker that only answers pings: noticed after {:.1} s", noticed.as_secs_f64());
    site.proxy.set_manner(Manner::Honest);
    site.comes_through("a broker that only answers pings", &update, begin)
}

//! A Magic Link that is being fetched, and everything that may come between: what has come is not fetched again, and in the
//! end the job has run once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{
    Answer, Asked, Broker, Bundle, Center, FAR, Fleet, Gateway, GatewayOptions, KEROS_6, Link, Mosquitto,
    MosquittoMode, Proxy, StandIn, wait_for,
};
use serde_json::{Value, json};

const EUI: &str = "7076FF0000000006";
const SITE: &str = "\
- name: forwarder
  groups: [all]
  tasks:
    - !copy { src: data.bin, dest: /etc/data.bin }
    - !shell { cmd: 'echo run >> \"$KEROS_ROOT/etc/runs\"' }
";
const DATA_BYTES: usize = 3_000_000;
const HTTP: &str = "magic_links: { allow_http: true }\n";

fn data() -> Vec<u8> {
    (0..DATA_BYTES).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

fn bundle(folder: &Path) -> Result<Bundle> {
    Bundle::write(
        &folder.join("layout"),
        &[EUI],
        &[("site.yml", SITE.as_bytes()), ("files/data.bin", &data())],
    )
}

/// Answers from a bundle's blobs; the greatest as `answer_data` says.
fn serve<F>(bundle: &Bundle, answer_data: F) -> impl Fn(&Asked) -> Answer + use<F>
where
    F: Fn(Vec<u8>) -> Answer + Send + Sync + 'static,
{
    let blobs = bundle.layout.join("blobs/sha256");
    move |asked| {
        let hex = asked.path.rsplit(':').next().unwrap_or_default();
        match std::fs::read(blobs.join(hex)) {
            Ok(bytes) if bytes.len() == DATA_BYTES => answer_data(bytes),
            Ok(bytes) => Answer::Bytes(bytes),
            Err(_) => Answer::Status(404),
        }
    }
}

/// Where each request for the greatest blob began.
fn begins(stand_in: &StandIn, bundle: &Bundle) -> Vec<u64> {
    let data = bundle.manifest.files[1].blob.digest.to_string();
    stand_in.asked().iter().filter(|asked| asked.path.ends_with(&data)).map(|asked| asked.from).collect()
}

/// What has come of the greatest blob, bytes.
fn arrived(gateway: &Gateway, bundle: &Bundle) -> u64 {
    let partial =
        gateway.agent_state().join("bundles/partial").join(bundle.manifest.files[1].blob.digest.hex());
    std::fs::metadata(partial).map_or(0, |about| about.len())
}

fn ran_once(gateway: &Gateway, outcome: &Value) -> Result<()> {
    ensure!(outcome["status"] == "succeeded", "{outcome:#}\n{}", gateway.log());
    ensure!(std::fs::read(gateway.root.join("etc/data.bin"))? == data());
    ensure!(std::fs::read_to_string(gateway.root.join("etc/runs"))? == "run\n");
    Ok(())
}

#[test]
fn a_connection_that_is_cut_ten_times_costs_less_than_a_hundredth_twice() -> Result<()> {
    const PART: usize = DATA_BYTES / 11;
    let options = GatewayOptions { more: HTTP.to_owned(), ..Default::default() };
    let fleet = Fleet::start_with(&[(EUI, KEROS_6)], &options)?;
    let bundle = bundle(fleet.folder())?;
    let stand_in = StandIn::start(serve(&bundle, |bytes| Answer::CutOff(bytes, PART)))?;
    let source = stand_in.source("links/x");
    let update = fleet.send_link("site", &bundle.digest.to_string(), Some(&source))?;
    let outcome = fleet.outcomes(&update)?.remove(EUI).context("the gateway is in the update")?;
    ran_once(&fleet.gateways[0], &outcome)?;
    let begins = begins(&stand_in, &bundle);
    ensure!(begins.len() > 10, "{begins:?}");
    let sent: u64 = begins.iter().map(|from| (DATA_BYTES as u64 - from).min(PART as u64)).sum();
    ensure!(sent * 100 < DATA_BYTES as u64 * 101, "{sent} bytes were sent, beginning at {begins:?}");
    println!("cut {} times: {sent} bytes were sent for {DATA_BYTES}", begins.len() - 1);
    Ok(())
}

#[test]
fn an_agent_that_is_killed_while_it_fetches_goes_on_where_it_was() -> Result<()> {
    killed_at_half(|_| Ok(()))
}

#[test]
fn an_agent_that_has_lost_its_state_goes_on_where_it_was() -> Result<()> {
    killed_at_half(|gateway| Ok(std::fs::remove_file(gateway.agent_state().join("state.json"))?))
}

/// An agent is killed when half of a bundle has come, something is done to it, and it starts again.
fn killed_at_half(meanwhile: impl Fn(&Gateway) -> Result<()>) -> Result<()> {
    const PART: usize = DATA_BYTES / 2;
    let options = GatewayOptions { more: HTTP.to_owned(), ..Default::default() };
    let mut fleet = Fleet::start_with(&[(EUI, KEROS_6)], &options)?;
    let bundle = bundle(fleet.folder())?;
    let stuck = Arc::new(AtomicBool::new(true));
    let is_stuck = Arc::clone(&stuck);
    let stand_in = StandIn::start(serve(&bundle, move |bytes| match is_stuck.load(Ordering::Relaxed) {
        true => Answer::Stuck(bytes, PART),
        false => Answer::Bytes(bytes),
    }))?;
    let update = fleet.send_link("site", &bundle.digest.to_string(), Some(&stand_in.source("links/x")))?;
    wait_for("half of it has come", || {
        Ok((arrived(&fleet.gateways[0], &bundle) >= PART as u64).then_some(()))
    })
    .with_context(|| fleet.gateways[0].log())?;
    fleet.gateways[0].kill()?;
    meanwhile(&fleet.gateways[0])?;
    stuck.store(false, Ordering::Relaxed);
    fleet.gateways[0].restart()?;
    let outcome = fleet.outcomes(&update)?.remove(EUI).context("the gateway is in the update")?;
    ran_once(&fleet.gateways[0], &outcome)?;
    let begins = begins(&stand_in, &bundle);
    // What was written last may not have been noted yet when the agent died.
    ensure!(begins.len() == 2 && begins[1] * 100 >= PART as u64 * 98, "{begins:?}");
    Ok(())
}

#[test]
fn a_center_that_is_killed_while_it_serves_is_asked_again_when_it_is_back() -> Result<()> {
    // Three seconds for all of it, so that there is a middle.
    let more = "magic_links: { rate_limit_kib_s: 1000 }\n".to_owned();
    let mut fleet = Fleet::start_with(&[(EUI, KEROS_6)], &GatewayOptions { more, ..Default::default() })?;
    let bundle = bundle(fleet.folder())?;
    fleet.center.command_line(&["magic-link", "import", &bundle.layout.display().to_string()])?;
    let update = fleet.send_link("site", &bundle.digest.to_string(), None)?;
    wait_for("some of it has come", || Ok((arrived(&fleet.gateways[0], &bundle) > 0).then_some(())))
        .with_context(|| fleet.gateways[0].log())?;
    fleet.center.kill()?;
    ensure!(!fleet.gateways[0].root.join("etc/runs").exists(), "it was over before the center was killed");
    fleet.center.restart()?;
    let outcome = fleet.outcomes(&update)?.remove(EUI).context("the gateway is in the update")?;
    ran_once(&fleet.gateways[0], &outcome)
}

#[test]
fn technician_and_operator_see_how_far_a_bundle_is_and_why_it_does_not_come() -> Result<()> {
    const PART: usize = DATA_BYTES / 3;
    const WHY: &str = "the source answers 503";
    let options = GatewayOptions { more: HTTP.to_owned(), ..Default::default() };
    let fleet = Fleet::start_with(&[(EUI, KEROS_6)], &options)?;
    let bundle = bundle(fleet.folder())?;
    let has_begun = AtomicBool::new(false);
    let stand_in =
        StandIn::start(serve(&bundle, move |bytes| match has_begun.swap(true, Ordering::Relaxed) {
            true => Answer::Status(503),
            false => Answer::CutOff(bytes, PART),
        }))?;
    let update = fleet.send_link("site", &bundle.digest.to_string(), Some(&stand_in.source("links/x")))?;
    wait_for("the technician sees why", || {
        let (_, status) = fleet.gateways[0].technician(&["status"])?;
        Ok(status.contains(WHY).then_some(()))
    })
    .with_context(|| fleet.gateways[0].log())?;
    fleet.center.command_line(&["gateways", "nudge", EUI])?;
    let shown = wait_for("the operator sees why", || {
        let shown = fleet.center.command_line(&["update", "show", &update])?;
        Ok(shown.contains(WHY).then_some(shown))
    })?;
    let total: u64 = bundle.manifest.blobs().iter().map(|blob| blob.size).sum();
    ensure!(shown.contains(&format!(" of {total} bytes are there; the last attempt: http://")), "{shown}");
    Ok(())
}

/// Only this test's own namespaces know of the broken link.
#[test]
fn a_link_that_resets_what_is_fetched_is_tried_again() -> Result<()> {
    const PORT: u16 = 5000;
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can make network namespaces");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
    let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, vec![]))?;
    let link = Link::make()?;
    let _proxy = Proxy::start(link.listen(1883)?, broker.port)?;
    let bundle = bundle(folder.path())?;
    let stand_in = StandIn::on(link.listen(PORT)?, serve(&bundle, Answer::Bytes))?;
    // Three megabytes take six seconds.
    link.slow_down(4_000_000)?;
    let options = GatewayOptions {
        host: Some(FAR.to_string()),
        port: 1883,
        namespace: Some(link.near().to_owned()),
        trust: center.keys().join("trust"),
        more: HTTP.to_owned(),
        ..GatewayOptions::default()
    };
    let gateway = Gateway::start(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
    center.wait_for_telemetry(&[EUI])?;
    center.post("/groups", &json!({ "name": "site", "gateways": [EUI] }))?;
    let source = format!("http://{FAR}:{PORT}/v2/links/x");
    let job = json!({ "kind": "magic_link", "digest": bundle.digest, "source": source });
    let order = json!({ "group": "site", "job": job, "options": { "confirm_window_s": 0 } });
    let update = center.post("/updates", &order)?;
    for cut in 1..=3_u64 {
        let enough = cut * DATA_BYTES as u64 / 5;
        wait_for("more has come", || Ok((arrived(&gateway, &bundle) >= enough).then_some(())))
            .with_context(|| gateway.log())?;
        // What is counted is the first packet of the next connection: then the agent has given up the last one.
        let begin = format!("tcp dport {PORT} tcp flags & (syn | ack) == syn counter reject with tcp reset;");
        link.filter(&format!("{begin} tcp dport {PORT} reject with tcp reset;"))?;
        wait_for("the agent tries again", || Ok(link.has_filtered()?.then_some(())))?;
        let asked = begins(&stand_in, &bundle).len();
        link.unfilter()?;
        wait_for("it was asked again", || Ok((begins(&stand_in, &bundle).len() > asked).then_some(())))
            .with_context(|| gateway.log())?;
    }
    let id = update["update_id"].as_str().context("an update has an id")?;
    let ended = center.wait_for_end(id).with_context(|| gateway.log())?;
    ran_once(&gateway, &ended["gateways"][0]["outcome"])?;
    let begins = begins(&stand_in, &bundle);
    ensure!(begins.len() >= 4 && begins.is_sorted(), "each goes on where it was: {begins:?}");
    Ok(())
}

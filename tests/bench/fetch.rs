//! A Magic Link of 100 MB from docker-registry over TLS: the agent beside `curl -o` and `sha256sum` on the same server, the agent's
//! greatest memory meanwhile, and what a link that is cut ten times brings twice.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use keros_tests::{
    Answer, Bundle, Fleet, Gateway, GatewayOptions, KEROS_6, Registry, Skopeo, StandIn, run_ok,
    system_program,
};

use crate::measure::{gateway_program, median, memory_kib};

const EUI: &str = "7076FF0000000001";
const SITE: &[u8] = b"- name: p\n  groups: [all]\n  tasks:\n    - !echo { msg: fetched }\n";
const DATA_BYTES: usize = 100_000_000;
const ROUNDS: usize = 3;
const CUTS: usize = 10;
const LIMIT: Duration = Duration::from_secs(300);

/// Prints the table.
pub(crate) fn run() -> Result<()> {
    let fleet = Fleet::start(&[])?;
    let mut fleet = with_gateway(fleet)?;
    let bundle = bundle(fleet.folder())?;
    let registry = Registry::start(&fleet.path("registry"), &fleet.pki)?;
    let skopeo = Skopeo::new(&fleet.path("home"), &registry, &fleet.pki)?;
    skopeo.copy(&bundle.oci(), &registry.repository("bench/link"))?;
    let (mut agent, mut curl, mut peak_kib) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        curl.push(by_curl(&fleet, &bundle, &registry)?);
        let fetched =
            by_agent(&mut fleet, &bundle, &format!("round-{round}"), &registry.source("bench/link"))?;
        agent.push(fetched.seconds);
        peak_kib = fetched.peak_kib.max(peak_kib);
    }
    println!("| a bundle of 100 MB from docker-registry over TLS | median of {ROUNDS} |\n| --- | ---: |");
    println!("| `curl -o`, then `sha256sum` | {:.0} MB/s |", rate(median(curl)?));
    println!("| keros-agent, durable and read-only at the end | {:.0} MB/s |", rate(median(agent)?));
    println!("| greatest PSS of keros-agent meanwhile | {peak_kib} KiB |");
    println!(
        "| fetched twice when the link is cut {CUTS} times | {} bytes |\n",
        fetched_twice(&mut fleet, &bundle)?
    );
    Ok(())
}

fn rate(seconds: f64) -> f64 {
    DATA_BYTES as f64 / 1e6 / seconds
}

fn with_gateway(mut fleet: Fleet) -> Result<Fleet> {
    let options = GatewayOptions {
        port: fleet.center.mqtt_port(),
        trust: fleet.center.keys().join("trust"),
        password: fleet.center.gateway_password(EUI)?,
        ca: Some(fleet.pki.path("ca.pem")),
        executor: Some(gateway_program("keros-executor")?),
        more: "magic_links: { allow_http: true }\n".to_owned(),
        ..GatewayOptions::default()
    };
    let mut gateway = Gateway::prepare(&fleet.path(EUI), EUI, KEROS_6, &options)?;
    gateway.start_program(&gateway_program("keros-agent")?)?;
    fleet.gateways.push(gateway);
    fleet.center.wait_for_telemetry(&[EUI])?;
    Ok(fleet)
}

fn bundle(folder: &Path) -> Result<Bundle> {
    let mut data = vec![0; DATA_BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut data)?;
    Bundle::write(&folder.join("layout"), &[EUI], &[("site.yml", SITE), ("data.bin", &data)])
}

/// Seconds of both programs, one after the other.
fn by_curl(fleet: &Fleet, bundle: &Bundle, registry: &Registry) -> Result<f64> {
    let digest = bundle.manifest.files[1].blob.digest;
    let (url, file) = (format!("{}/blobs/{digest}", registry.source("bench/link")), fleet.path("by-curl"));
    let begin = Instant::now();
    let mut curl = Command::new(system_program("curl")?);
    curl.arg("-sSf").arg("--cacert").arg(fleet.pki.path("ca.pem")).arg("-o").arg(&file).arg(url);
    ensure!(curl.status()?.success(), "curl failed");
    let sum = run_ok(&system_program("sha256sum")?, [&file])?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(sum.starts_with(&digest.hex()), "{sum}");
    std::fs::remove_file(&file)?;
    Ok(seconds)
}

struct Fetched {
    seconds: f64,
    peak_kib: u64,
}

/// From the first bytes of the data to its blob.
fn by_agent(fleet: &mut Fleet, bundle: &Bundle, group: &str, source: &str) -> Result<Fetched> {
    let hex = bundle.manifest.files[1].blob.digest.hex();
    let gateway = fleet.gateways.first_mut().context("a gateway")?;
    let folder = gateway.agent_state().join("bundles");
    let pid = gateway.process().context("the agent runs")?.id();
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let update = fleet.send_link(group, &bundle.digest.to_string(), Some(source))?;
    let (part, blob) = (folder.join("partial").join(&hex), folder.join("blobs/sha256").join(&hex));
    let (mut begin, mut peak_kib, limit) = (None, 0, Instant::now() + LIMIT);
    while !blob.exists() {
        ensure!(Instant::now() < limit, "the data did not come");
        if begin.is_none() && part.metadata().is_ok_and(|part| part.len() > 0) {
            begin = Some(Instant::now());
        }
        peak_kib = memory_kib(pid)?.0.max(peak_kib);
        std::thread::sleep(Duration::from_millis(5));
    }
    let seconds = begin.context("the data was seen to come")?.elapsed().as_secs_f64();
    fleet.center.wait_for_end(&update)?;
    Ok(Fetched { seconds, peak_kib })
}

/// From a server that breaks off ten times, at places of no meaning.
fn fetched_twice(fleet: &mut Fleet, bundle: &Bundle) -> Result<usize> {
    const PIECE: usize = DATA_BYTES / (CUTS + 1) - 12_345;
    let (blobs, cuts) = (bundle.layout.join("blobs/sha256"), Arc::new(AtomicUsize::new(0)));
    let server = StandIn::start(move |asked| {
        match std::fs::read(blobs.join(asked.path.rsplit(':').next().unwrap_or_default())) {
            Ok(bytes) if bytes.len() == DATA_BYTES && cuts.fetch_add(1, Ordering::Relaxed) < CUTS => {
                Answer::CutOff(bytes, PIECE)
            }
            Ok(bytes) => Answer::Bytes(bytes),
            Err(_) => Answer::Status(404),
        }
    })?;
    by_agent(fleet, bundle, "cut", &server.source("bench/link"))?;
    let digest = bundle.manifest.files[1].blob.digest.to_string();
    let asked = server.asked();
    let from: Vec<u64> = asked.iter().filter(|a| a.path.ends_with(&digest)).map(|asked| asked.from).collect();
    ensure!(from.len() == CUTS + 1, "{from:?}");
    let last = usize::try_from(*from.last().context("it was asked for")?)?;
    Ok(CUTS * PIECE - last)
}

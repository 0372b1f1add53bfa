//! How long the center takes for its pages and lists when the fleet is great: each is asked for many times, one after the other, of a center
//! that has a group of all gateways, an update to all that has ended, and one that waits for all.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use keros_protocol::{Eui, UpdateId};
use serde_json::json;

use crate::arguments::{BrokerKind, FleetArguments, PagesArguments};
use crate::place::Place;
use crate::process::usage;
use crate::run::{FIRST_EUI, SCRIPT};
use crate::{day, numbers};

/// A page is asked for so often, unless that takes too long.
const MOST_REQUESTS: usize = 100;
const LEAST_REQUESTS: usize = 5;
const LONGEST: Duration = Duration::from_secs(4);
/// Whoever asks waits no longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// A center that has just started looks after all its updates within this time.
const SETTLED: Duration = Duration::from_secs(15);

/// The head of the table.
pub(crate) const HEAD: &str = "| asked for | gateways | database | p50 ms | p99 ms | center, CPU ms each | KiB |\n| --- | ---: | --- | ---: | ---: | ---: | ---: |";

/// What is asked for.
enum Ask {
    Get(String),
    Post(&'static str, String),
}

/// Measures all of it.
pub(crate) fn run(arguments: &PagesArguments) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| scratch.path().to_owned());
    println!("{HEAD}\n{}", rows(&folder, arguments.gateways, arguments.database.as_deref())?.join("\n"));
    Ok(())
}

/// The lines of the table for so many gateways.
pub(crate) fn rows(folder: &Path, gateways: u32, database: Option<&str>) -> Result<Vec<String>> {
    let [ended, waiting] = day::fill(&folder.join("center/data"), gateways, database)?;
    let euis: Vec<Eui> = (0..u64::from(gateways)).map(|number| Eui::from_u64(FIRST_EUI + number)).collect();
    let fleet = FleetArguments {
        gateways,
        broker: BrokerKind::Embedded,
        database: database.map(str::to_owned),
        ..FleetArguments::quiet()
    };
    let place = Place::start(folder, &fleet, &euis[..1])?;
    let token = std::fs::read_to_string(folder.join("center/data/api-token"))?;
    let client = Client {
        base: format!("http://{}", place.center.rest()),
        token: format!("Bearer {}", token.trim()),
        agent: ureq::Agent::config_builder().timeout_global(Some(ANSWER_LIMIT)).build().into(),
        center: place.center.id().context("the center runs")?,
    };
    let begin = Instant::now();
    while begin.elapsed() < SETTLED {
        client.ask(&Ask::Get("/updates".to_owned()))?;
        std::thread::sleep(Duration::from_millis(500));
    }
    let database = database.map_or("sqlite", |url| url.split(':').next().unwrap_or("?"));
    let middle = euis[euis.len() / 2];
    let row = |(what, ask): (&str, Ask)| {
        let row = client.measure(&ask).with_context(|| what.to_owned())?;
        Ok(format!("| {what} | {gateways} | {database} | {row} |"))
    };
    asks(middle, ended, waiting).into_iter().map(row).collect()
}

fn asks(gateway: Eui, ended: UpdateId, waiting: UpdateId) -> Vec<(&'static str, Ask)> {
    let last_digits = &gateway.to_string()[12..];
    let pages = [
        ("page: groups", "/groups".to_owned()),
        ("page: the group", "/groups/fleet".to_owned()),
        ("page: Software update", "/groups/fleet/software-update".to_owned()),
        ("page: gateways", "/gateways".to_owned()),
        ("page: gateways, searched", format!("/gateways?search={last_digits}")),
        ("page: gateways, by telemetry", "/gateways?sort=-telemetry".to_owned()),
        ("page: gateways, by status", "/gateways?sort=status".to_owned()),
        ("page: gateways of the group", "/gateways?group=fleet".to_owned()),
        ("page: a gateway", format!("/gateways/{gateway}")),
        ("page: Last updates", "/updates".to_owned()),
        ("page: dashboard, in progress", format!("/updates/{waiting}")),
        ("page: dashboard, ended", format!("/updates/{ended}")),
        ("page: dashboard, the failed", format!("/updates/{ended}?outcome=failed")),
        ("page: dashboard, not sent", format!("/updates/{waiting}?delivery=waiting")),
        ("page: dashboard, received", format!("/updates/{ended}?delivery=received")),
        ("page: dashboard, no outcome", format!("/updates/{waiting}?outcome=none")),
        ("page: one gateway of an update", format!("/updates/{ended}/gateways/{gateway}")),
        ("page: send again?", format!("/updates/{ended}/retry")),
        ("REST: gateways", "/api/v1/gateways".to_owned()),
        ("REST: counts of gateways", "/api/v1/gateways/counts".to_owned()),
        ("REST: groups", "/api/v1/groups".to_owned()),
        ("REST: the group with all members", "/api/v1/groups/fleet".to_owned()),
        ("REST: updates", "/api/v1/updates".to_owned()),
        ("REST: lines of an update", format!("/api/v1/updates/{ended}/gateways")),
        ("REST: the update with its lines", format!("/api/v1/updates/{ended}")),
    ];
    let order = json!({ "group": "fleet", "job": { "kind": "jetporch", "script": SCRIPT } });
    let preview = Ask::Post("/api/v1/updates/preview", order.to_string());
    let pages = pages.into_iter().map(|(what, path)| (what, Ask::Get(path)));
    pages.chain([("REST: what an update would come to", preview)]).collect()
}

struct Client {
    base: String,
    token: String,
    agent: ureq::Agent,
    center: u32,
}

impl Client {
    /// Asks once; how many bytes came.
    fn ask(&self, ask: &Ask) -> Result<usize> {
        let mut response = match ask {
            Ask::Get(path) => {
                self.agent.get(format!("{}{path}", self.base)).header("Authorization", &self.token).call()?
            }
            Ask::Post(path, body) => self
                .agent
                .post(format!("{}{path}", self.base))
                .header("Authorization", &self.token)
                .header("Content-Type", "application/json")
                .send(body.as_str())?,
        };
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        ensure!(response.status().is_success(), "{}", response.status());
        Ok(body.len())
    }

    fn measure(&self, ask: &Ask) -> Result<String> {
        // The first one finds cold caches, as a person hardly ever does.
        let bytes = self.ask(ask)?;
        let (begin, before) = (Instant::now(), usage(self.center)?);
        let mut times_ms = Vec::new();
        while times_ms.len() < LEAST_REQUESTS || (times_ms.len() < MOST_REQUESTS && begin.elapsed() < LONGEST)
        {
            let one = Instant::now();
            self.ask(ask)?;
            times_ms.push(one.elapsed().as_secs_f64() * 1000.0);
        }
        let cpu_ms = (usage(self.center)?.cpu_s - before.cpu_s) * 1000.0 / times_ms.len() as f64;
        let [p50, p99] = [0.5, 0.99].map(|share| numbers::quantile_of(&mut times_ms, share));
        Ok(format!("{p50:.1} | {p99:.1} | {cpu_ms:.1} | {}", bytes.div_ceil(1024)))
    }
}

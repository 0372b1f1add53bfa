//! The demo's story, step by step, as a newcomer reads it. Every wait has a limit and says what was still missing.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use keros_protocol::{Eui, Job, JobLimits, Outcome, RefusalReason, UpdateId};
use tokio::sync::mpsc;

use super::Programs;
use super::center::{ADMINISTRATOR, Center};
use super::gateway::{self, Agent, Folders, Keros, PLANS, Plan};
use super::link;
use crate::api::{CreateGroup, GatewayView, GroupView, SendOptions, SendUpdate, UpdateView};
use crate::cli::client::Client;
use crate::cli::text::{printable, table};
use crate::cli::updates::{ROW_HEAD, row};
use crate::cli::watch::{self, Change, Display, Form};

const SCRIPT: &str = include_str!("script.yml");

/// What the script's variable `site` is.
const SITE: &str = "the roof of the demo";

/// What the script writes, below a gateway's root.
const WRITTEN: &str = "etc/keros-demo/site.conf";

const GROUP: &str = "demo";

/// Until the center listens to its broker.
const BROKER_LIMIT: Duration = Duration::from_secs(10);

const BROKER_POLL: Duration = Duration::from_millis(10);

/// Until all agents have sent telemetry.
const TELEMETRY_LIMIT: Duration = Duration::from_secs(30);

/// Until the update has ended.
const UPDATE_LIMIT: Duration = Duration::from_secs(60);

/// Until the agents have said goodbye; what is left then is killed.
const FAREWELL_LIMIT: Duration = Duration::from_secs(3);

const POLL: Duration = Duration::from_millis(100);

/// What is running, so that it can be stopped at any moment.
pub(super) struct Stage<'a> {
    demo: &'a Path,
    programs: &'a Programs,
    center: Option<Center>,
    agents: Vec<Agent>,
}

impl<'a> Stage<'a> {
    /// Nothing is running.
    pub(super) fn new(demo: &'a Path, programs: &'a Programs) -> Self {
        Self { demo, programs, center: None, agents: Vec::new() }
    }

    /// Stops agents and center in order.
    pub(super) async fn clear(&mut self) {
        self.agents.iter().for_each(Agent::terminate);
        let farewell = async {
            for agent in &mut self.agents {
                agent.ended().await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL_LIMIT, farewell).await;
        if let Some(center) = self.center.take() {
            center.stop().await;
        }
    }

    fn folders(&self, eui: Eui) -> anyhow::Result<Folders> {
        Ok(Folders::of(self.demo, &self.center()?.trust(), eui))
    }

    fn center(&self) -> anyhow::Result<&Center> {
        self.center.as_ref().context("the center is not running")
    }

    fn check_agents(&mut self) -> anyhow::Result<()> {
        self.agents.iter_mut().try_for_each(Agent::check)
    }
}

/// Tells the story; with `keep` it does not end by itself.
///
/// # Errors
/// When something did not come to pass as promised.
pub(super) async fn tell(stage: &mut Stage<'_>, keep: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "Updates from a management center to three gateways, all on this machine.")?;
    writeln!(out, "Everything is in {} and is removed at the end.\n", stage.demo.display())?;
    let client = start_center(stage, out).await?;
    start_agents(stage, out).await?;
    wait_for_telemetry(stage, &client, out).await?;
    let update_id = send_script(&client, out).await?;
    let update = follow(stage, &client, update_id, out).await?;
    show_table("5", &update, out)?;
    show_proof(stage, out)?;
    check_promise(&update, |plan, outcome| match plan.keros {
        Keros::Six => has_changed(outcome),
        Keros::Five => is_refused(outcome, RefusalReason::NotKeros6),
    })?;
    let update_id = send_link(stage, &client, out).await?;
    let update = follow(stage, &client, update_id, out).await?;
    show_table("8", &update, out)?;
    check_promise(&update, |plan, outcome| match link::DECLARED.contains(&plan.eui) {
        true => has_changed(outcome),
        false => is_refused(outcome, RefusalReason::NotDeclared),
    })?;
    let password = match keep {
        true => Some(stage.center()?.make_administrator().await?),
        false => None,
    };
    where_to_look(stage, &update, password.as_deref(), out)?;
    if keep {
        writeln!(out, "\nIt stays up until you press Ctrl-C.")?;
        out.flush()?;
        std::future::pending::<()>().await;
    }
    Ok(())
}

async fn start_center(stage: &mut Stage<'_>, out: &mut dyn Write) -> anyhow::Result<Client> {
    let center = Center::start(stage.demo).await?;
    writeln!(
        out,
        "1. The center is up: keys made, MQTT 5 broker on 127.0.0.1:{}, REST API on {}",
        center.mqtt_port()?,
        center.url()
    )?;
    let client = center.client()?;
    stage.center = Some(center);
    wait_for_broker(&client).await?;
    Ok(client)
}

/// A telemetry that is sent before the center listens is answered only an hour later, when the next one comes.
async fn wait_for_broker(client: &Client) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + BROKER_LIMIT;
    loop {
        let health = ask(client, |client| client.get::<serde_json::Value>("/health")).await?;
        if health["broker_connected"] == true {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            bail!("the center did not connect with its own broker within {} s", BROKER_LIMIT.as_secs());
        }
        tokio::time::sleep(BROKER_POLL).await;
    }
}

async fn start_agents(stage: &mut Stage<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(
        out,
        "2. Three agents start, each a process with a scratch tree and a broker password of its own:"
    )?;
    out.flush()?;
    for plan in &PLANS {
        let center = stage.center()?;
        let folders = stage.folders(plan.eui)?;
        let password = center.password(plan.eui)?;
        gateway::prepare(plan, &folders, &password, center.mqtt_port()?, stage.programs)?;
        stage.agents.push(Agent::start(plan, &folders, stage.programs)?);
    }
    Ok(())
}

async fn wait_for_telemetry(
    stage: &mut Stage<'_>,
    client: &Client,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + TELEMETRY_LIMIT;
    let mut missing: BTreeSet<Eui> = PLANS.iter().map(|plan| plan.eui).collect();
    loop {
        stage.check_agents()?;
        for view in ask(client, |client| client.get::<Vec<GatewayView>>("/gateways")).await? {
            if view.last_telemetry_unix_s.is_some() && missing.remove(&view.eui) {
                let keros = view.keros_version.as_deref().unwrap_or("unknown");
                writeln!(out, "     {}  {}  KerOS {}", view.eui, printable(&view.name), printable(keros))?;
                out.flush()?;
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            bail!("no telemetry within {} s from {}", TELEMETRY_LIMIT.as_secs(), names(&missing));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn send_script(client: &Client, out: &mut dyn Write) -> anyhow::Result<UpdateId> {
    writeln!(
        out,
        "3. This JetPorch script goes to the group \"{GROUP}\" of all three, with site = \"{SITE}\":\n"
    )?;
    for line in SCRIPT.lines() {
        writeln!(out, "{}", format!("     | {line}").trim_end())?;
    }
    let group = CreateGroup {
        name: GROUP.to_owned(),
        description: "Made by the demo".to_owned(),
        gateways: PLANS.iter().map(|plan| plan.eui).collect(),
        ..CreateGroup::default()
    };
    ask(client, move |client| client.post::<GroupView>("/groups", &group)).await?;
    let vars = serde_json::Map::from_iter([("site".to_owned(), SITE.into())]);
    let update_id = send(client, Job::JetPorch { script: SCRIPT.to_owned(), vars }).await?;
    writeln!(
        out,
        "\n4. A gateway fetches it with its hourly telemetry; the center asks those that are online to do it now:\n"
    )?;
    out.flush()?;
    Ok(update_id)
}

async fn send_link(stage: &Stage<'_>, client: &Client, out: &mut dyn Write) -> anyhow::Result<UpdateId> {
    let demo = stage.demo.to_owned();
    let digest = ask(client, move |client| link::make(&demo, client)).await?;
    let [six, five] = link::DECLARED;
    writeln!(
        out,
        "\n7. A Magic Link, the hash of a bundle ({}), goes to the same group. Declared in it",
        link::titles()
    )?;
    writeln!(out, "   are {six} and {five}, which has KerOS 5:\n")?;
    writeln!(out, "     {digest}\n")?;
    out.flush()?;
    send(client, link::job(digest)).await
}

async fn send(client: &Client, job: Job) -> anyhow::Result<UpdateId> {
    let order = SendUpdate {
        group: GROUP.to_owned(),
        job,
        limits: JobLimits::default(),
        options: SendOptions::default(),
        expires_in_s: Some(3600),
        plan: crate::plan::Plan::default(),
        dry_run_first: false,
    };
    let update = ask(client, move |client| client.post::<UpdateView>("/updates", &order)).await?;
    Ok(update.update_id)
}

async fn follow(
    stage: &mut Stage<'_>,
    client: &Client,
    update_id: UpdateId,
    out: &mut dyn Write,
) -> anyhow::Result<UpdateView> {
    let (changes, mut receiver) = mpsc::unbounded_channel();
    let blocking = client.clone();
    let mut follower = tokio::task::spawn_blocking(move || {
        watch::follow(&blocking, update_id, true, &mut |change| {
            // A story that has ended does not listen any more.
            changes.send(change.clone()).map_err(std::io::Error::other)
        })
    });
    let mut display = Display::new(Form::for_standard_output());
    let mut waiting: BTreeSet<Eui> = PLANS.iter().map(|plan| plan.eui).collect();
    let mut check = tokio::time::interval(POLL);
    let limit = tokio::time::sleep(UPDATE_LIMIT);
    tokio::pin!(limit);
    loop {
        tokio::select! {
            biased;
            Some(change) = receiver.recv() => {
                if let Change::Gateway(view) = &change
                    && view.outcome.as_ref().is_some_and(Outcome::is_terminal)
                {
                    waiting.remove(&view.eui);
                }
                display.show(&change, out)?;
            }
            ended = &mut follower => {
                display.clear(out)?;
                return ended.context("following the update broke")?;
            }
            _ = check.tick() => stage.check_agents()?,
            () = &mut limit => {
                bail!("not ended within {} s on {}", UPDATE_LIMIT.as_secs(), names(&waiting));
            }
        }
    }
}

fn show_table(step: &str, update: &UpdateView, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\n{step}. What became of it:\n")?;
    let rows: Vec<[String; 4]> = update.gateways.iter().map(row).collect();
    for line in table(ROW_HEAD, &rows).lines() {
        writeln!(out, "     {line}")?;
    }
    Ok(out.flush()?)
}

fn show_proof(stage: &Stage<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = stage.folders(PLANS[0].eui)?.root().join(WRITTEN);
    if let Ok(text) = std::fs::read_to_string(&path) {
        writeln!(out, "\n6. The proof, /{WRITTEN} on {}:\n", PLANS[0].eui)?;
        for line in text.lines() {
            writeln!(out, "     | {}", printable(line))?;
        }
    }
    Ok(out.flush()?)
}

/// Whether the table is as promised.
fn check_promise(update: &UpdateView, is_kept: impl Fn(&Plan, &Outcome) -> bool) -> anyhow::Result<()> {
    for plan in &PLANS {
        let view = update.gateways.iter().find(|view| view.eui == plan.eui);
        let outcome = view.and_then(|view| view.outcome.as_ref());
        if !outcome.is_some_and(|outcome| is_kept(plan, outcome)) {
            let found = outcome.map_or_else(|| "nothing".to_owned(), crate::cli::text::outcome);
            bail!("the demo did not end as it should: {} reported {found}", plan.eui);
        }
    }
    Ok(())
}

fn has_changed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Succeeded { summary, .. } if summary.changed() > 0)
}

fn is_refused(outcome: &Outcome, why: RefusalReason) -> bool {
    matches!(outcome, Outcome::Refused { reason, .. } if *reason == why)
}

fn where_to_look(
    stage: &Stage<'_>,
    update: &UpdateView,
    password: Option<&str>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    // Who has just built it has it nowhere in the PATH.
    let program = std::env::current_exe()?;
    let Some(password) = password else {
        writeln!(
            out,
            "\nTo look around, also in a browser, keep it running: {} demo --keep",
            program.display()
        )?;
        return Ok(());
    };
    let center = stage.center()?;
    let socket = stage.folders(PLANS[0].eui)?.status_socket();
    writeln!(out, "\nThe pages, where all of this can be done by hand: {}", center.url())?;
    writeln!(out, "  log-in name {ADMINISTRATOR}, password {password}")?;
    writeln!(out, "\nLook further, in another terminal:")?;
    if let Some(folder) = program.parent() {
        writeln!(out, "  export PATH={}:$PATH", folder.display())?;
    }
    writeln!(
        out,
        "  export KEROS_CENTER_URL={} KEROS_CENTER_TOKEN_FILE={}",
        center.url(),
        center.token_file().display()
    )?;
    writeln!(out, "  keros-center gateways")?;
    writeln!(out, "  keros-center update show {}", update.update_id)?;
    writeln!(out, "  keros-center api GET /updates")?;
    writeln!(out, "and as the technician beside the gateway:")?;
    writeln!(out, "  keros-agent status --socket {}", socket.display())?;
    writeln!(out, "  keros-agent jobs --socket {}", socket.display())?;
    Ok(())
}

/// Asks the center on a thread of its own, so that Ctrl-C is heard meanwhile.
async fn ask<T: Send + 'static, E: Into<anyhow::Error> + Send + 'static>(
    client: &Client,
    question: impl FnOnce(&Client) -> Result<T, E> + Send + 'static,
) -> anyhow::Result<T> {
    let client = client.clone();
    let answer = tokio::task::spawn_blocking(move || question(&client)).await;
    answer.context("asking the center broke")?.map_err(Into::into)
}

fn names(euis: &BTreeSet<Eui>) -> String {
    euis.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

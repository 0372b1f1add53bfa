//! What a fleet without connections and its center's process say to each other: one JSON object a line, each ask has one answer.
//! A process of its own, so that the kernel counts its memory and its CPU time apart from the fleet's.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use keros_center::simulation::{Down, Simulation, Up};
use keros_protocol::topics::Leaf;
use keros_protocol::{Eui, SigningKey, UnixSeconds, UpdateId};
use serde::{Deserialize, Serialize};

use crate::arguments::CenterArguments;

/// Seeds of the two keys.
const KEY_SEEDS: [u8; 2] = [1, 2];

/// What the center is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Gateways publish this; it comes together.
    Hear { messages: Vec<Message>, now: UnixSeconds },
    /// Five seconds have passed.
    Deadlines { since: UnixSeconds, now: UnixSeconds },
    /// Make a group.
    Group { name: String, gateways: Vec<Eui>, now: UnixSeconds },
    /// Send it a script.
    Send { group: String, script: String, now: UnixSeconds },
    /// Nudge whom that order names.
    Nudge { now: UnixSeconds },
    /// How far it is.
    Progress { update_id: UpdateId, now: UnixSeconds },
}

/// One message of a gateway.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) eui: Eui,
    pub(crate) is_report: bool,
    pub(crate) payload: String,
    pub(crate) correlation: Option<String>,
}

/// What the center answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    /// It publishes this.
    Downs(Vec<(Eui, String)>),
    /// It is done.
    Done,
    /// It is accepted.
    Accepted(UpdateId),
    /// So far.
    Progress { ended: bool, outcomes: BTreeMap<String, u32> },
    /// Why not.
    Refused(String),
}

/// The center's two keys.
pub(crate) fn keys() -> Result<[SigningKey; 2]> {
    let [command, statement] =
        KEY_SEEDS.map(|seed| SigningKey::from_pem(&SigningKey::pem_from_seed(&[seed; 32])));
    Ok([command?, statement?])
}

/// The center's process, until its standard input ends.
pub(crate) fn serve(arguments: &CenterArguments) -> Result<()> {
    // As the center's own, which has a thread for each processor.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let [command, statement] = keys()?;
        std::fs::create_dir_all(&arguments.folder)?;
        let mut center =
            Simulation::open(&arguments.folder, arguments.database.as_deref(), command, statement).await?;
        let mut out = BufWriter::new(stdout().lock());
        for line in stdin().lock().lines() {
            let told = answer(&mut center, serde_json::from_str(&line?)?).await;
            let told = told.unwrap_or_else(|error| Told::Refused(format!("{error:#}")));
            serde_json::to_writer(&mut out, &told)?;
            out.write_all(b"\n")?;
            out.flush()?;
        }
        center.close().await;
        Ok(())
    })
}

async fn answer(center: &mut Simulation, ask: Ask) -> Result<Told> {
    Ok(match ask {
        Ask::Hear { messages, now } => {
            let ups: Vec<Up> = messages.into_iter().map(up).collect();
            Told::Downs(texts(center.hear(&ups, now).await?))
        }
        Ask::Deadlines { since, now } => center.deadlines(since, now).await.map(|()| Told::Done)?,
        Ask::Group { name, gateways, now } => {
            center.group(&name, gateways, now).await.map(|()| Told::Done)?
        }
        Ask::Send { group, script, now } => Told::Accepted(center.send(&group, &script, now).await?),
        Ask::Nudge { now } => Told::Downs(texts(center.nudge(now).await?)),
        Ask::Progress { update_id, now } => {
            let progress = center.progress(update_id, now).await?;
            Told::Progress { ended: progress.ended, outcomes: progress.outcomes }
        }
    })
}

fn up(message: Message) -> Up {
    Up {
        eui: message.eui,
        leaf: if message.is_report { Leaf::Report } else { Leaf::Telemetry },
        payload: message.payload.into_bytes(),
        correlation: message.correlation.map(String::into_bytes),
    }
}

fn texts(downs: Vec<Down>) -> Vec<(Eui, String)> {
    downs.into_iter().map(|down| (down.eui, String::from_utf8_lossy(&down.payload).into_owned())).collect()
}

/// A center's process, as the fleet sees it.
#[derive(Debug)]
pub(crate) struct CenterProcess {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl CenterProcess {
    /// Starts one.
    pub(crate) fn start(folder: &Path, database: Option<&str>) -> Result<Self> {
        let own: PathBuf = std::env::current_exe()?;
        let mut command = Command::new(own);
        command.arg("center").arg("--folder").arg(folder);
        if let Some(url) = database {
            command.arg("--database").arg(url);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = BufWriter::with_capacity(1 << 20, child.stdin.take().context("a pipe")?);
        let output = BufReader::with_capacity(1 << 20, child.stdout.take().context("a pipe")?);
        Ok(Self { child, input, output })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, ask: &Ask) -> Result<Told> {
        serde_json::to_writer(&mut self.input, ask)?;
        self.input.write_all(b"\n")?;
        self.input.flush()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        match serde_json::from_str(&line).context("the center's process has ended")? {
            Told::Refused(why) => bail!("the center refused: {why}"),
            told => Ok(told),
        }
    }
}

impl Drop for CenterProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

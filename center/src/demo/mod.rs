//! `demo`: all of it at work on one machine, in a folder that is removed at the end.
//!
//! The center and its broker run in this process; each gateway is a scratch tree with a real `keros-agent` process, which
//! starts real `keros-executor` processes. Nothing is left behind: at the end, or at Ctrl-C, or after an error, every
//! process that was started is ended and the folder removed. Nothing outside of the folder is changed.

mod center;
mod gateway;
mod link;
mod processes;
mod story;

use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Ended;
use crate::cli::arguments::DemoArguments;
use crate::cli::logging;

/// Lines of each log that are shown after a failure.
const TAIL_LINES: usize = 15;

/// How long threads that wait for an answer are waited for at the end.
const THREADS_LIMIT: Duration = Duration::from_secs(1);

/// Runs the demo and cleans up after it, however it ends.
///
/// # Errors
/// When something did not come to pass; what was missing, with the ends of the logs on standard error.
pub(crate) fn run(arguments: &DemoArguments, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let programs = Programs::find()?;
    processes::adopt_orphans().context("cannot take care of the processes of the demo")?;
    let folder = tempfile::Builder::new()
        .prefix("keros-demo-")
        .tempdir()
        .context("cannot make a temporary folder; TMPDIR names another place")?;
    logging::start_in(std::fs::File::create(folder.path().join("center.log"))?);
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let ended = runtime.block_on(async {
        let signals = Signals::listen()?;
        let mut stage = story::Stage::new(folder.path(), &programs);
        let ended = until_signal(signals, story::tell(&mut stage, arguments.keep, out)).await;
        stage.clear().await;
        ended
    });
    runtime.shutdown_timeout(THREADS_LIMIT);
    processes::end_all();
    if ended.is_err() {
        print_logs(folder.path());
    }
    let path = folder.path().to_owned();
    folder.close().with_context(|| format!("cannot remove {}", path.display()))?;
    ended
}

/// The story, or its end by a signal. A demo that was to be kept has told its story by then.
async fn until_signal(
    mut signals: Signals,
    story: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Ended> {
    tokio::select! {
        told = story => told.map(|()| Ended::Done),
        () = signals.any() => Ok(Ended::Interrupted),
    }
}

struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot handle signals");
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The programs of a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    agent: PathBuf,
    executor: PathBuf,
}

impl Programs {
    /// Beside this program, else where `PATH` leads.
    fn find() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot find out where this program is")?;
        let mut folders: Vec<PathBuf> = own.parent().map(Path::to_owned).into_iter().collect();
        folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        Ok(Self { agent: program(&folders, "keros-agent")?, executor: program(&folders, "keros-executor")? })
    }
}

fn program(folders: &[PathBuf], name: &str) -> anyhow::Result<PathBuf> {
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| {
        format!("{name} is neither beside this program nor in PATH: build it with `cargo build -p {name}`, in the same profile")
    })
}

fn print_logs(folder: &Path) {
    for path in gateway::logs(folder).into_iter().chain([folder.join("center.log")]) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        eprintln!("--- the last lines of {name}");
        for line in tail(&text, TAIL_LINES) {
            eprintln!("{}", crate::cli::text::printable(line));
        }
    }
}

fn tail(text: &str, lines: usize) -> impl Iterator<Item = &str> {
    text.lines().skip(text.lines().count().saturating_sub(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_how_to_build_it() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned()];
        let error = program(&folders, "keros-agent").unwrap_err().to_string();
        assert!(error.contains("cargo build -p keros-agent"), "{error}");
        std::fs::write(folder.path().join("keros-agent"), "").unwrap();
        assert_eq!(program(&folders, "keros-agent").unwrap(), folder.path().join("keros-agent"));
    }

    #[test]
    fn a_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(tail("a", 2).collect::<Vec<_>>(), ["a"]);
    }
}

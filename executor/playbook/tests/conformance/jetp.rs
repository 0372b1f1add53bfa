//! Runs a case through the real program, and reads what it prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{Bench, Ground};
use crate::case::Case;
use crate::seen::{RecordedRun, RecordedTask, Recording};

/// A run that takes longer is stuck, seconds.
const TIME_LIMIT_S: u32 = 60;

/// The program, copied to a place that stays visible when its user's home is hidden.
pub(crate) struct Jetp {
    folder: tempfile::TempDir,
}

impl Jetp {
    /// The program that `JETP_BIN` names.
    pub(crate) fn find() -> Option<Self> {
        let binary = PathBuf::from(std::env::var_os("JETP_BIN")?);
        let folder = tempfile::tempdir().unwrap();
        fs::copy(binary, folder.path().join("jetp")).unwrap();
        fs::create_dir(folder.path().join("home")).unwrap();
        Some(Self { folder })
    }

    /// Runs a case as often as it says.
    pub(crate) fn record(&self, case: &Case, ground: &Ground) -> Recording {
        let bench = Bench::new(case, ground);
        fs::write(bench.play().join("playbook.yml"), bench.fill(&case.script())).unwrap();
        let runs = (0..case.runs).map(|_| self.run(case, &bench)).collect();
        let (tree, commands) = (bench.tree(), bench.commands());
        Recording { fingerprint: case.fingerprint(), runs, tree, commands }
    }

    /// As root with an almost empty environment. It keeps temporary files in its user's home, whatever HOME says, so a
    /// folder of ours is mounted over that, for this process alone.
    fn run(&self, case: &Case, bench: &Bench) -> RecordedRun {
        let home = self.folder.path().join("home");
        let mode = if case.check { "check-local" } else { "local" };
        let script = format!(
            "mount --bind '{}' ~root && umask 022 && PATH='{}' && exec {} -k 5 {TIME_LIMIT_S} \"$@\"",
            home.display(),
            bench.search_path,
            which("timeout").display(),
        );
        let output = Command::new("unshare")
            .args(["-m", "sh", "-c", &script, "sh"])
            .arg(self.folder.path().join("jetp"))
            .args([mode, "-p"])
            .arg(bench.play().join("playbook.yml"))
            .args(case.args.iter().map(|argument| bench.fill(argument)))
            .env_clear()
            .envs([("PATH", crate::bench::GNU_PATH), ("USER", "root"), ("HOME", "/root")])
            .current_dir(bench.folder())
            .output()
            .unwrap();
        let exit = output.status.code().unwrap();
        assert!(exit != 124, "{}: jetp took longer than {TIME_LIMIT_S} s", case.name);
        let printed = without_colours(&String::from_utf8_lossy(&output.stdout));
        assert!(
            !printed.is_empty(),
            "{}: jetp could not be run: {}",
            case.name,
            String::from_utf8_lossy(&output.stderr)
        );
        let tasks = read_tasks(&bench.emptied(&printed));
        RecordedRun { tasks, exit }
    }
}

fn which(tool: &str) -> PathBuf {
    ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool)).into_iter().find(|p| p.exists()).unwrap()
}

/// Removes the terminal's colour codes: ESC, `[`, numbers, a letter.
fn without_colours(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| c.is_ascii_alphabetic()).map_or(piece.len(), |at| at + 1);
        plain.push_str(&piece[end..]);
    }
    plain
}

/// Reads the tasks from the lines of the program.
fn read_tasks(printed: &str) -> Vec<RecordedTask> {
    let mut tasks: Vec<RecordedTask> = Vec::new();
    // A message of several lines goes on until a line of the program's own.
    let mut is_saying = false;
    for line in printed.lines() {
        if let Some(task) = task_of(line) {
            is_saying = false;
            tasks.push(task);
            continue;
        }
        let Some(task) = tasks.last_mut() else { continue };
        if let Some(said) = line.strip_prefix("  ..... localhost : ") {
            is_saying = is_echo(task);
            if is_saying {
                push_line(&mut task.said, said);
            }
        } else if is_own(line) {
            is_saying = false;
            read_line(task, line);
        } else if is_saying {
            push_line(&mut task.said, line);
        } else if let Some(code) = line.strip_prefix("    rc: ") {
            task.rc = code.trim().parse().ok();
        }
    }
    tasks
}

/// `debug` prints in the same way, but each engine in a form of its own.
fn is_echo(task: &RecordedTask) -> bool {
    task.name != "debug"
}

fn push_line(said: &mut Option<String>, line: &str) {
    match said {
        Some(said) => {
            said.push('\n');
            said.push_str(line);
        }
        None => *said = Some(line.to_owned()),
    }
}

fn task_of(line: &str) -> Option<RecordedTask> {
    let rest = line.strip_prefix("> ")?;
    let (role, rest) = match rest.strip_prefix('(') {
        Some(rest) => {
            let (role, rest) = rest.split_once(") ")?;
            (Some(role.to_owned()), rest)
        }
        None => (None, rest),
    };
    let (kind, name) = [("task", "begin task: "), ("handler", "begin handler: ")]
        .into_iter()
        .find_map(|(kind, words)| Some((kind, rest.strip_prefix(words)?)))?;
    // A task that prints no status is passive.
    let (kind, name, status) = (kind.to_owned(), name.to_owned(), "passive".to_owned());
    Some(RecordedTask { kind, role, name, status, ..RecordedTask::default() })
}

/// A line that is the program's own, not part of an output.
fn is_own(line: &str) -> bool {
    ["! ", "✓ localhost", "… localhost", "-----", "> "].iter().any(|mark| line.starts_with(mark))
}

fn read_line(task: &mut RecordedTask, line: &str) {
    if let Some(status) = line.strip_prefix("✓ localhost => ") {
        status.trim().clone_into(&mut task.status);
    } else if let Some(event) = line.strip_prefix("… localhost => notified: ") {
        task.notified.push(event.to_owned());
    } else if let Some(message) = line.strip_prefix("! error: localhost: ") {
        "failed".clone_into(&mut task.status);
        task.msg = Some(message.trim_end().to_owned());
    } else if line == "! localhost => failed" {
        "failed".clone_into(&mut task.status);
    } else if line.starts_with("! localhost => retrying") {
        task.retries += 1;
    }
}

#[test]
fn the_lines_of_the_program_are_read_as_they_are_meant() {
    let printed = "> playbook start: x\n> begin task: file\n… localhost => running\n… localhost => notified: ev\n\
        \u{1b}[32m✓ localhost => modified (Owner,Mode)\u{1b}[0m\n-----\n> (r) begin handler: echo\n  ..... localhost : one\n\
        two\n-----\n> begin task: Shell\n! localhost => retrying (0 retries left) in 0 seconds\n! localhost => failed\n    \
        out: x\n    rc: 3\n";
    let tasks = read_tasks(&without_colours(printed));
    assert_eq!((tasks[0].status.as_str(), tasks[0].notified.len()), ("modified (Owner,Mode)", 1));
    assert_eq!((tasks[1].kind.as_str(), tasks[1].role.as_deref()), ("handler", Some("r")));
    assert_eq!((tasks[1].status.as_str(), tasks[1].said.as_deref()), ("passive", Some("one\ntwo")));
    assert_eq!((tasks[2].status.as_str(), tasks[2].rc, tasks[2].retries), ("failed", Some(3), 1));
}

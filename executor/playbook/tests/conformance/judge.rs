//! Whether what our engine did is what it should have done.

use serde_json::Value;

use crate::case::{Case, Details, Follows, Leaf};
use crate::seen::{End, Recording, Seen, Tree, comparable};

/// What our engine did with a case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Done {
    pub(crate) runs: Vec<Seen>,
    pub(crate) tree: Tree,
    pub(crate) commands: Vec<String>,
}

/// The recording that our engine must agree with; none where its result is stated beside the case.
pub(crate) fn followed<'r>(case: &'r Case, jetp: Option<&'r Recording>) -> Option<&'r Recording> {
    match case.follows {
        _ if !case.gives.runs().is_empty() => None,
        Follows::Jetp => jetp,
        Follows::Head => case.came_with.as_ref().and_then(|came| came.jetp_head.as_ref()),
        Follows::Ours => None,
    }
}

/// What is wrong, in words.
pub(crate) fn faults(case: &Case, done: &Done, jetp: Option<&Recording>) -> Vec<String> {
    let mut faults = match followed(case, jetp) {
        Some(recording) => compare(case, done, recording),
        None => compare_with_promise(case, done),
    };
    if let Some(words) = &case.says
        && !done.runs.last().is_some_and(|run| last_words(run).contains(words.as_str()))
    {
        faults.push(format!("it does not say {words:?}: {:?}", done.runs.last()));
    }
    faults.into_iter().map(|fault| format!("{}: {fault}", case.name)).collect()
}

fn compare(case: &Case, done: &Done, recording: &Recording) -> Vec<String> {
    let mut faults = Vec::new();
    for (run, recorded) in done.runs.iter().zip(&recording.runs) {
        let mut expected = recorded.seen();
        let mut seen = comparable(run.clone(), &expected);
        // In which order changes are named is each engine's own; which tools it calls in which order is compared below.
        for task in seen.tasks.iter_mut().chain(&mut expected.tasks) {
            task.changes.sort();
        }
        if case.says.is_some()
            && let (Some(expected), Some(task)) = (expected.tasks.last_mut(), seen.tasks.last())
        {
            // The words are ours.
            expected.message.clone_from(&task.message);
        }
        if seen != expected {
            faults.push(format!("\n  ours {seen:?}\n  jetp {expected:?}"));
        }
    }
    if done.tree != recording.tree {
        faults.push(format!("files:\n  ours {:?}\n  jetp {:?}", done.tree, recording.tree));
    }
    let recorded = acting(&recording.commands);
    let expected = if case.commands.is_empty() { recorded } else { acting(&case.commands) };
    if acting(&done.commands) != expected {
        faults.push(format!("commands:\n  ours {:?}\n  jetp {expected:?}", acting(&done.commands)));
    }
    faults
}

/// Whether a recording agrees with what we promise instead.
pub(crate) fn is_promised(case: &Case, recording: Option<&Recording>) -> bool {
    recording.is_some_and(|recording| {
        let runs = recording.runs.iter().map(crate::seen::RecordedRun::seen).collect();
        let (tree, commands) = (recording.tree.clone(), recording.commands.clone());
        faults(case, &Done { runs, tree, commands }, None).is_empty()
    })
}

/// What is asked of the tools that change something: what is only looked up, and by which options, is each engine's own.
fn acting(commands: &[String]) -> Vec<String> {
    let looks = ["dpkg", "apt-cache", "getent", "systemctl is-", "systemctl show"];
    let acting = commands.iter().filter(|line| !looks.iter().any(|look| line.starts_with(look)));
    acting.map(|line| without_options(line)).collect()
}

fn without_options(line: &str) -> String {
    let words = line.split(' ').collect::<Vec<_>>();
    let is_option = |at: usize| words[at].starts_with('-') || (at > 0 && words[at - 1] == "-o");
    let kept = (0..words.len()).filter(|at| !is_option(*at)).map(|at| words[at]);
    kept.collect::<Vec<_>>().join(" ")
}

fn compare_with_promise(case: &Case, done: &Done) -> Vec<String> {
    let mut faults = Vec::new();
    let promised = case.gives.runs();
    if promised.is_empty() {
        faults.push("it follows no recording, and states no result".to_owned());
    }
    for (run, expected) in done.runs.iter().zip(promised) {
        let words = words_of(run);
        let same = words.len() == expected.len()
            && words.iter().zip(&expected).all(|(word, expected)| {
                word == expected || word.split('(').next().unwrap_or_default() == *expected
            });
        let fails = expected.contains(&"failed");
        if !same || (run.end == End::Failed) != fails {
            faults.push(format!("\n  expected {expected:?}\n  ours {run:?}"));
        }
    }
    let paths = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    let expected: Vec<String> = case.leaves.keys().cloned().collect();
    if paths(&done.tree) != expected {
        faults.push(format!("files: expected {expected:?}, ours {:?}", paths(&done.tree)));
    }
    for (path, leaf) in &case.leaves {
        if let Some(entry) = done.tree.get(path).filter(|entry| !is_like(entry, leaf)) {
            faults.push(format!("{path}: expected {leaf:?}, ours {entry}"));
        }
    }
    if acting(&done.commands) != acting(&case.commands) {
        faults.push(format!("commands: expected {:?}, ours {:?}", case.commands, done.commands));
    }
    faults
}

/// `refused`, or the statuses of the tasks.
pub(crate) fn words_of(run: &Seen) -> Vec<String> {
    match run.end {
        End::Refused(_) => vec!["refused".to_owned()],
        _ => run.tasks.iter().map(crate::seen::SeenTask::words).collect(),
    }
}

fn last_words(run: &Seen) -> String {
    match &run.end {
        End::Refused(why) => why.clone(),
        _ => {
            let last = run.tasks.iter().rev().find_map(|task| task.message.as_ref().or(task.said.as_ref()));
            last.cloned().unwrap_or_default()
        }
    }
}

fn is_like(entry: &Value, leaf: &Leaf) -> bool {
    let details = match leaf {
        Leaf::Text(text) => return entry["type"] == "-" && entry["text"] == *text,
        Leaf::Details(details) => details,
    };
    let Details { text, mode, uid, gid, link, directory } = details;
    let kind = if link.is_some() {
        "l"
    } else if *directory {
        "d"
    } else {
        "-"
    };
    entry["type"] == kind
        && text.as_ref().is_none_or(|text| entry["text"] == **text)
        && mode.is_none_or(|mode| entry["mode"] == *format!("0o{mode:o}"))
        && uid.is_none_or(|uid| entry["uid"] == uid)
        && gid.is_none_or(|gid| entry["gid"] == gid)
        && link.as_ref().is_none_or(|link| entry["to"] == **link)
}

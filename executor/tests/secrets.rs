//! A job's secrets stay out of all that the executor keeps and tells of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use common::{Gateway, command, outcome};
use keros_protocol::{Job, Outcome};

const SCRIPT: &str = "\
- name: p
  groups: [all]
  secrets: [word]
  tasks:
    - !template { content: \"key = {{ word }}\\n\", dest: /conf, and: { notify: \"{{ word }}\" } }
    - !shell { cmd: 'echo {{ word }}; exit 1' }
";

#[test]
fn a_journal_an_outcome_and_a_story_know_no_secret() {
    let gateway = Gateway::new();
    let mut command = command(1, SCRIPT);
    let vars = serde_json::json!({ "word": "Hunter-22" }).as_object().unwrap().clone();
    command.job = Job::JetPorch { script: SCRIPT.to_owned(), vars };
    let events = gateway.run(&command);
    let Outcome::Failed { output: Some(output), .. } = outcome(&events) else { panic!("{events:#?}") };
    assert_eq!(output.head, "***\n");
    assert_eq!(gateway.text("root/conf"), "key = Hunter-22\n");

    let mut story = std::process::Command::new(common::EXECUTOR);
    story.arg("job").arg(command.command_id.to_string()).arg("--state-folder").arg(gateway.path("state"));
    let story = String::from_utf8(story.output().unwrap().stdout).unwrap();
    assert!(story.contains("***"), "{story}");

    let mut folders = vec![gateway.journal(&command).parent().unwrap().to_owned()];
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (inner, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
        folders.extend(inner);
        paths.extend(files);
    }
    assert!(paths.len() >= 5, "{paths:?}");
    let mut seen = 0;
    for path in paths {
        let kept = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        assert!(!kept.contains("Hunter"), "{}: {kept}", path.display());
        seen += usize::from(kept.contains("***"));
    }
    assert!(seen >= 1, "the journal tells of the task");
    assert!(!format!("{events:?}{story}").contains("Hunter"));
}

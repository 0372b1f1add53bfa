//! A program of a script cannot take the memory that the gateway needs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::io;

use keros_playbook::{HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace};
use keros_protocol::executor::{Event, TaskResult};

struct Last(Option<TaskResult>);

impl Observer for Last {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::TaskEnded { result, .. } = event {
            self.0 = Some(result.clone());
        }
        Ok(())
    }
}

fn result(command: &str) -> TaskResult {
    let text = format!("- name: p\n  groups: [all]\n  tasks:\n    - !shell {{ cmd: '{command}' }}\n");
    let source = ScriptSource { text, file: "s.yml".to_owned(), ..ScriptSource::default() };
    let script = Script::parse(&source).unwrap();
    let mut system = HostSystem::new("/".into(), ShellPlace::Root);
    system.memory_bytes = 64 * 1024 * 1024;
    let mut last = Last(None);
    keros_playbook::run(&script, &mut system, &RunOptions::default(), &mut last);
    last.0.unwrap()
}

#[test]
fn a_program_that_takes_more_memory_than_it_may_fails_alone_and_goes_first_when_there_is_none() {
    // dd asks for its buffer at once.
    let greedy = result("dd if=/dev/zero of=/dev/null bs=200M count=1");
    assert_eq!(greedy.exit_code, Some(1), "{greedy:?}");
    assert!(greedy.output.unwrap().to_string().contains("memory exhausted"));
    let modest = result("dd if=/dev/zero of=/dev/null bs=20M count=1");
    assert_eq!(modest.exit_code, Some(0), "{modest:?}");
    let again = rustix::process::getrlimit(rustix::process::Resource::Data);
    assert_ne!(again.current, Some(64 * 1024 * 1024), "the limit is not this program's own");
    // And when there is none left, such a program goes before any other.
    let output = result("cat /proc/self/oom_score_adj").output.unwrap();
    assert_eq!(output.to_string().trim(), "1000");
    assert_ne!(std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim(), "1000");
}

//! `secrets` of a play: their values reach the machine, and nothing that is told of the run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::io;

use keros_playbook::{Diagnostic, HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace};
use keros_protocol::executor::Event;
use keros_protocol::limits::MAX_OUTPUT_BYTES;
use serde_json::{Value, json};

/// Everything that is told of a run: the events and the outcome, each as one line of JSON.
struct Told(Vec<Value>);

impl Observer for Told {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.0.push(serde_json::to_value(event)?);
        Ok(())
    }
}

impl Told {
    fn text(&self) -> String {
        self.0.iter().map(|event| format!("{event}\n")).collect()
    }

    fn messages(&self) -> Vec<&str> {
        let ended = self.0.iter().filter(|event| event["event"] == "task_ended");
        ended.map(|event| event["result"]["message"].as_str().unwrap_or_default()).collect()
    }
}

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        Self(folder)
    }

    fn with(self, file: &str, text: &str) -> Self {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn parse(&self, text: &str, extra_vars: &Value) -> Result<Script, Vec<Diagnostic>> {
        Script::parse(&ScriptSource {
            text: text.to_owned(),
            file: "script".to_owned(),
            folder: Some(self.0.path().to_owned()),
            extra_vars: extra_vars.as_object().unwrap().clone(),
            ..ScriptSource::default()
        })
    }

    fn run(&self, text: &str, extra_vars: &Value) -> Told {
        let script = self.parse(text, extra_vars).unwrap();
        let mut system = HostSystem::new(self.0.path().join("tree"), ShellPlace::Host);
        let mut told = Told(Vec::new());
        let outcome =
            keros_playbook::run(&script, &mut system, &RunOptions::default(), &mut told).without_reboot();
        told.0.push(serde_json::to_value(outcome).unwrap());
        told
    }

    fn made(&self, file: &str) -> String {
        fs::read_to_string(self.0.path().join("tree").join(file)).unwrap()
    }
}

#[test]
fn values_of_every_level_are_hidden_and_reach_the_machine() {
    let bench = Bench::new()
        .with("more.yml", "fourth: Zeta-file-4\n")
        .with("roles/radio/role.yml", "name: radio\ndefaults: { second: Zeta-role-2 }\ntasks: [main.yml]\n")
        .with("roles/radio/tasks/main.yml", "- !echo { msg: \"{{ second }} {{ third }}\" }\n");
    let script = "\
- name: p
  groups: [all]
  secrets: [first, second, third, fourth, fifth, sixth, seventh.out, account.password, Users.key]
  defaults: { first: Zeta-default-1 }
  vars: { account: { name: ann, password: Zeta-vars-9 }, Users: [{ name: bob, key: Zeta-item-8 }] }
  vars_files: [more.yml]
  roles: [{ role: radio, vars: { third: Zeta-call-3 } }]
  tasks:
    - !set { vars: { sixth: \"{{ to_upper_case first }}-6\" } }
    - !shell { cmd: \"printf 'Zeta\\\\tsaved\\\\n7'\", save: seventh }
    - !template { content: \"{{ first }} {{ fourth }} {{ fifth }} {{ sixth }} {{ account.password }}\\n\", dest: /all }
    - !echo { msg: \"{{ first }} {{ fourth }} {{ fifth }} {{ sixth }} {{ seventh.out }} {{ account.name }}\" }
    - !file { path: \"/{{ item.key }}\", with: { items: Users }, and: { notify: \"made {{ item.key }}\" } }
    - !debug
    - !shell { cmd: \"echo {{ fifth }} >&2; exit 7\", and: { ignore_errors: true, retry: 1, delay: 0 } }
    - !copy { content: \"other\", dest: /all }
    - !fail { msg: \"no {{ account.password }}\" }
";
    let told = bench.run(script, &json!({ "fifth": "Zeta-extra-5" }));
    let text = told.text();
    assert!(!text.to_lowercase().contains("zeta"), "{text}");
    assert_eq!(bench.made("all"), "other");
    assert!(bench.0.path().join("tree/Zeta-item-8").exists());
    let messages = told.messages();
    assert_eq!(messages[0], "*** ***");
    assert_eq!(messages[4], "*** *** *** *** *** ann");
    let debug = messages[6];
    for line in [
        "first: \"***\"",
        "account: {\"name\":\"ann\",\"password\":\"***\"}",
        "seventh: {\"out\":\"***\",\"rc\":0}",
    ] {
        assert!(debug.contains(line), "{line} in {debug}");
    }
    assert!(text.contains("\"notified\":[\"made ***\"]"), "{text}");
    assert!(text.contains("\"message\":\"no ***\""), "{text}");
}

#[test]
fn a_value_is_hidden_from_the_first_event_on_whichever_play_names_it() {
    let script = "\
- name: first
  groups: [all]
  tasks: [!echo { name: say hunter-22, msg: \"{{ word }}\" }]
- name: second
  groups: [all]
  secrets: [word]
";
    let told = Bench::new().run(script, &json!({ "word": "hunter-22" }));
    assert!(!told.text().contains("hunter"), "{}", told.text());
    assert_eq!(told.messages(), ["***"]);
}

#[test]
fn rendered_items_of_a_secret_list_are_hidden() {
    let script = "\
- name: p
  groups: [all]
  vars: { base: alpha, words: [\"{{ base }}-one\", \"two-{{ base }}\"] }
  secrets: [words]
  tasks: [!echo { msg: \"{{ item }} of {{ base }}\", with: { items: words } }]
";
    let told = Bench::new().run(script, &json!({}));
    let text = told.text();
    assert!(!text.contains("-one") && !text.contains("two-"), "{text}");
    assert_eq!(told.messages(), ["*** of alpha"]);
}

#[test]
fn a_long_output_that_is_cut_inside_a_secret_leaves_no_part_of_it() {
    let script = "\
- name: p
  groups: [all]
  secrets: [word]
  tasks:
    - !shell { cmd: 'i=0; while [ $i -lt 9000 ]; do echo {{ word }}; i=$((i+1)); done; exit 1', and: { ignore_errors: true } }
    - !shell { cmd: 'printf %s 1; i=0; while [ $i -lt 9000 ]; do echo {{ word }}; i=$((i+1)); done; exit 1' }
";
    let told = Bench::new().run(script, &json!({ "word": "QWERTZUIOPASDFGH" }));
    let outputs = told.0.iter().filter_map(|event| event["result"]["output"].as_object());
    let mut count = 0;
    for output in outputs {
        count += 1;
        assert!(output["omitted_bytes"].as_u64().unwrap() > MAX_OUTPUT_BYTES as u64);
        let shown = format!("{}{}", output["head"].as_str().unwrap(), output["tail"].as_str().unwrap());
        assert!(!shown.contains(|c: char| c.is_ascii_uppercase()), "{}", &shown[shown.len() - 200..]);
    }
    assert_eq!(count, 2);
    assert!(!told.0.last().unwrap().to_string().contains('Q'), "the outcome has the output as well");
}

#[test]
fn a_cut_output_that_was_saved_and_is_said_again_leaves_no_part_either() {
    let script = "\
- name: p
  groups: [all]
  secrets: [word]
  tasks:
    - !shell { cmd: 'i=0; while [ $i -lt 9000 ]; do echo {{ word }}; i=$((i+1)); done', save: r }
    - !set { vars: { part: \"{{ r.out }}\" } }
    - !copy { content: a, dest: \"/{{ trim r.out }}\", and: { ignore_errors: true } }
    - !template { content: \"{{ r.out }}\", dest: /all }
    - !shell { cmd: \"grep -C 1 left $KEROS_ROOT/all\" }
";
    let told = Bench::new().run(script, &json!({ "word": "QWERTZUIOPASDFGHJ" }));
    let found = &told.0[told.0.len() - 2]["result"]["output"]["head"];
    assert!(found.as_str().unwrap().contains("bytes left out"), "{found}");
    for event in &told.0 {
        let result = event["result"].to_string();
        let letters: String = result.chars().filter(|c| "QWERTZUIOPASDFGHJ".contains(*c)).collect();
        assert_eq!(letters, "", "{}", &result[..result.len().min(400)]);
    }
}

fn findings(secrets: &str, extra_vars: &Value) -> Vec<String> {
    let script =
        format!("- name: p\n  groups: [all]\n  vars: {{ pin: 123, name: anna }}\n  secrets: {secrets}\n");
    let parsed = Bench::new().parse(&script, extra_vars);
    parsed.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn a_short_value_that_is_known_is_a_finding() {
    let expected =
        "script:4:13: the secret `pin` is too short to be hidden: its value has 3 of at least 4 characters";
    assert_eq!(findings("[pin]", &json!({})), [expected]);
    assert_eq!(findings("[name, other]", &json!({})), [] as [&str; 0]);
    assert_eq!(findings("[other.x]", &json!({ "other": { "x": "ab" } })).len(), 1);
    assert_eq!(findings("[other]", &json!({ "other": "" })), [] as [&str; 0], "nothing is no secret");
}

#[test]
fn what_is_no_name_of_a_variable_is_a_finding() {
    for wrong in ["['a b']", "['{{ a }}']", "[a..b]", "['']"] {
        let findings = findings(wrong, &json!({}));
        assert!(findings.len() == 1 && findings[0].contains("is no variable"), "{wrong}: {findings:?}");
    }
}

#[test]
fn a_short_value_that_comes_later_fails_its_task_and_is_not_told() {
    let cases = [
        "!set { vars: { pin: \"{{ a }}7\" } }",
        "!shell { cmd: 'printf 97', save: pin }",
        "!echo { msg: \"is {{ item }}\", with: { items: [\"{{ a }}7\"] } }",
    ];
    let advice = Bench::new().run(
        "- { name: p, groups: [all], secrets: [r], tasks: [!shell { cmd: echo long enough, save: r }] }\n",
        &json!({}),
    );
    let message = advice.0.last().unwrap()["message"].as_str().unwrap();
    assert!(message.contains("`r.rc`") && message.ends_with("name what is secret below `r`"), "{message}");
    for task in cases {
        let script = format!(
            "- name: p\n  groups: [all]\n  vars: {{ a: 9 }}\n  secrets: [pin, item]\n  tasks: [{task}]\n"
        );
        let told = Bench::new().run(&script, &json!({}));
        let end = told.0.last().unwrap();
        assert_eq!(end["status"], "failed", "{task}");
        assert!(end["message"].as_str().unwrap().contains("is too short to be hidden"), "{end}");
        let results: Vec<String> =
            told.0.iter().map(|event| format!("{}{}", event["result"], event["item"])).collect();
        assert!(!results.concat().contains("97"), "{results:?}");
    }
}

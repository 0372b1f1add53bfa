//! What a case is: from our own files in `cases/`, and from `cases.json`, which holds what the real program did as well.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::seen::Recording;

/// One case as a person writes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// What it shows.
    #[serde(default)]
    pub(crate) what: String,
    /// The whole script; or else parts of a script of one play follow.
    playbook: Option<String>,
    /// A list of tasks.
    tasks: Option<String>,
    /// A list of handlers.
    handlers: Option<String>,
    /// Further keys of the play.
    play: Option<String>,
    /// Files beside the script.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// Run by `sh` in the scratch folder beforehand.
    #[serde(default)]
    pub(crate) setup: String,
    /// Arguments after the script's.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// A dry run.
    #[serde(default)]
    pub(crate) check: bool,
    /// How often in a row.
    #[serde(default = "once")]
    pub(crate) runs: usize,
    /// Which tools are found.
    #[serde(default)]
    pub(crate) path: SearchPath,
    /// Whom our dialect follows.
    #[serde(default)]
    pub(crate) follows: Follows,
    /// Our statuses where we differ from the recording, one text for each run.
    #[serde(default)]
    pub(crate) gives: Gives,
    /// What the last message, or the refusal, must hold.
    pub(crate) says: Option<String>,
    /// The files that we leave in the scratch folder where we differ from the recording.
    #[serde(default)]
    pub(crate) leaves: BTreeMap<String, Leaf>,
    /// The commands that change something and reach the stub tools, where we differ from the recording.
    #[serde(default)]
    pub(crate) commands: Vec<String>,
    /// Why we differ.
    #[serde(default)]
    pub(crate) why: String,
    /// A tool that must be on the machine; the case is left out where it is not.
    pub(crate) needs: Option<String>,
    /// What this version still lacks for it.
    pub(crate) not_yet: Option<String>,
    /// Why it cannot give the same result on a scratch tree.
    pub(crate) not_in_a_tree: Option<String>,
    /// Why the real program is not asked.
    pub(crate) not_recorded: Option<String>,
    /// The group of cases that it is in.
    #[serde(skip)]
    pub(crate) topic: String,
    /// What the real programs did, when it is in `cases.json`.
    #[serde(skip)]
    pub(crate) came_with: Option<Recordings>,
}

const fn once() -> usize {
    1
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SearchPath {
    /// The machine's own tools.
    #[default]
    Gnu,
    /// The stub tools come first.
    Fake,
    /// BusyBox only.
    Bb,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Follows {
    /// The program on crates.io.
    #[default]
    #[serde(rename = "jetp_0_1_1")]
    Jetp,
    /// The last commit of the original project.
    #[serde(rename = "jetp_head")]
    Head,
    /// Neither.
    #[serde(rename = "ours")]
    Ours,
}

/// One text for a single run, a list of texts for several: `created matched`, `modified(mode)`, `refused`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Gives {
    One(String),
    Several(Vec<String>),
}

impl Default for Gives {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Gives {
    pub(crate) fn runs(&self) -> Vec<Vec<&str>> {
        let texts = match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Several(texts) => texts.as_slice(),
        };
        texts.iter().map(|text| text.split_whitespace().collect()).collect()
    }
}

/// What must be in the scratch folder: a file by its text alone, or in detail.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Leaf {
    Text(String),
    Details(Details),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Details {
    pub(crate) text: Option<String>,
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    /// It is a link to there.
    pub(crate) link: Option<String>,
    #[serde(default)]
    pub(crate) directory: bool,
}

/// What the real programs did.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Recordings {
    pub(crate) jetp_0_1_1: Recording,
    pub(crate) jetp_head: Option<Recording>,
}

impl Case {
    /// The script's text, placeholders not filled in.
    pub(crate) fn script(&self) -> String {
        if let Some(playbook) = &self.playbook {
            return playbook.clone();
        }
        let mut script = "- name: p\n  groups: [all]\n".to_owned();
        script.push_str(&indented(self.play.as_deref().unwrap_or_default(), "  "));
        for (key, list) in [("tasks", &self.tasks), ("handlers", &self.handlers)] {
            if let Some(list) = list {
                script.push_str(&format!("  {key}:\n{}", indented(list, "    ")));
            }
        }
        script
    }

    /// A number that changes when what is run changes: a recording holds it.
    pub(crate) fn fingerprint(&self) -> String {
        let inputs =
            format!("{:?}", (self.script(), &self.files, &self.setup, &self.args, self.check, self.runs));
        // FNV-1a.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        format!("{:016x}", inputs.bytes().fold(0xcbf2_9ce4_8422_2325, step))
    }
}

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{by}{line}\n") }).collect()
}

/// The folder of the cases.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// All cases: those that came with their recordings, then ours by topic.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = came();
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder().join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let read: Result<Vec<Case>, _> = serde_yaml::from_str(&text);
        let topic = file.file_stem().unwrap().to_str().unwrap().to_owned();
        cases.extend(
            read.unwrap_or_else(|error| panic!("{}: {error}", file.display()))
                .into_iter()
                .map(|case| Case { topic: topic.clone(), ..case }),
        );
    }
    cases
}

/// The cases of `cases.json`; what is ours about them (the promise where we differ, what is lacking) is in
/// `promises.yml`.
fn came() -> Vec<Case> {
    let text = fs::read_to_string(folder().join("cases.json")).unwrap();
    let values: Vec<Value> = serde_json::from_str(&text).unwrap();
    let text = fs::read_to_string(folder().join("promises.yml")).unwrap();
    let promises: Vec<Case> = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("promises: {error}"));
    let names: Vec<&str> = values.iter().filter_map(|value| value["name"].as_str()).collect();
    for promise in &promises {
        assert!(names.contains(&promise.name.as_str()), "promises.yml: there is no case {}", promise.name);
    }
    values.into_iter().map(|value| came_one(value, &promises)).collect()
}

fn came_one(value: Value, promises: &[Case]) -> Case {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let promise = promises.iter().find(|promise| promise.name == text("name")).cloned().unwrap_or_default();
    let follows = if promise.gives.runs().is_empty() {
        serde_json::from_value(value["follows"].clone()).unwrap()
    } else {
        Follows::Ours
    };
    Case {
        name: text("name"),
        what: text("what"),
        playbook: Some(text("playbook")),
        files: serde_json::from_value(value["files"].clone()).unwrap(),
        setup: text("setup"),
        args: serde_json::from_value(value["args"].clone()).unwrap(),
        check: text("mode") == "check-local",
        runs: serde_json::from_value(value["runs"].clone()).unwrap(),
        path: match text("path").as_str() {
            "fake" => SearchPath::Fake,
            "bb" => SearchPath::Bb,
            _ => SearchPath::Gnu,
        },
        follows,
        topic: "recorded first".to_owned(),
        came_with: Some(serde_json::from_value(value).unwrap()),
        ..promise
    }
}

//! Which files are read, and in what order.
//!
//! The rule is one for the default file and for `--config FILE`: the file itself, then every `*.yaml` in the folder
//! `config.d` beside it, in the order of their names. Only the default file may be absent.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use keros_platform::paths;

use super::finding::{Finding, Severity};
use super::merged::Merged;
use super::settings::Settings;
use super::{fragment, valid};

/// The shipped file: every option with its default.
pub(crate) const DEFAULT_TEXT: &str = include_str!("../../../packaging/config.yaml");

/// The shipped file has 4 KiB; nobody writes a configuration of sixteen times that by hand.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Files in `config.d` that are read.
const MAX_DROP_INS: usize = 64;

/// What was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The files, in the order in which they were read.
    pub(crate) files: Vec<PathBuf>,
    /// Everything that is wrong.
    pub(crate) findings: Vec<Finding>,
    settings: Settings,
}

impl Loaded {
    /// The settings for the daemon, with its warnings in words.
    ///
    /// # Errors
    /// All findings that keep it from starting.
    pub(crate) fn for_daemon(self) -> Result<(Settings, Vec<String>), Vec<Finding>> {
        let (wrong, others): (Vec<_>, Vec<_>) =
            self.findings.into_iter().partition(|finding| finding.severity == Severity::Wrong);
        if wrong.is_empty() {
            Ok((self.settings, others.iter().map(ToString::to_string).collect()))
        } else {
            Err(wrong)
        }
    }

    /// The settings as far as they could be read: an option that is wrong or missing has no sensible value there.
    pub(crate) fn settings_so_far(&self) -> &Settings {
        &self.settings
    }

    /// Whether all that keeps the daemon from starting is that nobody has named its center.
    pub(crate) fn lacks_only_the_center(&self) -> bool {
        let mut wrong = self.findings.iter().filter(|finding| finding.severity == Severity::Wrong);
        let only = wrong.next().filter(|_| wrong.next().is_none());
        // What is in a file, or is a file that cannot be read, has its name.
        self.settings.broker.host.is_empty() && only.is_some_and(|finding| finding.file.is_none())
    }

    /// The settings as far as they can be had, what keeps the daemon from starting, and what it only warns of.
    pub(crate) fn for_doctor(self) -> (Settings, Vec<Finding>, Vec<Finding>) {
        let (wrong, others) =
            self.findings.into_iter().partition(|finding| finding.severity == Severity::Wrong);
        (self.settings, wrong, others)
    }

    /// Where the sockets are; the default when the configuration does not say it, or cannot be read.
    pub(crate) fn runtime_folder(&self) -> &Path {
        &self.settings.runtime_folder
    }
}

/// Reads the file (the default one when `None`) and its drop-ins.
#[must_use]
pub(crate) fn load(file: Option<&Path>) -> Loaded {
    load_with(file, Files::default())
}

/// The same, as it will be when a file of `config.d` has this text.
#[must_use]
pub(crate) fn load_as_if(file: Option<&Path>, drop_in: &Path, text: &str) -> Loaded {
    load_with(file, Files { as_if: Some((drop_in.to_owned(), text.to_owned())), ..Files::default() })
}

fn load_with(file: Option<&Path>, mut loaded: Files) -> Loaded {
    let main = file.unwrap_or(Path::new(paths::AGENT_CONFIG_FILE));
    loaded.read(main, file.is_none());
    loaded.read_drop_ins(&main.with_file_name("config.d"));
    let mut merged = loaded.merged;
    let settings = valid::settings(&mut merged);
    Loaded { files: loaded.files, findings: merged.findings, settings }
}

#[derive(Default)]
struct Files {
    files: Vec<PathBuf>,
    merged: Merged,
    /// A file of `config.d`, and the text that counts for it.
    as_if: Option<(PathBuf, String)>,
}

impl Files {
    fn read(&mut self, path: &Path, may_be_absent: bool) {
        let text = match &self.as_if {
            Some((given, text)) if given == path => Ok(text.clone()),
            _ => read_bounded(path),
        };
        match text {
            Ok(text) => {
                self.files.push(path.to_owned());
                let fragment = fragment::parse(path, text, &mut self.merged.findings);
                self.merged.add(fragment);
            }
            Err(error) if may_be_absent && error.kind() == ErrorKind::NotFound => {}
            Err(error) => self.wrong(path, format!("cannot be read: {error}")),
        }
    }

    fn read_drop_ins(&mut self, folder: &Path) {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.wrong(folder, format!("cannot be listed: {error}")),
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .chain(self.as_if.iter().map(|(path, _)| path.clone()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        paths.sort();
        paths.dedup();
        if paths.len() > MAX_DROP_INS {
            self.wrong(folder, format!("has {} files, at most {MAX_DROP_INS} are read", paths.len()));
        }
        for path in paths.iter().take(MAX_DROP_INS) {
            self.read(path, false);
        }
    }

    fn wrong(&mut self, path: &Path, message: String) {
        let finding = Finding { severity: Severity::Wrong, file: Some(path.to_owned()), line: None, message };
        self.merged.findings.push(finding);
        self.merged.incomplete = true;
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(std::io::Error::other(format!("it has more than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

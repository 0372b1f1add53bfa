//! `facts`: what the machine is, as variables.

use std::path::Path;

use keros_protocol::executor::{TaskResult, TaskStatus};
use serde_json::Value;

use super::{Action, CheckContext, Failure, Module, Run, Scope};
use crate::fields::Fields;

/// Greatest `/etc/os-release`, bytes.
const MAX_OS_RELEASE_BYTES: u64 = 64 * 1024;

/// Only KerOS 6 has it, whatever its os-release says.
const BOARD_INFO: &str = "/run/boardinfo.env";
const KEROS: &str = "KerOS";
/// What is always told, besides the keys of `/etc/os-release`.
const FACTS: [&str; 3] = [TYPE, FLAVOR, ARCHITECTURE];
const TYPE: &str = "jet_os_type";
const FLAVOR: &str = "jet_os_flavor";
const ARCHITECTURE: &str = "jet_arch";

#[derive(Debug)]
pub(super) struct Facts;

impl Facts {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        for key in ["facter", "ohai"] {
            let Some(text) = fields.flag(key) else { continue };
            if text.source.trim() != "false" {
                fields.findings.unsupported(text.at, &format!("this version cannot ask {key} for facts"));
            }
        }
        Some(Box::new(Self))
    }
}

impl Module for Facts {
    fn prepare(&self, _: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        Ok(Box::new(Self))
    }

    fn saves(&self, _: &Scope<'_>) -> Vec<String> {
        FACTS.map(str::to_owned).into()
    }

    fn only_touches_files(&self) -> bool {
        true
    }
}

impl Action for Facts {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let path = Path::new("/etc/os-release");
        let text = match run.system.metadata(path)? {
            Some(_) => String::from_utf8_lossy(&run.system.read(path, MAX_OS_RELEASE_BYTES)?).into_owned(),
            None => String::new(),
        };
        let release = os_release(&text);
        let is_keros = run.system.metadata(Path::new(BOARD_INFO))?.is_some();
        run.variables.fact(TYPE, Value::from("Linux"));
        run.variables.fact(FLAVOR, Value::from(if is_keros { KEROS } else { flavor(&release) }));
        if let Ok(name) = nix::sys::utsname::uname() {
            run.variables.fact(ARCHITECTURE, Value::from(name.machine().to_string_lossy()));
        }
        for (key, value) in release {
            run.variables.fact(&format!("jet_os_release_{key}"), Value::from(value));
        }
        Ok(TaskResult::of(TaskStatus::Passive))
    }
}

/// Lines of `KEY=value`, keys in lower case, quotes removed.
fn os_release(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.trim().to_lowercase(), value.trim().replace(['"', '\''], ""))).collect()
}

/// KerOS by its name; else the family by ID_LIKE, else by ID.
fn flavor(release: &[(String, String)]) -> &'static str {
    let value = |key: &str| release.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str());
    if ["id", "name", "id_like"].iter().any(|key| value(key).to_lowercase().contains("keros")) {
        return KEROS;
    }
    let mut words = value("id_like").split_whitespace().chain([value("id")]);
    let family = |word: &str| match word {
        "rhel" | "fedora" | "centos" => Some("EL"),
        "debian" | "ubuntu" => Some("Debian"),
        "arch" => Some("Arch"),
        _ => None,
    };
    words.find_map(family).unwrap_or("Unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_debian_is_debian_and_values_keep_their_equals_signs() {
        let release = os_release("ID=debian\nNAME=\"Debian GNU/Linux\"\n# c=d\nURL='a=b'\n");
        assert_eq!(flavor(&release), "Debian");
        assert_eq!(release[1], ("name".to_owned(), "Debian GNU/Linux".to_owned()));
        assert_eq!(release[2].1, "a=b");
        assert_eq!(flavor(&os_release("ID=poky\nID_LIKE=\"x fedora\"")), "EL");
        assert_eq!(flavor(&os_release("ID=keros\nID_LIKE=debian")), "KerOS");
        assert_eq!(flavor(&[]), "Unknown");
    }
}

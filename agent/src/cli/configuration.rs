//! `keros-agent config`: check, show, default. It needs no daemon.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::{exit, print};
use crate::arguments::ConfigAction;
use crate::config::{self, Finding, Loaded};

/// Does one of the three.
pub(super) fn run(action: &ConfigAction, file: Option<&Path>) -> ExitCode {
    if action.default {
        print(config::DEFAULT_TEXT);
        return exit::OK.into();
    }
    let loaded = config::load(file);
    let code = if action.check { check(&loaded) } else { show(loaded) };
    code.into()
}

fn check(loaded: &Loaded) -> u8 {
    tell(&loaded.findings);
    if loaded.findings.is_empty() {
        let files: Vec<String> = loaded.files.iter().map(|file| file.display().to_string()).collect();
        print(&format!("good: {}\n", files.join(", ")));
        return exit::OK;
    }
    exit::CONFIG
}

fn show(loaded: Loaded) -> u8 {
    match loaded.for_daemon() {
        Ok((settings, warnings)) => {
            let text: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
            print(&config::settings_yaml(&settings));
            exit::OK
        }
        Err(findings) => {
            tell(&findings);
            exit::CONFIG
        }
    }
}

fn tell(findings: &[Finding]) {
    let text: String = findings.iter().map(|finding| format!("error: {finding}\n")).collect();
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

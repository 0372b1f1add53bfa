//! Packages of Red Hat's kind: state from rpm, work by dnf, or yum where there is no dnf.

use super::super::tool::{self, Call};
use super::super::{Failure, Run};
use super::{Installed, Manager, check_word};

#[derive(Debug)]
pub(super) struct Dnf;

/// A line for each installed package of the name; kernels have several.
const FORMAT: &str = "%{EPOCH}:%{VERSION}-%{RELEASE}\\n";
/// How `check-update` says that there is something.
const UPDATES: i32 = 100;

impl Manager for Dnf {
    fn check_name(&self, name: &str) -> Result<(), String> {
        check_word("package", name, "+-._")
    }

    fn installed(&self, name: &str, run: &mut Run<'_>) -> Result<Option<Installed>, Failure> {
        program(run)?;
        let call = Call { name: "rpm", arguments: &["-q", "--qf", FORMAT, name], ..Call::default() };
        let end = call.ask(run)?;
        match end.exit_code {
            0 => {
                let answer = end.output.to_string();
                let last = answer.lines().rev().find(|line| line.contains('-'));
                let version = last.map(|line| line.strip_prefix("(none):").unwrap_or(line).trim().to_owned());
                Ok(version.map(|version| Installed { version, is_whole: true }))
            }
            1 => Ok(None),
            _ => Err(call.failed(end)),
        }
    }

    fn candidate(&self, name: &str, installed: Option<&str>, run: &mut Run<'_>) -> Result<String, Failure> {
        let call = Call { name: program(run)?, arguments: &["-q", "check-update", name], ..Call::default() };
        let end = call.ask(run)?;
        let is = installed.unwrap_or_default().to_owned();
        match end.exit_code {
            0 => Ok(is),
            UPDATES => Ok(parse_update(name, &end.output.to_string()).unwrap_or(is)),
            _ => Err(call.failed(end)),
        }
    }

    /// A version may be given without its release, and without its epoch.
    fn fits(&self, installed: &str, wanted: &str) -> bool {
        let bare = installed.split_once(':').map_or(installed, |(_, rest)| rest);
        let without_release = |text: &str| text.rsplit_once('-').map(|(version, _)| version.to_owned());
        [installed, bare].iter().any(|is| *is == wanted || without_release(is).as_deref() == Some(wanted))
    }

    fn install(&self, name: &str, version: Option<&str>, run: &mut Run<'_>) -> Result<(), Failure> {
        let package = version.map_or_else(|| name.to_owned(), |version| format!("{name}-{version}"));
        order("install", &package, run)
    }

    fn update(&self, name: &str, run: &mut Run<'_>) -> Result<(), Failure> {
        order("update", name, run)
    }

    fn remove(&self, name: &str, run: &mut Run<'_>) -> Result<(), Failure> {
        order("remove", name, run)
    }
}

fn order(verb: &str, package: &str, run: &mut Run<'_>) -> Result<(), Failure> {
    let name = program(run)?;
    tool::order(name, &["-y", "-q", verb, package], run).map(|_| ())
}

fn program(run: &mut Run<'_>) -> Result<&'static str, Failure> {
    let found = ["dnf", "yum"].into_iter().find(|name| run.system.has_tool(name));
    found
        .ok_or_else(|| "there is neither dnf nor yum here: this machine has other packages".to_owned().into())
}

/// `NAME.ARCH  VERSION  REPOSITORY`
fn parse_update(name: &str, answer: &str) -> Option<String> {
    answer.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (package, _) = words.next()?.rsplit_once('.')?;
        (package == name).then(|| words.next().map(str::to_owned)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_fits_without_its_release_and_without_its_epoch() {
        for wanted in ["1:9.18-2.el9", "9.18-2.el9", "9.18", "1:9.18"] {
            assert!(Dnf.fits("1:9.18-2.el9", wanted), "{wanted}");
        }
        for wanted in ["9", "9.1", "2.el9", "2:9.18", "9.18-2"] {
            assert!(!Dnf.fits("1:9.18-2.el9", wanted), "{wanted}");
        }
    }

    #[test]
    fn the_newer_version_is_that_of_the_very_package() {
        let answer = "\nvim-data.noarch  8.2-9  base\nvim.x86_64   2:9.0-1.el9   updates\n";
        assert_eq!(parse_update("vim", answer).as_deref(), Some("2:9.0-1.el9"));
        assert_eq!(parse_update("vi", answer), None);
    }
}

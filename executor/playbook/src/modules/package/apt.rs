//! Debian's packages: state from dpkg, work by apt.

use super::super::tool::{self, Call};
use super::super::{Failure, Run};
use super::{Installed, Manager, Order, check_word};
use crate::system::Upcoming;

/// No question is ever asked: there is nobody to answer.
pub(super) const ENVIRONMENT: &[(&str, &str)] =
    &[("DEBIAN_FRONTEND", "noninteractive"), ("APT_LISTCHANGES_FRONTEND", "none")];
/// Configuration files that the owner of the gateway changed stay as they are, and another apt at work is waited for.
const OPTIONS: [&str; 8] = [
    "-y",
    "-qq",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "DPkg::Lock::Timeout=120",
];

#[derive(Debug)]
pub(super) struct Apt;

impl Manager for Apt {
    /// As Debian's policy has it, perhaps with an architecture. Apt itself takes more: `name-` in an installation is a removal.
    fn check_name(&self, name: &str) -> Result<(), String> {
        let (package, architecture) = name.split_once(':').unwrap_or((name, "any"));
        if package.len() < 2 || package.contains(|c: char| c.is_ascii_uppercase()) || package.ends_with('-') {
            return Err(format!("field (package): {name:?} is no name of a Debian package"));
        }
        check_word("package", package, "+-.")?;
        check_word("package", architecture, "-")
    }

    fn installed(&self, name: &str, run: &mut Run<'_>) -> Result<Option<Installed>, Failure> {
        dpkg_state(name, run)
    }

    /// `apt-cache show --no-all-versions` tells of the version that apt would install, pins and all.
    fn candidate(&self, name: &str, installed: Option<&str>, run: &mut Run<'_>) -> Result<String, Failure> {
        let end = tool::ask("apt-cache", &["show", "--no-all-versions", "--", name], run)?;
        let shown = end.output.to_string();
        let version = shown.lines().find_map(|line| line.strip_prefix("Version: ")).map(str::trim);
        version.or(installed).map(str::to_owned).ok_or_else(|| unknown(name).into())
    }

    /// Apt takes a name that it does not know for a pattern where it holds a dot, and for a request where it ends in a plus.
    fn foresee(&self, name: &str, _: Option<&str>, run: &mut Run<'_>) -> Result<(), Failure> {
        if name.contains('.') || name.ends_with('+') {
            self.candidate(name, None, run)?;
        }
        Ok(())
    }

    fn tell_upcoming(&self, name: &str, asked: Order<'_>, run: &mut Run<'_>) -> Result<(), Failure> {
        if !run.system.is_watched() {
            return Ok(());
        }
        let changing = match asked {
            Order::File => vec![name.to_owned()],
            Order::Install(_) | Order::Update | Order::Remove => simulated(name, asked, run)?,
        };
        Ok(run.system.before(&Upcoming::Packages(&changing))?)
    }

    fn install(&self, name: &str, version: Option<&str>, run: &mut Run<'_>) -> Result<(), Failure> {
        order(name, Order::Install(version), run)
    }

    fn update(&self, name: &str, run: &mut Run<'_>) -> Result<(), Failure> {
        order(name, Order::Update, run)
    }

    fn remove(&self, name: &str, run: &mut Run<'_>) -> Result<(), Failure> {
        order(name, Order::Remove, run)
    }
}

/// What apt-get is told.
fn words(name: &str, asked: Order<'_>) -> (&'static [&'static str], String) {
    match asked {
        Order::Install(Some(version)) => (&["install", "--allow-downgrades"], format!("{name}={version}")),
        Order::Install(None) | Order::File => (&["install"], name.to_owned()),
        Order::Update => (&["install", "--only-upgrade"], name.to_owned()),
        Order::Remove => (&["remove"], name.to_owned()),
    }
}

/// Packages that are there and would be changed or removed. Where apt fails now, it fails when it is asked in earnest, and says why.
fn simulated(name: &str, asked: Order<'_>, run: &mut Run<'_>) -> Result<Vec<String>, Failure> {
    let (verb, name) = words(name, asked);
    let arguments = [&["-s"], &OPTIONS[..], verb, &["--", &name]].concat();
    let call = Call { name: "apt-get", arguments: &arguments, environment: ENVIRONMENT, ..Call::default() };
    let end = call.ask(run)?;
    let printed = end.output.to_string();
    if end.output.omitted_bytes > 0 {
        return Err("apt-get -s tells of more changes than can be kept".to_owned().into());
    }
    Ok(changing(&printed))
}

/// The packages in lines of `Inst NAME [OLD] (NEW …)`, `Remv NAME [OLD]`, `Purg NAME [OLD]`; without an old version there is nothing to keep.
fn changing(printed: &str) -> Vec<String> {
    let lines = printed.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let is_change = matches!(fields.next()?, "Inst" | "Remv" | "Purg");
        let name = fields.next()?;
        (is_change && fields.next()?.starts_with('[')).then(|| name.to_owned())
    });
    let mut names: Vec<String> = lines.collect();
    names.sort();
    names.dedup();
    names
}

fn unknown(name: &str) -> String {
    format!("apt knows no package {name}: is the name right, and was `apt-get update` run?")
}

fn order(name: &str, asked: Order<'_>, run: &mut Run<'_>) -> Result<(), Failure> {
    let (verb, name) = words(name, asked);
    let arguments = [&OPTIONS, verb, &["--", &name]].concat();
    let call = Call { name: "apt-get", arguments: &arguments, environment: ENVIRONMENT, ..Call::default() };
    call.order(run).map(|_| ())
}

const FORMAT: &str = "${Package}\t${Version}\t${db:Status-Status}\n";

/// What dpkg says. A package of which only configuration files are left, or which dpkg merely knows, is not installed.
pub(super) fn dpkg_state(name: &str, run: &mut Run<'_>) -> Result<Option<Installed>, Failure> {
    let call = Call { name: "dpkg-query", arguments: &["-W", "-f", FORMAT, "--", name], ..Call::default() };
    let end = call.ask(run)?;
    // 1: no such package.
    if end.exit_code > 1 {
        return Err(call.failed(end));
    }
    Ok(parse_state(name, &end.output.to_string()))
}

fn parse_state(name: &str, answer: &str) -> Option<Installed> {
    let package = name.split_once(':').map_or(name, |(package, _)| package);
    answer.lines().find_map(|line| {
        let mut fields = line.split('\t');
        let version = fields.next().filter(|field| *field == package).and_then(|_| fields.next())?;
        let is_whole = match fields.next() {
            None | Some("installed" | "triggers-awaited" | "triggers-pending") => true,
            Some("unpacked" | "half-configured" | "half-installed") => false,
            Some(_) => return None,
        };
        Some(Installed { version: version.to_owned(), is_whole })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dpkg_calls_installed_counts_as_installed() {
        let state = |status| parse_state("curl:arm64", &format!("curl\t7.88\t{status}\n"));
        for status in ["not-installed", "config-files"] {
            assert!(state(status).is_none(), "{status}");
        }
        for (status, whole) in [("installed", true), ("triggers-pending", true), ("half-configured", false)] {
            let state = state(status).unwrap();
            assert_eq!((state.version.as_str(), state.is_whole), ("7.88", whole), "{status}");
        }
        assert!(parse_state("x", "dpkg-query: no packages found matching x\n").is_none());
        assert!(parse_state("curl", "libcurl\t1\tinstalled\n").is_none());
    }

    #[test]
    fn what_apt_would_change_is_what_has_a_version_now() {
        let printed = "Reading package lists...\nRemv old [1.0]\nInst kept [1.0] (2.0 local [amd64]) []\n\
                       Inst new (1.0 local [all])\nConf kept (2.0 local [amd64])\nPurg gone:arm64 [3]\n";
        assert_eq!(changing(printed), ["gone:arm64", "kept", "old"]);
    }

    #[test]
    fn names_that_apt_would_take_for_more_than_a_name_are_refused() {
        for name in ["curl", "g++", "libstdc++6", "python3.11", "0ad", "libc6:arm64"] {
            assert_eq!(Apt.check_name(name), Ok(()), "{name}");
        }
        for name in [
            "-y",
            "--purge",
            "curl-",
            "a",
            "",
            "curl=1",
            "cu*",
            "c url",
            "curl/stable",
            "curl:",
            "Curl",
            "a\nb",
            "curl:-x",
            "$(touch x)",
            "a'b",
            "a\"b",
            "a;b",
            "~nx",
            "?all",
            "a\0b",
        ] {
            assert!(Apt.check_name(name).is_err(), "{name:?}");
        }
    }
}

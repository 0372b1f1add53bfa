//! `opkg`: packages by name, or from an `.ipk` file.

use std::path::Path;

use keros_protocol::executor::TaskResult;

use super::super::copy::check_file;
use super::super::tool::{self, Call};
use super::super::{Action, CheckContext, Failure, Module, Run, Scope};
use super::archive::Archive;
use super::{Installed, Manager, check_version, check_word};
use crate::fields::Fields;
use crate::template::Text;

#[derive(Debug)]
pub(super) struct Opkg;

impl Manager for Opkg {
    /// opkg takes patterns for names: none of their characters gets through.
    fn check_name(&self, name: &str) -> Result<(), String> {
        check_word("package", name, "+-._")
    }

    fn installed(&self, name: &str, run: &mut Run<'_>) -> Result<Option<Installed>, Failure> {
        let answer = ask(&["list-installed", name], run)?;
        let version = listed(name, &answer).next();
        Ok(version.map(|version| Installed { version, is_whole: true }))
    }

    fn candidate(&self, name: &str, installed: Option<&str>, run: &mut Run<'_>) -> Result<String, Failure> {
        let answer = ask(&["list-upgradable"], run)?;
        // NAME - INSTALLED - NEWER
        let newer = answer.lines().find_map(|line| {
            let mut fields = line.split(" - ");
            (fields.next()? == name).then(|| fields.nth(1)).flatten()
        });
        Ok(newer.map(str::trim).or(installed).unwrap_or_default().to_owned())
    }

    /// The name of a file leaves out the epoch.
    fn fits(&self, installed: &str, wanted: &str) -> bool {
        installed == wanted || installed.split_once(':').is_some_and(|(_, rest)| rest == wanted)
    }

    /// opkg installs what its feeds hold, and cannot be told which version.
    fn foresee(&self, name: &str, version: Option<&str>, run: &mut Run<'_>) -> Result<(), Failure> {
        let Some(version) = version else { return Ok(()) };
        let answer = ask(&["list", name], run)?;
        let known: Vec<String> = listed(name, &answer).collect();
        if known.iter().any(|known| self.fits(known, version)) {
            return Ok(());
        }
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let why = format!("opkg's feeds do not hold {name} {version} ({known}): give the package by `src`");
        Err(why.into())
    }

    fn install(&self, name: &str, version: Option<&str>, run: &mut Run<'_>) -> Result<(), Failure> {
        let verb = if self.installed(name, run)?.is_some() { "upgrade" } else { "install" };
        tool::order("opkg", &[verb, name], run)?;
        let is = self.installed(name, run)?.map(|is| is.version);
        match version {
            Some(version) if !is.as_deref().is_some_and(|is| self.fits(is, version)) => {
                let is = is.unwrap_or_else(|| "nothing".to_owned());
                Err(format!("opkg installed {is}, not {name} {version}: give the package by `src`").into())
            }
            _ => Ok(()),
        }
    }

    fn update(&self, name: &str, run: &mut Run<'_>) -> Result<(), Failure> {
        tool::order("opkg", &["upgrade", name], run).map(|_| ())
    }

    fn remove(&self, name: &str, run: &mut Run<'_>) -> Result<(), Failure> {
        tool::order("opkg", &["remove", name], run).map(|_| ())
    }
}

fn ask(arguments: &[&str], run: &mut Run<'_>) -> Result<String, Failure> {
    let call = Call { name: "opkg", arguments, ..Call::default() };
    let end = call.ask(run)?;
    if end.exit_code == 0 { Ok(end.output.to_string()) } else { Err(call.failed(end)) }
}

/// The versions in lines of `NAME - VERSION`, perhaps with ` - DESCRIPTION`.
fn listed<'a>(name: &'a str, answer: &'a str) -> impl Iterator<Item = String> + 'a {
    answer.lines().filter_map(move |line| {
        let mut fields = line.split(" - ");
        (fields.next()? == name).then(|| fields.next()).flatten().map(|version| version.trim().to_owned())
    })
}

#[derive(Debug)]
struct Ipk {
    src: Text,
}

/// `opkg` with `src`.
pub(super) fn parse_file(fields: &mut Fields<'_, '_>, check: &CheckContext<'_>) -> Option<Box<dyn Module>> {
    let src = check_file(fields, check);
    fields.checked(src.as_ref(), |path| name_and_version(Path::new(path)).map(|_| ()));
    Some(Box::new(Ipk { src: src? }))
}

impl Module for Ipk {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let archive = Archive::prepare(&self.src, scope)?;
        let (name, version) = name_and_version(archive.path())?;
        Ok(Box::new(Prepared { archive, name, version }))
    }
}

/// opkg has no way to ask a file what it is, but the tools that build packages name them `NAME_VERSION_ARCHITECTURE.ipk`.
fn name_and_version(path: &Path) -> Result<(String, String), String> {
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let parts: Vec<&str> = file.strip_suffix(".ipk").unwrap_or_default().split('_').collect();
    let [name, version, _] = parts[..] else {
        return Err(format!("field (src): {file:?} must be called NAME_VERSION_ARCHITECTURE.ipk"));
    };
    Opkg.check_name(name)?;
    check_version(version)?;
    Ok((name.to_owned(), version.to_owned()))
}

struct Prepared {
    archive: Archive,
    name: String,
    version: String,
}

impl Action for Prepared {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        self.archive.check(run)?;
        self.archive.place(&Opkg, (&self.name, &self.version), run, |path, run| {
            tool::order("opkg", &["install", "--force-downgrade", path], run).map(|_| ())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packages_file_is_called_by_name_version_and_architecture() {
        let parse = |name: &str| name_and_version(Path::new(name));
        let expected = Ok(("lora-fwd".to_owned(), "1.2-r3".to_owned()));
        assert_eq!(parse("/tmp/lora-fwd_1.2-r3_arm926ejste.ipk"), expected);
        for name in
            ["x.ipk", "x_1.ipk", "x_1_a.deb", "x_1_a_b.ipk", "-x_1_a.ipk", "*_1_a.ipk", "x_-1_a.ipk", "/"]
        {
            assert!(parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_version_is_that_of_the_very_package() {
        let answer = "foo-bar - 2\nfoo - 1:1.0-r1\nfoo - 1.1 - A tool - of sorts\n";
        assert_eq!(listed("foo", answer).collect::<Vec<_>>(), ["1:1.0-r1", "1.1"]);
        assert!(Opkg.fits("1:1.0-r1", "1.0-r1") && !Opkg.fits("1.0-r1", "1.0"));
    }
}

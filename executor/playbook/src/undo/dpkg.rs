//! Packages of dpkg: what there was before some of them change, their old archives, and how all is brought back to that.
//!
//! No network: an archive is taken from apt's cache when the very version is there, else made anew from what is installed.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::deb;
use super::programs::{Call, ask};
use super::read::blob_path;
use super::record::{Archive, Package, Packages};
use super::write::Writer;
use crate::system::{Attributes, Content, FileKind, HostSystem, System, SystemError};

/// Names, versions and states, one package a line.
const FORMAT: &str = "${binary:Package}\t${Version}\t${db:Status-Want}\t${db:Status-Status}\n";
/// Which packages apt installed by itself.
const AUTOMATIC: &str = "/var/lib/apt/extended_states";
/// What dpkg says while another one works; how long that is waited for, and how often it is looked.
const LOCKED: &str = "was locked by another process";
const LOCK_PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);
/// Configuration itself, and what dpkg lays beside it.
const BESIDE: [&str; 4] = ["", ".dpkg-dist", ".dpkg-old", ".dpkg-new"];
const CACHE: &str = "/var/cache/apt/archives";
/// Where an archive is laid for a dpkg that works inside of a tree.
const LAID_IN: &str = "/var/cache/keros-package";
/// What is there when all is back is what was there together before, whatever it says of each other on the way to that.
const FORCE: &str =
    "--force-depends,depends-version,breaks,conflicts,overwrite,downgrade,hold,confdef,confold,configure-any";

/// All packages that dpkg knows.
pub(super) fn list(host: &mut HostSystem) -> Result<Vec<Package>, SystemError> {
    let end = ask(host, "dpkg-query", &["-W", "-f", FORMAT])?;
    // 1: none at all.
    if end.exit_code > 1 || end.output.omitted_bytes > 0 {
        return Err(SystemError::text("dpkg-query -W gave no whole list of packages"));
    }
    Ok(end.output.to_string().lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Package> {
    let mut fields = line.split('\t').map(str::to_owned);
    let (name, version, want, status) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    Some(Package { name, version, want, status })
}

/// Files that a change of packages may change and that are to be put back as they were: configuration, and apt's marks.
pub(super) fn files_of(host: &mut HostSystem, names: &[String]) -> Result<Vec<PathBuf>, SystemError> {
    let mut files = vec![PathBuf::from(AUTOMATIC)];
    for name in names {
        for path in configuration_of(host, name)? {
            files.extend(BESIDE.map(|ending| PathBuf::from(format!("{path}{ending}"))));
        }
    }
    Ok(files)
}

fn configuration_of(host: &mut HostSystem, name: &str) -> Result<Vec<String>, SystemError> {
    let end = ask(host, "dpkg-query", &["-W", "-f", "${Conffiles}\n", "--", name])?;
    let printed = end.output.to_string();
    let paths = printed.lines().filter_map(|line| line.trim().rsplit_once(' '));
    // An obsolete one has one word more.
    let paths = paths.map(|(path, last)| match last {
        "obsolete" => path.rsplit_once(' ').map_or(path, |(path, _)| path),
        _ => path,
    });
    Ok(paths.filter(|path| path.starts_with('/')).map(str::to_owned).collect())
}

/// Keeps the archive of an installed package.
pub(super) fn keep(
    host: &mut HostSystem,
    package: &Package,
    writer: &mut Writer,
) -> Result<Archive, SystemError> {
    let configuration = configuration_of(host, &package.name)?;
    let archive =
        |sha256: String, missing| Archive { name: package.name.clone(), sha256, configuration, missing };
    if !matches!(package.status.as_str(), "installed" | "triggers-awaited" | "triggers-pending") {
        return Ok(archive(String::new(), Some(format!("it was {}", package.status))));
    }
    let keeping = |error| SystemError::new("keep the archive of", Path::new(&package.name), &error);
    if let Some(path) = cached(host, package)? {
        let bytes = host.metadata(&path)?.map_or(0, |is| is.size_bytes);
        writer.refuse_no_room(&path, bytes)?;
        let mut file = host.open(&path)?;
        let (sha256, _) = writer.keep(&mut file, writer.room_bytes()).map_err(keeping)?;
        return Ok(archive(sha256, None));
    }
    writer.refuse_no_room(Path::new(&package.name), installed_bytes(host, &package.name)?)?;
    let path = writer.scratch();
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let made = options.open(&path).map_err(keeping).and_then(|mut file| {
        deb::write(host, &package.name, &mut file)?;
        file.seek(SeekFrom::Start(0)).map_err(keeping)?;
        writer.keep(&mut file, writer.room_bytes()).map_err(keeping)
    });
    let _ = std::fs::remove_file(path);
    made.map(|(sha256, _)| archive(sha256, None))
}

/// What an installed package takes, by its own word.
pub(super) fn installed_bytes(system: &mut dyn System, name: &str) -> Result<u64, SystemError> {
    let end = ask(system, "dpkg-query", &["-W", "-f", "${Installed-Size}\n", "--", name])?;
    let kibibytes: u64 = end.output.to_string().trim().parse().unwrap_or(0);
    Ok(kibibytes.saturating_mul(1024))
}

/// The very version in apt's cache, by the name that apt gives it and by what it says of itself.
fn cached(host: &mut HostSystem, package: &Package) -> Result<Option<PathBuf>, SystemError> {
    let format = "${Package}\t${Architecture}\n";
    let end = ask(host, "dpkg-query", &["-W", "-f", format, "--", &package.name])?;
    let printed = end.output.to_string();
    let Some((name, architecture)) = printed.lines().next().and_then(|line| line.split_once('\t')) else {
        return Ok(None);
    };
    let version = package.version.replace(':', "%3a");
    let path = Path::new(CACHE).join(format!("{name}_{version}_{architecture}.deb"));
    if host.metadata(&path)?.is_none_or(|is| is.kind != FileKind::File) {
        return Ok(None);
    }
    let Some(text) = path.to_str() else { return Ok(None) };
    let end = ask(host, "dpkg-deb", &["-f", text, "Package", "Version"])?;
    let says = format!("Package: {name}\nVersion: {}", package.version);
    Ok(Some(path).filter(|_| end.exit_code == 0 && end.output.to_string().trim() == says))
}

/// How an undoing of packages goes on: what it does next, and what came of it.
pub(super) trait Told {
    /// Something was done, or could not be.
    fn told(&mut self, what: &str, result: Result<(), SystemError>);
}

/// Has dpkg do something; another one at work is waited for.
fn order(host: &mut HostSystem, arguments: &[&str], input: &[u8], until: Instant) -> Result<(), SystemError> {
    let patience = until.min(Instant::now() + LOCK_PATIENCE);
    let call = Call { name: "dpkg", arguments, input, until };
    loop {
        let end = call.run(host)?;
        let is_locked = end.exit_code != 0 && end.output.to_string().contains(LOCKED);
        if !is_locked || Instant::now() >= patience {
            return call.judge(end).map(|_| ());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Brings all packages back to what they were.
///
/// # Errors
/// When it cannot even be known what there is.
pub(super) fn undo(
    host: &mut HostSystem,
    folder: &Path,
    was: &Packages,
    until: Instant,
    told: &mut dyn Told,
) -> Result<(), SystemError> {
    let before: BTreeMap<&str, &Package> = was.before.iter().map(|is| (is.name.as_str(), is)).collect();
    let now = list(host)?;
    let is_as_it_was = |name: &str, now: &[Package]| {
        let is = now.iter().find(|is| is.name == name);
        before.get(name).is_some_and(|was| is.is_some_and(|is| same(was, is)))
    };
    let changed: Vec<&Archive> =
        was.kept.iter().filter(|kept| kept.missing.is_none() && !is_as_it_was(&kept.name, &now)).collect();
    if !changed.is_empty() {
        let names: Vec<&str> = changed.iter().map(|kept| kept.name.as_str()).collect();
        let what = format!("put back the packages {}", names.join(" "));
        let result = install(host, folder, &changed, until);
        told.told(&what, result);
    }
    for (verb, names) in [("--purge", came(&before, &now, false)), ("--remove", came(&before, &now, true))] {
        if !names.is_empty() {
            let what = format!("remove the packages {}", names.join(" "));
            let arguments = [&[verb, "--"], &names[..]].concat();
            let result = order(host, &arguments, b"", until);
            told.told(&what, result);
        }
    }
    if list(host)?.iter().any(|is| is_under_way(&is.status)) {
        let result = order(host, &["--configure", "--pending"], b"", until);
        told.told("finish what dpkg was cut off at", result);
    }
    set_wants(host, &before, until, told)?;
    tell_what_differs(host, &before, told)
}

/// dpkg has more to do with it.
fn is_under_way(status: &str) -> bool {
    matches!(status, "unpacked" | "half-configured" | "triggers-awaited" | "triggers-pending")
}

fn same(was: &Package, is: &Package) -> bool {
    was.version == is.version && was.status == is.status
}

/// Packages that are there and were not, or of which only configuration was.
fn came<'p>(before: &BTreeMap<&str, &Package>, now: &'p [Package], was_known: bool) -> Vec<&'p str> {
    let came = now.iter().filter(|is| match before.get(is.name.as_str()) {
        None => !was_known && is.status != "not-installed",
        Some(was) => was_known && was.status == "config-files" && is.status != "config-files",
    });
    came.map(|is| is.name.as_str()).collect()
}

fn install(
    host: &mut HostSystem,
    folder: &Path,
    changed: &[&Archive],
    until: Instant,
) -> Result<(), SystemError> {
    let mut new_configuration = Vec::new();
    for kept in changed {
        let now = configuration_of(host, &kept.name)?;
        new_configuration.extend(now.into_iter().filter(|path| !kept.configuration.contains(path)));
    }
    let mut paths = Vec::new();
    for kept in changed {
        paths.push(seen_by_dpkg(host, &blob_path(folder, &kept.sha256))?);
    }
    let paths: Vec<&str> = paths.iter().filter_map(|path| path.to_str()).collect();
    let arguments = [&[FORCE, "-i", "--"], &paths[..]].concat();
    let result = order(host, &arguments, b"", until);
    if host.metadata(Path::new(LAID_IN)).is_ok_and(|is| is.is_some()) {
        host.remove_directory(Path::new(LAID_IN), true)?;
    }
    result?;
    // dpkg leaves configuration behind that an old version knows nothing of.
    for path in new_configuration.iter().map(Path::new) {
        if host.metadata(path).is_ok_and(|is| is.is_some_and(|is| is.kind == FileKind::File)) {
            host.remove_file(path)?;
        }
    }
    Ok(())
}

/// A path by which dpkg sees an archive: one that works inside of a tree gets a copy of it.
fn seen_by_dpkg(host: &mut HostSystem, blob: &Path) -> Result<PathBuf, SystemError> {
    if host.root == Path::new("/") {
        return Ok(blob.to_owned());
    }
    let folder = Path::new(LAID_IN);
    host.make_directory(folder, Attributes { mode: Some(0o700), ..Attributes::default() })?;
    let laid = folder.join(blob.file_name().unwrap_or_default());
    host.put_file(&laid, &Content::File(blob), Attributes::default(), 0o600)?;
    Ok(laid)
}

/// Holds, and whatever else is wanted of packages.
fn set_wants(
    host: &mut HostSystem,
    before: &BTreeMap<&str, &Package>,
    until: Instant,
    told: &mut dyn Told,
) -> Result<(), SystemError> {
    let mut wants = String::new();
    for is in list(host)? {
        if let Some(was) = before.get(is.name.as_str()).filter(|was| was.want != is.want) {
            wants.push_str(&format!("{}\t{}\n", was.name, was.want));
        }
    }
    if !wants.is_empty() {
        let result = order(host, &["--set-selections"], wants.as_bytes(), until);
        told.told("put back what is held and what is wanted of packages", result);
    }
    Ok(())
}

/// Names what is not as it was, whyever.
fn tell_what_differs(
    host: &mut HostSystem,
    before: &BTreeMap<&str, &Package>,
    told: &mut dyn Told,
) -> Result<(), SystemError> {
    let now = list(host)?;
    let is_there = |is: &Package| format!("{} is {} {}", is.name, is.status, is.version);
    for is in &now {
        match before.get(is.name.as_str()) {
            Some(was) if same(was, is) => {}
            None if is.status == "not-installed" => {}
            Some(was) => {
                let why = format!("{}, and was {} {}", is_there(is), was.status, was.version);
                told.told("put back a package", Err(SystemError::text(why)));
            }
            None => told.told("remove a package", Err(SystemError::text(is_there(is)))),
        }
    }
    let gone = before.values().filter(|was| !now.iter().any(|is| is.name == was.name));
    for was in gone.filter(|was| was.status != "not-installed") {
        let why = format!("{} is gone, and was {} {}", was.name, was.status, was.version);
        told.told("put back a package", Err(SystemError::text(why)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, status: &str) -> Package {
        let [name, version, status] = [name, version, status].map(str::to_owned);
        Package { name, version, want: "install".to_owned(), status }
    }

    #[test]
    fn a_line_of_dpkg_is_a_package() {
        let line = "libc6:arm64\t2.36-9\thold\tinstalled";
        let expected = Package { want: "hold".to_owned(), ..package("libc6:arm64", "2.36-9", "installed") };
        assert_eq!(parse(line), Some(expected));
        assert_eq!(parse("libc6"), None);
    }

    #[test]
    fn only_what_was_not_there_at_all_is_purged() {
        let was = [package("kept", "1", "installed"), package("left", "1", "config-files")];
        let before: BTreeMap<&str, &Package> = was.iter().map(|is| (is.name.as_str(), is)).collect();
        let now = [
            package("kept", "2", "installed"),
            package("left", "1", "installed"),
            package("new", "1", "unpacked"),
        ];
        assert_eq!(came(&before, &now, false), ["new"]);
        assert_eq!(came(&before, &now, true), ["left"]);
    }
}

//! Makes the archive of an installed package anew, from dpkg's database and the files as they are: what `dpkg-repack` does, without
//! a copy of the files and without a tool.
//!
//! A file of Debian's kind is an `ar` archive of three: the version of the form, the control data, the files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::programs::ask;
use super::record::Kind;
use crate::system::{HostSystem, LastLink, System as _, SystemError};

const DATABASE: &str = "/var/lib/dpkg/info";
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";
/// What a package brings beside its files.
const CONTROL: [&str; 11] = [
    "preinst",
    "postinst",
    "prerm",
    "postrm",
    "config",
    "templates",
    "triggers",
    "shlibs",
    "symbols",
    "md5sums",
    "conffiles",
];
/// One file of dpkg's database, bytes.
const MAX_DATABASE_BYTES: u64 = 32 * 1024 * 1024;
const HEADER_BYTES: u64 = 60;

/// Writes the archive of an installed package into an empty file.
pub(super) fn write(host: &mut HostSystem, name: &str, archive: &mut File) -> Result<(), SystemError> {
    let stem = stem(host, name)?;
    let list = host.read(&database(&stem, "list"), MAX_DATABASE_BYTES)?;
    let files = Files::of(&list, host, name)?;
    let control = control(host, name, &stem)?;
    let writing = |error: io::Error| SystemError::new("make the archive of", Path::new(name), &error);
    archive.write_all(b"!<arch>\n").map_err(writing)?;
    member(archive, "debian-binary", b"2.0\n").map_err(writing)?;
    member(archive, "control.tar.gz", &control).map_err(writing)?;
    let begin = archive.stream_position().map_err(writing)?;
    archive.write_all(header("data.tar.gz", 0).as_bytes()).map_err(writing)?;
    let mut data = Builder::new(GzEncoder::new(io::BufWriter::new(&mut *archive), Compression::fast()));
    files.write(host, &mut data)?;
    data.into_inner().and_then(GzEncoder::finish).and_then(|mut buffer| buffer.flush()).map_err(writing)?;
    let length = archive.stream_position().map_err(writing)? - begin - HEADER_BYTES;
    if length % 2 == 1 {
        archive.write_all(b"\n").map_err(writing)?;
    }
    archive.seek(SeekFrom::Start(begin)).map_err(writing)?;
    archive.write_all(header("data.tar.gz", length).as_bytes()).map_err(writing)
}

fn header(name: &str, bytes: u64) -> String {
    format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{bytes:<10}`\n", 0, 0, 0, 100_644)
}

fn member(archive: &mut File, name: &str, content: &[u8]) -> io::Result<()> {
    archive.write_all(header(name, content.len() as u64).as_bytes())?;
    archive.write_all(content)?;
    if content.len() % 2 == 1 { archive.write_all(b"\n") } else { Ok(()) }
}

fn database(stem: &str, kind: &str) -> PathBuf {
    Path::new(DATABASE).join(format!("{stem}.{kind}"))
}

/// How the package's files in dpkg's database are called: by its name, with the architecture where there may be several.
fn stem(host: &mut HostSystem, name: &str) -> Result<String, SystemError> {
    let plain = name.split_once(':').map_or(name, |(name, _)| name);
    let end = ask(host, "dpkg-query", &["-W", "-f", "${Architecture}", "--", name])?;
    let full = format!("{plain}:{}", end.output.to_string().trim());
    for stem in [full, plain.to_owned()] {
        if host.metadata(&database(&stem, "list"))?.is_some() {
            return Ok(stem);
        }
    }
    Err(SystemError::text(format!("dpkg has no list of the files of {name}")))
}

/// The control data, packed.
fn control(host: &mut HostSystem, name: &str, stem: &str) -> Result<Vec<u8>, SystemError> {
    let packing = |error: io::Error| SystemError::new("make the archive of", Path::new(name), &error);
    let status = ask(host, "dpkg-query", &["-s", "--", name])?.output.to_string();
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut add = |file: &str, mode: u32, content: &[u8]| -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, file, content)
    };
    add("control", 0o644, fields(&status).as_bytes()).map_err(packing)?;
    for kind in CONTROL {
        let path = database(stem, kind);
        let Some(is) = host.metadata(&path)? else { continue };
        let mut content = host.read(&path, MAX_DATABASE_BYTES)?;
        if kind == "conffiles" {
            content = those_there(host, &content)?;
        }
        add(kind, is.mode & 0o777, &content).map_err(packing)?;
    }
    tar.into_inner().and_then(GzEncoder::finish).map_err(packing)
}

/// The fields that a package brings, without those that dpkg adds.
fn fields(status: &str) -> String {
    let mut is_own = true;
    let mut fields = String::new();
    for line in status.lines() {
        if !line.starts_with([' ', '\t']) {
            let added =
                ["Status:", "Conffiles:", "Config-Version:", "Triggers-Pending:", "Triggers-Awaited:"];
            is_own = !added.iter().any(|added| line.starts_with(added));
        }
        if is_own {
            fields.push_str(line);
            fields.push('\n');
        }
    }
    fields
}

/// Configuration that somebody removed is not in the archive, and dpkg wants all that is named to be in it.
fn those_there(host: &mut HostSystem, conffiles: &[u8]) -> Result<Vec<u8>, SystemError> {
    let mut there = Vec::new();
    for line in conffiles.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"/")) {
        if host.link_metadata(Path::new(OsStr::from_bytes(line)))?.is_some() {
            there.extend_from_slice(line);
            there.push(b'\n');
        }
    }
    Ok(there)
}

/// Files of a package, and where each really is.
struct Files {
    paths: Vec<PathBuf>,
    diverted: BTreeMap<PathBuf, PathBuf>,
}

impl Files {
    fn of(list: &[u8], host: &mut HostSystem, name: &str) -> Result<Self, SystemError> {
        let lines = list.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"/") && *line != b"/.");
        let paths = lines.map(|line| PathBuf::from(OsStr::from_bytes(line))).collect();
        let text = match host.metadata(Path::new(DIVERSIONS))? {
            Some(_) => host.read(Path::new(DIVERSIONS), MAX_DATABASE_BYTES)?,
            None => Vec::new(),
        };
        Ok(Self { paths, diverted: diversions(&String::from_utf8_lossy(&text), name) })
    }

    fn write(&self, host: &mut HostSystem, data: &mut Builder<impl Write>) -> Result<(), SystemError> {
        // A directory of the package may be a link here.
        let mut sorted: Vec<&PathBuf> = self.paths.iter().collect();
        sorted.sort();
        for path in &self.paths {
            let next = sorted.partition_point(|other| *other <= path);
            let is_above = sorted.get(next).is_some_and(|next| next.starts_with(path));
            self.add(path, is_above, host, data)?;
        }
        Ok(())
    }

    fn add(
        &self,
        path: &Path,
        is_above: bool,
        host: &mut HostSystem,
        data: &mut Builder<impl Write>,
    ) -> Result<(), SystemError> {
        let packing = |error: io::Error| SystemError::new("put into the archive", path, &error);
        let place = self.diverted.get(path).map_or(path, PathBuf::as_path);
        let last = if is_above { LastLink::Follow } else { LastLink::Keep };
        // What is not there was not installed, as documents on a small machine, or was removed.
        if host.link_metadata(place)?.is_none() {
            return Ok(());
        }
        let real = host.real_path(place, last)?;
        let Some(is) = host.snapshot(&real)? else { return Ok(()) };
        let mut header = Header::new_gnu();
        header.set_mode(is.was.mode);
        header.set_uid(is.was.uid.into());
        header.set_gid(is.was.gid.into());
        let kept = is.kept(String::new(), is.bytes);
        header.set_mtime(u64::try_from(kept.mtime_s).unwrap_or(0));
        let inside = path.strip_prefix("/").unwrap_or(path);
        match (&is.was.kind, is.content) {
            (Kind::Directory, _) => {
                header.set_entry_type(EntryType::Directory);
                header.set_size(0);
                data.append_data(&mut header, inside, io::empty()).map_err(packing)
            }
            (Kind::Link { target }, _) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                data.append_link(&mut header, inside, &target.0).map_err(packing)
            }
            (Kind::File { .. }, Some(file)) => {
                header.set_size(is.bytes);
                data.append_data(&mut header, inside, file.take(is.bytes)).map_err(packing)
            }
            _ => Err(packing(io::Error::other("it is neither file nor directory nor link"))),
        }
    }
}

/// Where files of a package are that another package, or the user, has put elsewhere.
fn diversions(text: &str, name: &str) -> BTreeMap<PathBuf, PathBuf> {
    let plain = name.split_once(':').map_or(name, |(name, _)| name);
    let lines: Vec<&str> = text.lines().collect();
    let of_others = lines.chunks_exact(3).filter(|lines| lines[2] != plain);
    of_others.map(|lines| (lines[0].into(), lines[1].into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dpkg_adds_is_no_field_of_the_package() {
        let status = "Package: x\nStatus: install ok installed\nConffiles:\n /etc/x 00 obsolete\nVersion: 1\n\
                      Description: x\n more\n";
        assert_eq!(fields(status), "Package: x\nVersion: 1\nDescription: x\n more\n");
    }

    #[test]
    fn diversions_of_other_packages_count() {
        let text = "/bin/sh\n/bin/sh.distrib\ndash\n/usr/bin/x\n/usr/bin/x.real\n:\n";
        let of_dash = diversions(text, "dash");
        assert_eq!(of_dash.len(), 1);
        assert_eq!(diversions(text, "x:arm64")[Path::new("/bin/sh")], Path::new("/bin/sh.distrib"));
    }
}

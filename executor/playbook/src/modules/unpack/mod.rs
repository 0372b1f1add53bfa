//! `unpack`: what an archive holds is in a directory.
//!
//! An archive is believed nothing: it is read whole and every name, kind and size in it is checked before anything is written.
//! The same reading compares it with what is there, so that a second run finds nothing to do. Only then what differs is
//! written, file by file, each at once and durably; that reading checks again, since the archive may have changed.
//!
//! The parts are chosen for memory-safe code whose memory has a bound that is ours: `flate2` on miniz_oxide, `ruzstd` and
//! `xz4rust` (without its unsafe code) take the greatest window as a parameter, which `lzma-rs` does not, and liblzma is C. Of `tar` only
//! the reading of headers is used: it would hold extension records of any size in memory. Ready-made readers of zip hold the
//! whole directory in memory before anyone can say how long it may be, so that part is our own.

mod check;
mod entry;
mod place;
mod stream;
mod tar;
mod zip;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use keros_protocol::executor::{TaskResult, TaskStatus};

use super::attributes::{AttributeFields, Wanted};
use super::copy::{early, find_source, refuse_without_folder};
use super::{Action, CheckContext, Failure, Module, Run, Scope, Time, change, done};
use crate::fields::Fields;
use crate::system::{Attributes, FileKind};
use crate::template::Text;
use check::Checker;
use entry::{Admitted, Visit};
use place::Comparison;

#[derive(Debug)]
pub(super) struct Unpack {
    source: Text,
    dest: Text,
    create: Option<Text>,
    strip: Option<Text>,
    attributes: AttributeFields,
}

impl Unpack {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, check: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let source = fields.required_text("src").filter(|src| is_there(src, fields, check));
        let dest = fields.required_text("dest");
        let (create, strip) = (fields.flag("create"), fields.number("strip"));
        let attributes = AttributeFields::parse(fields);
        Some(Box::new(Self { source: source?, dest: dest?, create, strip, attributes }))
    }
}

/// Reports an archive that the script should have brought and did not.
fn is_there(src: &Text, fields: &mut Fields<'_, '_>, check: &CheckContext<'_>) -> bool {
    if refuse_without_folder(src, fields, check).is_none() {
        return false;
    }
    let found = early(src, check).map_or(Ok(()), |name| find_source(name, "files", check.folder).map(drop));
    found.map_err(|message| fields.findings.invalid(src.at, &message)).is_ok()
}

impl Module for Unpack {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let source = match scope.text(&self.source)? {
            name if name.starts_with('/') => Source::Machine(name.into()),
            name => Source::Script(find_source(&name, "files", scope.folder)?),
        };
        let create = scope.flag(self.create.as_ref())?.unwrap_or(false);
        let strip = scope.number(self.strip.as_ref())?.unwrap_or(0);
        let (dest, wanted) = (scope.path(&self.dest)?, self.attributes.prepare(scope)?);
        Ok(Box::new(Prepared { source, dest, create, strip, wanted }))
    }

    fn only_touches_files(&self) -> bool {
        true
    }
}

enum Source {
    /// In the script's folder.
    Script(PathBuf),
    /// On the machine, below its root.
    Machine(PathBuf),
}

struct Prepared {
    source: Source,
    dest: PathBuf,
    create: bool,
    strip: u32,
    wanted: Wanted,
}

impl Action for Prepared {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let wanted = self.wanted.resolve(run.system)?;
        let has_dest = self.look_at_dest(run)?;
        if let Source::Machine(path) = &self.source
            && run.imagined.get("download", &path.to_string_lossy()).is_some()
        {
            let why = "the archive is one that only a run downloads";
            return Err(run.variables.unknown.doubt(why).into());
        }
        let archive = self.open(run)?;
        let mut comparison = Comparison::new(&self.dest, has_dest, wanted);
        let mut checker = Checker::new(self.strip);
        let time = run.time();
        let compare = &mut |entry: &Admitted, content: &mut dyn Read| {
            comparison.compare(entry, content, run.system).map_err(|error| error.to_string())
        };
        read(clone(&archive)?, &mut checker, time, compare)?;
        self.write(&archive, wanted, &comparison, &checker, run)?;
        Ok(result_of(&comparison, has_dest))
    }
}

impl Prepared {
    /// Whether the directory is there.
    fn look_at_dest(&self, run: &mut Run<'_>) -> Result<bool, Failure> {
        let dest = self.dest.display();
        match run.system.metadata(&self.dest)? {
            Some(is) if is.kind == FileKind::Directory => Ok(true),
            Some(_) => Err(format!("{dest} is not a directory").into()),
            None if self.create => Ok(false),
            None => Err(format!("the directory {dest} is not there (`create: true` makes it)").into()),
        }
    }

    fn open(&self, run: &mut Run<'_>) -> Result<File, Failure> {
        match &self.source {
            Source::Machine(path) => Ok(run.system.open(path)?),
            Source::Script(path) => {
                let opened = run.system.open_of_script(path);
                opened.map_err(|error| format!("cannot read {}: {error}", path.display()).into())
            }
        }
    }

    fn write(
        &self,
        archive: &File,
        wanted: Attributes,
        comparison: &Comparison<'_>,
        checked: &Checker,
        run: &mut Run<'_>,
    ) -> Result<(), Failure> {
        if comparison.is_equal() {
            return Ok(());
        }
        let whole = Attributes { mode: Some(0o755), ..wanted };
        if run.system.metadata(&self.dest)?.is_none() {
            run.system.make_directory(&self.dest, whole)?;
        }
        let time = run.time();
        let write = &mut |entry: &Admitted, content: &mut dyn Read| {
            comparison.write(entry, content, checked, run.system).map_err(|error| error.to_string())
        };
        Ok(read(clone(archive)?, &mut Checker::new(self.strip), time, write)?)
    }
}

fn clone(archive: &File) -> Result<File, Failure> {
    archive.try_clone().map_err(|error| format!("cannot read the archive: {error}").into())
}

fn result_of(comparison: &Comparison<'_>, has_dest: bool) -> TaskResult {
    let counts = [("created", comparison.created), ("modified", comparison.modified)];
    let changes: Vec<_> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| change(what, None, Some(count.to_string())))
        .collect();
    let status = match (has_dest, comparison.matched + comparison.modified) {
        (true, _) if changes.is_empty() => TaskStatus::Matched,
        (_, 0) => TaskStatus::Created,
        _ => TaskStatus::Modified,
    };
    done(status, changes)
}

/// Reads an archive whole, checks every entry, and shows those that are to be unpacked.
///
/// # Errors
/// What is wrong with the archive, or what the visitor says.
fn read<R: Read + Seek + 'static>(
    mut archive: R,
    checker: &mut Checker,
    time: Time,
    visit: &mut Visit<'_>,
) -> Result<(), String> {
    let length = archive.seek(SeekFrom::End(0)).map_err(|error| stream::damaged(&error))?;
    archive.rewind().map_err(|error| stream::damaged(&error))?;
    checker.begin(length);
    match stream::open(archive, checker.total_limit(), time.clone())? {
        stream::Opened::Tar(stream) => tar::read(stream, checker, visit),
        stream::Opened::Zip(archive) => zip::read(archive, checker, &time, visit),
    }
}

/// Reads an archive from memory as the module does before it writes anything. Returns how many entries were seen.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_archive(bytes: &[u8]) -> Result<usize, String> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let time = Time { deadline, cancel: None };
    let mut seen = 0;
    let visit = &mut |_: &Admitted, content: &mut dyn Read| {
        seen += 1;
        std::io::copy(content, &mut std::io::sink()).map(drop).map_err(|error| stream::damaged(&error))
    };
    read(std::io::Cursor::new(bytes.to_vec()), &mut Checker::new(0), time, visit)?;
    Ok(seen)
}

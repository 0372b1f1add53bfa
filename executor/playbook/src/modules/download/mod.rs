//! `download`: a file holds what a server gives, and the digest says what that must be.
//!
//! The bytes are collected in a file beside the destination, which takes its place once they are all there and right. When a
//! connection breaks, that part stays, and the next attempt asks for the rest only. Whether what came fits what was there
//! already is for the digest to say: a part that turns out wrong is thrown away and fetched anew.

mod digest;
mod fetch;
mod place;

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use keros_protocol::executor::{TaskResult, TaskStatus};
use sha2::{Digest as _, Sha256};

use super::attributes::{AttributeFields, Wanted, drift};
use super::{Action, CheckContext, Failure, Module, Run, Scope, Time, change, done};
use crate::fields::Fields;
use crate::system::{Attributes, FileKind, Metadata};
use crate::template::Text;
use digest::Digest;
use fetch::Fetch;
use place::Place;

/// The most that is fetched where the task says nothing, bytes.
const DEFAULT_LIMIT_BYTES: u32 = 1024 * 1024 * 1024;
const MODE_IF_NEW: u32 = 0o644;

#[derive(Debug)]
pub(super) struct Download {
    url: Text,
    dest: Text,
    digest: Text,
    limit: Option<Text>,
    attributes: AttributeFields,
}

impl Download {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let url = fields.required_text("url");
        let (dest, digest) = (fields.required_text("dest"), fields.required_text("digest"));
        let limit = fields.number("limit");
        let attributes = AttributeFields::parse(fields);
        let mut check = |text: &Option<Text>, check: fn(&str) -> Result<(), String>| {
            if let Some(text) = text.as_ref().filter(|text| text.is_literal())
                && let Err(message) = check(text.source.trim())
            {
                fields.findings.invalid(text.at, &message);
            }
        };
        check(&url, |url| Place::parse(url).map(drop));
        check(&digest, |digest| Digest::parse(digest).map(drop));
        Some(Box::new(Self { url: url?, dest: dest?, digest: digest?, limit, attributes }))
    }
}

impl Module for Download {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let place = Place::parse(&scope.text(&self.url)?)?;
        let digest = Digest::parse(&scope.text(&self.digest)?)?;
        let limit = scope.number(self.limit.as_ref())?.unwrap_or(DEFAULT_LIMIT_BYTES);
        let (dest, wanted) = (scope.path(&self.dest)?, self.attributes.prepare(scope)?);
        Ok(Box::new(Prepared { place, dest, digest, limit_bytes: limit.into(), wanted }))
    }
}

struct Prepared {
    place: Place,
    dest: PathBuf,
    digest: Digest,
    limit_bytes: u64,
    wanted: Wanted,
}

impl Action for Prepared {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let wanted = self.wanted.resolve(run.system)?;
        let imagined = run.imagined.get("download", &self.dest.to_string_lossy());
        let imagined = imagined.and_then(|digest| Digest::parse(digest).ok());
        let is = run.system.metadata(&self.dest)?;
        let held = match is.map(|is| is.kind) {
            None => None,
            // A dry run: an earlier task would have fetched it.
            Some(FileKind::File) if imagined.is_some() => imagined,
            Some(FileKind::File) => Some(self.held_digest(run)?),
            Some(FileKind::Directory) => {
                return Err(format!("{} is a directory", self.dest.display()).into());
            }
            Some(_) => return Err(format!("{} is not a regular file", self.dest.display()).into()),
        };
        match is {
            Some(is) if held == Some(self.digest) => self.adjust(wanted, &is, run),
            is => self.get(wanted, is, held, run),
        }
    }
}

impl Prepared {
    fn held_digest(&self, run: &mut Run<'_>) -> Result<Digest, Failure> {
        let file = run.system.open(&self.dest)?;
        digest_of(file, &run.time())
            .map_err(|error| format!("cannot read {}: {error}", self.dest.display()).into())
    }

    fn adjust(&self, wanted: Attributes, is: &Metadata, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let (missing, changes) = drift(wanted, is, run.system);
        if changes.is_empty() {
            return Ok(TaskResult::of(TaskStatus::Matched));
        }
        run.system.set_attributes(&self.dest, missing)?;
        Ok(done(TaskStatus::Modified, changes))
    }

    fn get(
        &self,
        wanted: Attributes,
        is: Option<Metadata>,
        held: Option<Digest>,
        run: &mut Run<'_>,
    ) -> Result<TaskResult, Failure> {
        if run.dry_run {
            run.imagined.set("download", &self.dest.to_string_lossy(), &self.digest.to_string());
            run.system.expect_file(&self.dest, self.digest.0, wanted, MODE_IF_NEW)?;
        } else {
            self.fetch(run)?;
            run.system.put_part(&self.dest, wanted, MODE_IF_NEW)?;
        }
        let status = if is.is_some() { TaskStatus::Modified } else { TaskStatus::Created };
        let before = held.map(|digest| digest.to_string());
        Ok(done(status, vec![change("content", before, Some(self.digest.to_string()))]))
    }

    /// Collects all bytes in the part. One that cannot become right is not left behind.
    fn fetch(&self, run: &mut Run<'_>) -> Result<(), Failure> {
        let roots = if self.place.is_secure() { fetch::read_roots(run.system)? } else { Vec::new() };
        let part = run.system.open_part(&self.dest)?;
        let fetch = Fetch {
            place: &self.place,
            dest: &self.dest,
            digest: self.digest,
            limit_bytes: self.limit_bytes,
            time: run.time(),
            roots,
        };
        fetch.collect(part).map_err(|trouble| {
            if trouble.is_final()
                && let Err(error) = run.system.remove_part(&self.dest)
            {
                return error.into();
            }
            Failure::from(trouble.to_string())
        })
    }
}

fn digest_of(mut file: File, time: &Time) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        time.check()?;
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::of(&hash)),
            length => hash.update(&buffer[..length]),
        }
    }
}

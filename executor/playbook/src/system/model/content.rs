//! What a file of the model holds: its bytes where they are few, else where they can be found, or their digest.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use sha2::{Digest as _, Sha256};

use super::Model;
use super::tree::Body;
use crate::system::lookup::irregular;
use crate::system::program::{input_of, same_bytes};
use crate::system::tree::LastLink;
use crate::system::{Content, FileKind, SystemError, reading};

/// Greatest content whose bytes are held.
const MAX_HELD_BYTES: usize = 1024 * 1024;
/// The same of a content that is one of many, as in an archive.
const MAX_HELD_OF_STREAM: u64 = 4 * 1024;

/// What a file holds.
#[derive(Clone)]
pub(super) enum Held {
    Bytes(Rc<[u8]>),
    /// What this file of the machine holds, which a dry run does not change.
    Machine(PathBuf),
    /// What this file of the script's folder holds.
    Script(PathBuf),
    /// Too long to be held.
    Digest([u8; 32]),
}

impl Held {
    fn of(bytes: &[u8]) -> Self {
        if bytes.len() <= MAX_HELD_BYTES { Self::Bytes(bytes.into()) } else { Self::Digest(digest(bytes)) }
    }

    /// There may be many of these, so that less of each is held.
    fn of_stream(mut reader: impl io::Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        reader.by_ref().take(MAX_HELD_OF_STREAM + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 <= MAX_HELD_OF_STREAM {
            return Ok(Self::Bytes(bytes.into()));
        }
        let mut hash = Sha256::new_with_prefix(&bytes);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(Self::Digest(hash.finalize().into())),
                length => hash.update(&buffer[..length]),
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Machine(path) | Self::Script(path) => path.as_os_str().len(),
            Self::Digest(digest) => digest.len(),
        }
    }

    /// As a content that the machine itself understands; none for a digest.
    fn content(&self) -> Option<Content<'_>> {
        match self {
            Self::Bytes(bytes) => Some(Content::Bytes(bytes)),
            Self::Machine(path) => Some(Content::Machine(path)),
            Self::Script(path) => Some(Content::File(path)),
            Self::Digest(_) => None,
        }
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl Model<'_> {
    /// What the file at a path holds, and how long it is.
    pub(super) fn held_at(&mut self, path: &Path) -> io::Result<(Held, u64)> {
        let (spot, node) = self.expect(path, LastLink::Follow)?;
        match node.is.kind {
            FileKind::File => {}
            FileKind::Directory => return Err(Errno::EISDIR.into()),
            FileKind::Link | FileKind::Other => return Err(irregular()),
        }
        self.refuse_reading(&node.is)?;
        let held = match node.body {
            Body::File(held) => held,
            _ => Held::Machine(spot.path),
        };
        Ok((held, node.is.size_bytes))
    }

    /// Keeps a content, and how long it is.
    pub(super) fn hold(&mut self, content: &Content<'_>) -> io::Result<(Held, u64)> {
        match content {
            Content::Bytes(bytes) => Ok((Held::of(bytes), bytes.len() as u64)),
            Content::File(path) => {
                let length = File::open(path)?.metadata()?.len();
                Ok((Held::Script((*path).to_owned()), length))
            }
            Content::Machine(path) => self.held_at(path),
            Content::Stream(stream) => Ok((Held::of_stream(stream.reader())?, stream.length())),
        }
    }

    /// A file of its own with what is held.
    pub(super) fn open_held(&mut self, path: &Path) -> Result<File, SystemError> {
        match self.held_at(path).map_err(reading(path))?.0 {
            Held::Machine(on_machine) => self.machine.open(&on_machine),
            Held::Script(source) => File::open(&source).map_err(reading(&source)),
            held => {
                let bytes = self.bytes_of(&held, path, u64::MAX)?;
                input_of(&bytes).map_err(reading(path))
            }
        }
    }

    pub(super) fn bytes_of(
        &mut self,
        held: &Held,
        path: &Path,
        max_bytes: u64,
    ) -> Result<Vec<u8>, SystemError> {
        match held {
            Held::Bytes(bytes) => Ok(bytes.to_vec()),
            Held::Machine(on_machine) => self.machine.read(on_machine, max_bytes),
            Held::Script(source) => std::fs::read(source).map_err(reading(source)),
            Held::Digest(_) => {
                let path = path.display();
                let message = format!(
                    "cannot read {path}: a dry run does not hold more than {MAX_HELD_BYTES} bytes of it"
                );
                Err(SystemError::text(message))
            }
        }
    }

    /// Whether two files hold the same.
    pub(super) fn same(&mut self, a: (Held, u64), b: (Held, u64)) -> io::Result<bool> {
        let length = a.1;
        if length != b.1 {
            return Ok(false);
        }
        match (&a.0, &b.0) {
            (Held::Digest(a), Held::Digest(b)) => Ok(a == b),
            (Held::Digest(digest), other) | (other, Held::Digest(digest)) => {
                let bytes = self.bytes_of(other, Path::new("/"), length)?;
                Ok(*digest == self::digest(&bytes))
            }
            (Held::Machine(path), other) | (other, Held::Machine(path)) => match other.content() {
                Some(content) => Ok(self.machine.holds(path, &content)?),
                None => Ok(false),
            },
            (a, b) => same_bytes(local(a)?, local(b)?),
        }
    }
}

/// What is not on the machine.
fn local(held: &Held) -> io::Result<Box<dyn io::Read + '_>> {
    match held {
        Held::Bytes(bytes) => Ok(Box::new(&**bytes)),
        Held::Script(path) => Ok(Box::new(File::open(path)?)),
        Held::Machine(_) | Held::Digest(_) => Ok(Box::new(io::empty())),
    }
}

//! A content that is read once, piece by piece, and never held in memory whole.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};

/// A reader and how much it must give.
pub struct Stream<'a> {
    reader: RefCell<&'a mut dyn Read>,
    length: u64,
}

impl<'a> Stream<'a> {
    /// A reader that must give exactly this many bytes.
    pub fn new(reader: &'a mut dyn Read, length: u64) -> Self {
        Self { reader: RefCell::new(reader), length }
    }

    /// How long the content is, bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Reads it from where it is; one that ends early is an error.
    pub fn reader(&self) -> impl Read {
        Whole { stream: self, left: self.length }
    }
}

impl fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({} bytes)", self.length)
    }
}

struct Whole<'s, 'a> {
    stream: &'s Stream<'a>,
    left: u64,
}

impl Read for Whole<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.stream.reader.borrow_mut().read(&mut buffer[..room])?;
        if length == 0 && room > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::{Attributes, Content, HostSystem, ShellPlace, System as _};

    #[test]
    fn a_stream_that_ends_early_leaves_the_old_file_and_a_long_one_is_read_to_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let (file, path) = (folder.path().join("f"), std::path::Path::new("/f"));
        std::fs::write(&file, "old").unwrap();
        let mut system = HostSystem::new(folder.path().to_owned(), ShellPlace::Root);
        let mut put = |length| {
            let mut reader = &b"content"[..];
            let stream = Stream::new(&mut reader, length);
            system.put_file(path, &Content::Stream(&stream), Attributes::default(), 0o644)
        };
        assert!(put(8).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        assert!(put(4).is_ok());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "cont");
    }
}

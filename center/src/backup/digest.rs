//! The digest of all that is in a backup, taken while it is written or read.

use std::io::{self, Read};

use ring::digest::{Context, SHA256};

/// Names and contents so far.
pub(super) struct Running {
    context: Context,
}

impl Running {
    pub(super) fn new() -> Self {
        Self { context: Context::new(&SHA256) }
    }

    /// A file begins.
    pub(super) fn begin(&mut self, name: &str, length: u64) {
        self.context.update(&(name.len() as u64).to_be_bytes());
        self.context.update(name.as_bytes());
        self.context.update(&length.to_be_bytes());
    }

    /// A part of its content.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// In hex.
    pub(super) fn finish(self) -> String {
        self.context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What is read through it is in the digest.
pub(super) struct Through<'a, R> {
    pub(super) inner: R,
    pub(super) digest: &'a mut Running,
}

impl<R: Read> Read for Through<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.digest.add(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

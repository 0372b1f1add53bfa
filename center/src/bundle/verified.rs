//! A reader that gives the last bytes of a blob only when all of them have the right digest.

use std::io::{self, Read};

use keros_protocol::magic_link::{Descriptor, Digest};
use ring::digest::{Context, SHA256};

/// Reads one blob and checks size and digest on the way. Whatever is wrong with it is an error of kind `InvalidData`.
pub(crate) struct Verified<R> {
    inner: R,
    hash: Option<Context>,
    blob: Descriptor,
    left: u64,
}

impl<R: Read> Verified<R> {
    pub(crate) fn new(inner: R, blob: Descriptor) -> Self {
        Self { inner, hash: Some(Context::new(&SHA256)), blob, left: blob.size }
    }

    fn check_end(&mut self) -> io::Result<()> {
        let Some(hash) = self.hash.take() else { return Ok(()) };
        if self.inner.read(&mut [0]).map_err(source_failed)? > 0 {
            return Err(wrong(format!("it has more than {} bytes", self.blob.size)));
        }
        let found = finish(hash);
        if found != self.blob.digest {
            return Err(wrong(format!("its content has the digest {found}")));
        }
        Ok(())
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 && self.left > 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..wanted]).map_err(source_failed)?;
        if count == 0 && self.left > 0 {
            return Err(wrong(format!("it ends {} bytes too early", self.left)));
        }
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer[..count]);
        }
        self.left -= count as u64;
        if self.left == 0 {
            self.check_end()?;
        }
        Ok(count)
    }
}

/// Digest and length of all that a reader gives.
pub(crate) fn describe(reader: &mut impl Read) -> io::Result<Descriptor> {
    let mut hash = Context::new(&SHA256);
    let mut size = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(Descriptor { digest: finish(hash), size }),
            count => {
                hash.update(&buffer[..count]);
                size += count as u64;
            }
        }
    }
}

fn finish(hash: Context) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    Digest::from_bytes(bytes)
}

/// Told apart from what fails where the bytes go to.
fn source_failed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Interrupted => error,
        _ => wrong(format!("it cannot be read: {error}")),
    }
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], blob: Descriptor) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        Verified::new(content, blob).read_to_end(&mut all).map_err(|error| error.to_string())?;
        Ok(all)
    }

    #[test]
    fn only_the_right_bytes_come_to_their_end() {
        let blob = describe(&mut &b"hello"[..]).unwrap();
        assert_eq!(blob, Descriptor { digest: Digest::of(b"hello"), size: 5 });
        assert_eq!(read(b"hello", blob).unwrap(), b"hello");
        assert!(read(b"hellO", blob).unwrap_err().contains("digest"));
        assert!(read(b"hell", blob).unwrap_err().contains("1 bytes too early"));
        assert!(read(b"hello!", blob).unwrap_err().contains("more than 5"));
        let empty = Descriptor { digest: Digest::of(b""), size: 0 };
        assert_eq!(read(b"", empty).unwrap(), b"");
        assert!(read(b"x", empty).is_err());
        assert!(read(b"", Descriptor { digest: Digest::of(b"x"), size: 0 }).unwrap_err().contains("digest"));
    }
}

//! A disk with a write cache that a power cut empties: what was written since the last flush is lost, in part, and in any
//! order. The virtual machine reaches it by NBD, so that what its kernel flushes, and nothing else, is what stays.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};

use crate::Random;

/// What is written as a whole.
const SECTOR: usize = 512;
/// Sectors that are kept or lost together, as the pages of flash are. Were a page torn, ext4 itself would give up: it takes a torn
/// block at the end of its journal for damage, and does not mount.
const PAGE_SECTORS: u64 = 8;
/// A request is refused when it is longer; the kernel's are a few MiB at most.
const MAX_REQUEST: u32 = 64 * 1024 * 1024;

/// Numbers of the NBD protocol, as its document names them.
mod nbd {
    pub(super) const MAGIC: u64 = 0x4e42_444d_4147_4943;
    pub(super) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
    pub(super) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
    pub(super) const FIXED_NEWSTYLE_NO_ZEROES: u16 = 3;
    pub(super) const OPTION_ABORT: u32 = 2;
    pub(super) const OPTION_GO: u32 = 7;
    pub(super) const REPLY_ACK: u32 = 1;
    pub(super) const REPLY_INFO: u32 = 3;
    pub(super) const REPLY_UNSUPPORTED: u32 = 0x8000_0001;
    /// Flags are given, FLUSH is understood, and so is "forced to the medium".
    pub(super) const FEATURES: u16 = 1 | 4 | 8;
    pub(super) const REQUEST_MAGIC: u32 = 0x2560_9513;
    pub(super) const REPLY_MAGIC: u32 = 0x6744_6698;
    pub(super) const FORCED: u16 = 1;
    pub(super) const READ: u16 = 0;
    pub(super) const WRITE: u16 = 1;
    pub(super) const DISCONNECT: u16 = 2;
    pub(super) const FLUSH: u16 = 3;
    pub(super) const EINVAL: u32 = 22;
}

/// The disk; it survives the machine that is attached to it.
#[derive(Debug)]
pub struct Disk {
    socket: PathBuf,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    medium: File,
    size: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Written, and not flushed yet.
    cache: BTreeMap<u64, [u8; SECTOR]>,
    flushes: u64,
    /// The power fails when this many flushes are done: nothing is answered any more.
    fails_at: Option<u64>,
    failed: bool,
    closing: bool,
}

/// What a power cut did to the disk.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// Sectors that had been written and not flushed.
    pub unflushed: usize,
    /// How many of them did not reach the medium.
    pub lost: usize,
}

impl Disk {
    /// Serves an image at a socket.
    ///
    /// # Errors
    /// When the image cannot be opened.
    pub fn serve(image: &Path, socket: &Path) -> Result<Self> {
        let medium = File::options().read(true).write(true).open(image)?;
        let size = medium.metadata()?.len();
        let listener = UnixListener::bind(socket)?;
        let shared = Arc::new(Shared { medium, size, state: Mutex::default() });
        let server = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.listen(&listener))
        };
        Ok(Self { socket: socket.to_owned(), shared, server: Some(server) })
    }

    /// Where it is served.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// How often it was flushed.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.shared.lock().flushes
    }

    /// From now on, the power fails at the flush after that many.
    pub fn fail_after(&self, flushes: u64) {
        let mut state = self.shared.lock();
        state.fails_at = Some(state.flushes + flushes);
    }

    /// Whether that moment has come.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shared.lock().failed
    }

    /// The power is off: of what was not flushed, pages chosen by the seed reach the medium, the others are lost. The
    /// machine must have been ended before.
    ///
    /// # Errors
    /// When the image cannot be written.
    pub fn lose_power(&self, seed: u64) -> Result<Lost> {
        let mut state = self.shared.lock();
        let cache = std::mem::take(&mut state.cache);
        let mut random = Random::new(seed);
        let mut lost = Lost { unflushed: cache.len(), lost: 0 };
        let (mut page, mut kept) = (None, false);
        for (sector, bytes) in cache {
            if page.replace(sector / PAGE_SECTORS) != Some(sector / PAGE_SECTORS) {
                kept = random.below(2) == 0;
            }
            if kept {
                self.shared.medium.write_all_at(&bytes, sector * SECTOR as u64)?;
            } else {
                lost.lost += 1;
            }
        }
        (state.failed, state.fails_at) = (false, None);
        Ok(lost)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        // The server waits for a connection: this one tells it to look.
        if UnixStream::connect(&self.socket).is_ok()
            && let Some(server) = self.server.take()
        {
            let _ = server.join();
        }
    }
}

/// One request of the machine.
struct Request {
    flags: u16,
    kind: u16,
    handle: [u8; 8],
    offset: u64,
    length: u32,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, listener: &UnixListener) {
        for stream in listener.incoming() {
            if self.lock().closing {
                return;
            }
            // A machine that is gone ends its connection by an error; the next one makes another.
            if let Ok(mut stream) = stream {
                let _ = self.serve(&mut stream);
            }
        }
    }

    fn serve(&self, stream: &mut UnixStream) -> Result<()> {
        self.shake_hands(stream)?;
        loop {
            let request = read_request(stream)?;
            if request.kind == nbd::DISCONNECT {
                return Ok(());
            }
            let mut data = vec![0; usize::try_from(request.length)?];
            if request.kind == nbd::WRITE {
                stream.read_exact(&mut data)?;
            }
            if self.has_failed_at(&request) {
                // Without power there is no answer; the end of the machine ends the connection.
                io::copy(stream, &mut io::sink())?;
                return Ok(());
            }
            let error = self.carry_out(&request, &mut data)?;
            let mut reply = nbd::REPLY_MAGIC.to_be_bytes().to_vec();
            reply.extend(error.to_be_bytes());
            reply.extend(request.handle);
            if request.kind == nbd::READ && error == 0 {
                reply.extend(data);
            }
            stream.write_all(&reply)?;
        }
    }

    fn shake_hands(&self, stream: &mut UnixStream) -> Result<()> {
        let mut hello = nbd::MAGIC.to_be_bytes().to_vec();
        hello.extend(nbd::OPTION_MAGIC.to_be_bytes());
        hello.extend(nbd::FIXED_NEWSTYLE_NO_ZEROES.to_be_bytes());
        stream.write_all(&hello)?;
        let _client_flags: [u8; 4] = read_array(stream)?;
        loop {
            let _magic: [u8; 8] = read_array(stream)?;
            let option = u32::from_be_bytes(read_array(stream)?);
            let length = u32::from_be_bytes(read_array(stream)?);
            io::copy(&mut stream.take(length.into()), &mut io::sink())?;
            match option {
                nbd::OPTION_GO => {
                    let mut export = 0_u16.to_be_bytes().to_vec();
                    export.extend(self.size.to_be_bytes());
                    export.extend(nbd::FEATURES.to_be_bytes());
                    answer_option(stream, option, nbd::REPLY_INFO, &export)?;
                    answer_option(stream, option, nbd::REPLY_ACK, &[])?;
                    return Ok(());
                }
                nbd::OPTION_ABORT => anyhow::bail!("the machine did not want the disk"),
                _ => answer_option(stream, option, nbd::REPLY_UNSUPPORTED, &[])?,
            }
        }
    }

    fn has_failed_at(&self, request: &Request) -> bool {
        let mut state = self.lock();
        let reached = state.fails_at.is_some_and(|limit| state.flushes >= limit);
        if reached && request.kind == nbd::FLUSH {
            state.failed = true;
        }
        state.failed
    }

    /// Gives the error number for the reply.
    fn carry_out(&self, request: &Request, data: &mut [u8]) -> Result<u32> {
        let end = request.offset.saturating_add(request.length.into());
        let whole = request.offset.is_multiple_of(SECTOR as u64) && data.len().is_multiple_of(SECTOR);
        if end > self.size || !whole {
            return Ok(nbd::EINVAL);
        }
        let first = request.offset / SECTOR as u64;
        let mut state = self.lock();
        match request.kind {
            nbd::READ => {
                self.medium.read_exact_at(data, request.offset)?;
                let end = first + data.len().div_ceil(SECTOR) as u64;
                for (sector, bytes) in state.cache.range(first..end) {
                    let at = usize::try_from(sector - first)? * SECTOR;
                    data[at..at + SECTOR].copy_from_slice(bytes);
                }
            }
            nbd::WRITE => {
                let forced = request.flags & nbd::FORCED != 0;
                for (sector, bytes) in (first..).zip(data.chunks_exact(SECTOR)) {
                    if forced {
                        state.cache.remove(&sector);
                    } else {
                        state.cache.insert(sector, bytes.try_into().context("a whole sector")?);
                    }
                }
                if forced {
                    self.medium.write_all_at(data, request.offset)?;
                }
            }
            nbd::FLUSH => {
                for (sector, bytes) in std::mem::take(&mut state.cache) {
                    self.medium.write_all_at(&bytes, sector * SECTOR as u64)?;
                }
                state.flushes += 1;
            }
            _ => return Ok(nbd::EINVAL),
        }
        Ok(0)
    }
}

fn answer_option(stream: &mut UnixStream, option: u32, kind: u32, data: &[u8]) -> Result<()> {
    let mut reply = nbd::OPTION_REPLY_MAGIC.to_be_bytes().to_vec();
    for number in [option, kind, u32::try_from(data.len())?] {
        reply.extend(number.to_be_bytes());
    }
    reply.extend(data);
    Ok(stream.write_all(&reply)?)
}

fn read_request(stream: &mut UnixStream) -> Result<Request> {
    let magic = u32::from_be_bytes(read_array(stream)?);
    anyhow::ensure!(magic == nbd::REQUEST_MAGIC, "not an NBD request");
    let request = Request {
        flags: u16::from_be_bytes(read_array(stream)?),
        kind: u16::from_be_bytes(read_array(stream)?),
        handle: read_array(stream)?,
        offset: u64::from_be_bytes(read_array(stream)?),
        length: u32::from_be_bytes(read_array(stream)?),
    };
    anyhow::ensure!(request.length <= MAX_REQUEST, "too long a request");
    Ok(request)
}

fn read_array<const N: usize>(stream: &mut UnixStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

//! What it says on sockets.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Longer than a session waits for a request.
const PATIENCE: Duration = Duration::from_secs(45);
/// More than any honest answer has.
const MOST: u64 = 4 * 1024 * 1024;

pub(super) fn send(socket: &Path, files: &[&str]) -> Result<()> {
    for file in files {
        let name = Path::new(file).file_name().context("a file")?.to_string_lossy();
        let request = std::fs::read(file).with_context(|| format!("reading {file}"))?;
        println!("{name}\t{}", ask(socket, &request).unwrap_or_else(|error| format!("{error:#}")));
    }
    Ok(())
}

/// The last line of the answer.
fn ask(socket: &Path, request: &[u8]) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Who is refused early does not read to the end.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.take(MOST).read_to_end(&mut answer) {
        // It was closed with some of the request unread.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        read => drop(read?),
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Ok(answer.lines().last().unwrap_or("nothing").to_owned())
}

pub(super) fn hold(socket: &Path, count: usize, mark: &Path) -> Result<()> {
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..count {
        match UnixStream::connect(socket) {
            Ok(stream) => held.push(stream),
            Err(_) => refused += 1,
        }
    }
    println!("{} connected, {refused} refused", held.len());
    while mark.exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

pub(super) fn endless(socket: &Path) -> Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let chunk = [b'x'; 64 * 1024];
    let mut sent = 0_u64;
    while sent < 1 << 30 && stream.write_all(&chunk).is_ok() {
        sent += chunk.len() as u64;
    }
    println!("{sent}");
    Ok(())
}

pub(super) fn serve(socket: &Path, file: &Path) -> Result<()> {
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket)?;
    let content = std::fs::read(file)?;
    println!("serving");
    loop {
        let (mut stream, _) = listener.accept()?;
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(&content);
    }
}

pub(super) fn notify(text: &str) -> Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.send_to(text.as_bytes(), "/run/systemd/notify")?;
    println!("sent");
    Ok(())
}

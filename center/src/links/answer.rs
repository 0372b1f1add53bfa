//! A blob as the answer to a GET: whole, or the one range of it that is asked for (RFC 9110, section 14).

use std::fs::File;
use std::io::{self, SeekFrom};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use keros_protocol::magic_link::Digest;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

/// Read and sent at once: what one slow reader holds of the memory, beside the connection's own buffer.
const PART_BYTES: usize = 64 * 1024;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Whole,
    /// From the first byte up to, and without, the second.
    Part(u64, u64),
    Nothing,
}

/// An open blob.
#[derive(Debug)]
pub(crate) struct OpenBlob {
    /// Its name.
    pub(crate) digest: Digest,
    /// Its bytes.
    pub(crate) file: File,
    /// How many.
    pub(crate) length: u64,
    /// What it is called in the answer.
    pub(crate) media_type: &'static str,
}

impl OpenBlob {
    /// The answer to these headers. `place` is held until all is sent, or the client is gone.
    pub(crate) fn answer(self, headers: &HeaderMap, place: impl Send + 'static) -> Response {
        let Self { digest, file, length, media_type } = self;
        let etag = format!("\"{digest}\"");
        let (status, from, to) = match wanted(headers, length, &etag) {
            Wanted::Whole => (StatusCode::OK, 0, length),
            Wanted::Part(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
            Wanted::Nothing => {
                let range = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
                return (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response();
            }
        };
        let mut response = (status, body(digest, file, from, to, place)).into_response();
        let found = response.headers_mut();
        let mut set =
            |name, value: String| found.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
        set(header::CONTENT_TYPE, media_type.to_owned());
        set(header::CONTENT_LENGTH, (to - from).to_string());
        set(header::ACCEPT_RANGES, "bytes".to_owned());
        set(header::ETAG, etag);
        set(header::HeaderName::from_static("docker-content-digest"), digest.to_string());
        if status == StatusCode::PARTIAL_CONTENT {
            set(header::CONTENT_RANGE, format!("bytes {from}-{}/{length}", to.saturating_sub(1)));
        }
        response
    }
}

/// Anything but one range of bytes is passed over, as the standard allows; so is one of another version of the blob.
fn wanted(headers: &HeaderMap, length: u64, etag: &str) -> Wanted {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|version| version != etag) {
        return Wanted::Whole;
    }
    text(header::RANGE).and_then(|range| parse_range(range, length)).unwrap_or(Wanted::Whole)
}

/// `None`: it makes no sense.
fn parse_range(text: &str, length: u64) -> Option<Wanted> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| -> Option<u64> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More than fits is beyond any end.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (from, to) = match (first, last) {
        ("", last) => (length.saturating_sub(number(last)?), length),
        (first, "") => (number(first)?, length),
        (first, last) => (number(first)?, number(last)?.saturating_add(1).min(length)),
    };
    if first.is_empty() || last.is_empty() || number(first)? <= number(last)? {
        return Some(if from < to { Wanted::Part(from, to) } else { Wanted::Nothing });
    }
    None
}

struct Reading<P> {
    digest: Digest,
    file: tokio::fs::File,
    at: u64,
    to: u64,
    begun: bool,
    _place: P,
}

fn body(digest: Digest, file: File, from: u64, to: u64, place: impl Send + 'static) -> Body {
    let file = tokio::fs::File::from_std(file);
    let reading = Reading { digest, file, at: from, to, begun: false, _place: place };
    Body::from_stream(futures_util::stream::try_unfold(reading, |mut reading| async move {
        match reading.next().await {
            Ok(part) => Ok(part.map(|part| (part, reading))),
            // The connection breaks off: the client sees that it has too little.
            Err(error) => {
                tracing::error!(digest = %reading.digest, %error, "a blob cannot be read: is the disk broken?");
                Err(error)
            }
        }
    }))
}

impl<P> Reading<P> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if !self.begun && self.at > 0 {
            self.file.seek(SeekFrom::Start(self.at)).await?;
        }
        self.begun = true;
        let left = usize::try_from(self.to - self.at).unwrap_or(usize::MAX).min(PART_BYTES);
        if left == 0 {
            return Ok(None);
        }
        let mut part = vec![0; left];
        let read = self.file.read(&mut part).await?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
        }
        part.truncate(read);
        self.at += read as u64;
        Ok(Some(part.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (text, length, expected) in [
            ("bytes=0-0", 10, Some(Wanted::Part(0, 1))),
            ("bytes=2-5", 10, Some(Wanted::Part(2, 6))),
            ("bytes=2-", 10, Some(Wanted::Part(2, 10))),
            ("bytes=9-100", 10, Some(Wanted::Part(9, 10))),
            ("bytes=-3", 10, Some(Wanted::Part(7, 10))),
            ("bytes=-30", 10, Some(Wanted::Part(0, 10))),
            ("bytes=10-", 10, Some(Wanted::Nothing)),
            ("bytes=10-12", 10, Some(Wanted::Nothing)),
            ("bytes=99999999999999999999-", 10, Some(Wanted::Nothing)),
            ("bytes=-0", 10, Some(Wanted::Nothing)),
            ("bytes=0-", 0, Some(Wanted::Nothing)),
            ("bytes=5-2", 10, None),
            ("bytes=0-1,4-5", 10, None),
            ("bytes=-", 10, None),
            ("bytes=a-b", 10, None),
            ("bytes=+1-2", 10, None),
            ("lines=0-1", 10, None),
        ] {
            assert_eq!(parse_range(text, length), expected, "{text}");
        }
    }
}

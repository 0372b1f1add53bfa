//! `api …`: any request to the REST API, with the access token, for what has no command of its own and for scripts.

use std::io::{self, IsTerminal as _, Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::arguments::api::{ApiArguments, Method};
use super::client::{Client, ClientError, Response};
use super::text::printable_lines;
use super::{Ended, print_json};

/// Every route but that of blobs takes 2 MiB at most; for blobs there is `magic-link import`.
const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

pub(super) fn run(client: &Client, arguments: &ApiArguments, out: &mut dyn Write) -> anyhow::Result<Ended> {
    if arguments.all && arguments.method != Method::Get {
        bail!("--all is for GET: nothing was sent");
    }
    let path = path(&arguments.path)?;
    let body = arguments.body.as_deref().map(body).transpose()?;
    let mut headers: Vec<(&str, &str)> = Vec::new();
    if body.is_some() {
        headers.push(("Content-Type", &arguments.content_type));
    }
    let stated = [("Idempotency-Key", &arguments.idempotency_key), ("If-Match", &arguments.if_match)];
    headers.extend(stated.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
    if arguments.all {
        return all(client, &path, &headers, out);
    }
    match client.send_any(arguments.method.as_str(), &path, &headers, body) {
        Ok(answer) => print(answer, arguments.include, out),
        // It is an answer like others, and an error.
        Err(ClientError::Refused(problem)) => {
            print_json(out, &problem)?;
            Err(ClientError::Refused(problem).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Below `/api/v1`, whether that was written or not.
fn path(text: &str) -> anyhow::Result<String> {
    if let Some(sign) = text.chars().find(|sign| !sign.is_ascii_graphic()) {
        bail!("the path has {sign:?}, which has to be percent-encoded, as a blank is %20: nothing was sent");
    }
    let below = text.strip_prefix("/api/v1").filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let below = below.unwrap_or(text);
    Ok(if below.starts_with('/') { format!("/api/v1{below}") } else { format!("/api/v1/{below}") })
}

fn body(file: &Path) -> anyhow::Result<Vec<u8>> {
    let name = if file == Path::new("-") { "standard input".into() } else { file.display().to_string() };
    let source: Box<dyn io::Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).with_context(|| format!("cannot read {name}"))?)
    };
    let mut bytes = Vec::new();
    source.take(MAX_BODY_BYTES + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > MAX_BODY_BYTES {
        bail!("{name} has more than {MAX_BODY_BYTES} bytes, which no route takes: nothing was sent");
    }
    Ok(bytes)
}

/// The parts of a list as one array.
fn all(client: &Client, path: &str, headers: &[(&str, &str)], out: &mut dyn Write) -> anyhow::Result<Ended> {
    let mut whole = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let mut answer = client.send_any("GET", &path, headers, None)?;
        next = super::client::next_of(&answer);
        let part: Vec<Value> = answer
            .body_mut()
            .with_config()
            .limit(super::client::MAX_ANSWER_BYTES)
            .read_json()
            .context("--all is for lists, and this path answers with none")?;
        next = next.filter(|_| !part.is_empty());
        whole.extend(part);
    }
    print_json(out, &whole)
}

/// As it came; for a person's eyes JSON is indented, and harmless for the terminal.
fn print(answer: Response, with_head: bool, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let (parts, body) = answer.into_parts();
    if with_head {
        writeln!(out, "HTTP/1.1 {}", parts.status)?;
        for (name, value) in &parts.headers {
            writeln!(out, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        writeln!(out)?;
    }
    let is_json = parts.headers.get("content-type").is_some_and(|found| found == "application/json");
    let mut body = body.into_reader();
    if !(is_json && io::stdout().is_terminal()) {
        copy(&mut body, out)?;
        if is_json {
            writeln!(out)?;
        }
        return Ok(Ended::Done);
    }
    let mut text = String::new();
    body.read_to_string(&mut text).context("the answer broke off")?;
    let pretty = serde_json::from_str::<Value>(&text).map(|value| format!("{value:#}"));
    for line in printable_lines(&pretty.unwrap_or(text)) {
        writeln!(out, "{line}")?;
    }
    Ok(Ended::Done)
}

/// Each part at once: a stream of events has no end.
fn copy(body: &mut impl io::Read, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut part = vec![0; 64 * 1024];
    loop {
        match body.read(&mut part).context("the answer broke off")? {
            0 => return Ok(()),
            length => {
                out.write_all(part.get(..length).unwrap_or_default())?;
                out.flush()?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_the_api_however_it_is_written() {
        for (text, expected) in [
            ("/health", "/api/v1/health"),
            ("health", "/api/v1/health"),
            ("/api/v1/health", "/api/v1/health"),
            ("/api/v1?x", "/api/v1/?x"),
            ("/api/v12", "/api/v1/api/v12"),
            ("", "/api/v1/"),
        ] {
            assert_eq!(path(text).unwrap(), expected, "{text}");
        }
        for text in ["/groups/my group", "/a\nb", "/groups/é"] {
            assert!(path(text).unwrap_err().to_string().contains("percent-encoded"), "{text}");
        }
    }
}

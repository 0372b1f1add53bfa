//! Asks the center over its REST API. It must not print anything.

mod raw;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{LogIn, Problem};

/// Connecting and waiting for an answer; a stream of events may go on for longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// 100,000 gateways with some 500 bytes each, and room.
pub(crate) const MAX_ANSWER_BYTES: u64 = 256 * 1024 * 1024;

/// The token is some 40 characters.
const MAX_TOKEN_BYTES: u64 = 4096;

/// Why the center could not be asked, or did not do it. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No token.
    #[error(
        "cannot read the access token {}; the center writes it into its data folder when it starts: name that with --data-folder, or the file with --token-file",
        .0.display()
    )]
    Token(PathBuf, #[source] std::io::Error),
    /// Nobody answers.
    #[error(
        "no center answers at {url}: is `keros-center serve` running there? (--center, or KEROS_CENTER_URL, names another)"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// HTTP 401.
    #[error("the center at {url} does not accept the access token in {}: it is another center's, or an old one", .token_file.display())]
    Unauthorised {
        /// Where.
        url: String,
        /// The file.
        token_file: PathBuf,
    },
    /// The center said no.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// What was to be sent.
    #[error("what was to be uploaded is damaged")]
    Content(#[source] std::io::Error),
    /// A path or a header that cannot be sent.
    #[error("this cannot be sent ({0}): look at the path, the address after --center, and the headers")]
    Request(String),
    /// An answer that is not the API's.
    #[error("{url} answered something else than a keros-center does ({detail}): is it one, of this version?")]
    Odd {
        /// Where.
        url: String,
        /// What.
        detail: String,
    },
}

/// A center.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    url: String,
    token_file: PathBuf,
    token: String,
    agent: ureq::Agent,
}

impl Client {
    /// Reads the token; nothing is asked yet.
    ///
    /// # Errors
    /// When the token cannot be read.
    pub(crate) fn new(url: &str, token_file: &Path) -> Result<Self, ClientError> {
        let token =
            read_token(token_file).map_err(|error| ClientError::Token(token_file.to_owned(), error))?;
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(ANSWER_LIMIT))
            .timeout_recv_response(Some(ANSWER_LIMIT))
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            token_file: token_file.to_owned(),
            token,
            agent,
        })
    }

    /// `GET`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let url = self.path(path);
        let answer = self.agent.get(&url).header("Authorization", self.bearer()).call();
        self.json(answer)
    }

    /// `GET` of a list that comes in parts: each `Link` header (RFC 8288) with `rel="next"` leads to the next one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn get_all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ClientError> {
        self.get_some(path, usize::MAX)
    }

    /// The same, so many at most.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn get_some<T: DeserializeOwned>(
        &self,
        path: &str,
        most: usize,
    ) -> Result<Vec<T>, ClientError> {
        let mut all = Vec::new();
        let mut next = Some(format!("/api/v1{path}"));
        while let Some(path) = next.filter(|_| all.len() < most) {
            let url = format!("{}{path}", self.url);
            let answer = self.checked(self.agent.get(&url).header("Authorization", self.bearer()).call())?;
            next = next_of(&answer);
            let part: Vec<T> = self.json(Ok(answer))?;
            // A part without anything in it would lead on for ever.
            next = next.filter(|_| !part.is_empty());
            all.extend(part);
        }
        all.truncate(most);
        Ok(all)
    }

    /// `POST` with a body.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let url = self.path(path);
        let answer = self.agent.post(&url).header("Authorization", self.bearer()).send_json(body);
        self.json(answer)
    }

    /// `PATCH` with a body.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let url = self.path(path);
        let answer = self.agent.patch(&url).header("Authorization", self.bearer()).send_json(body);
        self.json(answer)
    }

    /// `POST` without a body that answers with something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn post_nothing<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let url = self.path(path);
        self.json(self.agent.post(&url).header("Authorization", self.bearer()).send_empty())
    }

    /// `GET` of text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let url = self.path(path);
        let answer = self.agent.get(&url).header("Authorization", self.bearer()).call();
        let mut answer = self.checked(answer)?;
        let text = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string();
        text.map_err(|error| ClientError::Odd { url: self.url.clone(), detail: error.to_string() })
    }

    /// Logs in: a client that asks as this user, until its session ends.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn log_in(&self, login: String, password: String) -> Result<Self, ClientError> {
        let url = self.path("/session");
        let answer = self.agent.post(&url).send_json(LogIn { login, password });
        let mut answer = answer
            .map_err(|source| ClientError::Unreachable { url: self.url.clone(), source: Box::new(source) })?;
        let odd = |detail: &str| ClientError::Odd { url: self.url.clone(), detail: detail.to_owned() };
        if !answer.status().is_success() {
            let problem = answer.body_mut().read_json::<Problem>();
            return Err(problem.map_or_else(|_| odd("no problem details"), ClientError::Refused));
        }
        let cookie = answer.headers().get("set-cookie").and_then(|value| value.to_str().ok());
        let secret = cookie.and_then(|cookie| cookie.split([';', '=']).nth(1));
        let token = secret.ok_or_else(|| odd("no session"))?.to_owned();
        Ok(Self { token, ..self.clone() })
    }

    /// The center's address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// `POST` without a body; an answer is not looked at.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn post_empty(&self, path: &str) -> Result<(), ClientError> {
        let url = self.path(path);
        let answer = self.agent.post(&url).header("Authorization", self.bearer()).send_empty();
        self.checked(answer).map(drop)
    }

    /// `PUT` without a body.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn put_empty(&self, path: &str) -> Result<(), ClientError> {
        let url = self.path(path);
        let answer = self.agent.put(&url).header("Authorization", self.bearer()).send_empty();
        self.checked(answer).map(drop)
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn delete(&self, path: &str) -> Result<(), ClientError> {
        let url = self.path(path);
        let answer = self.agent.delete(&url).header("Authorization", self.bearer()).call();
        self.checked(answer).map(drop)
    }

    /// `DELETE` that answers with something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn remove<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let url = self.path(path);
        self.json(self.agent.delete(&url).header("Authorization", self.bearer()).call())
    }

    /// `GET` of a stream of server-sent events.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn events(&self, path: &str) -> Result<Events, ClientError> {
        let url = self.path(path);
        let request =
            self.agent.get(&url).header("Authorization", self.bearer()).header("Accept", "text/event-stream");
        let answer = self.checked(request.call())?;
        Ok(Events { lines: Box::new(BufReader::new(answer.into_body().into_reader())) })
    }

    fn path(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.url)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    fn json<T: DeserializeOwned>(&self, answer: Answer) -> Result<T, ClientError> {
        let mut answer = self.checked(answer)?;
        answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_json()
            .map_err(|error| ClientError::Odd { url: self.url.clone(), detail: error.to_string() })
    }

    fn checked(&self, answer: Answer) -> Result<Response, ClientError> {
        let url = || self.url.clone();
        let mut answer =
            answer.map_err(|error| ClientError::Unreachable { url: url(), source: Box::new(error) })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        if status == 401 {
            return Err(ClientError::Unauthorised { url: url(), token_file: self.token_file.clone() });
        }
        let problem = answer.body_mut().read_json::<Problem>();
        Err(problem.map_or_else(
            |_| ClientError::Odd { url: url(), detail: format!("HTTP status {status}") },
            ClientError::Refused,
        ))
    }
}

/// What was answered.
pub(crate) type Response = ureq::http::Response<ureq::Body>;

type Answer = Result<Response, ureq::Error>;

/// The path of the next part of a list, if this is not the last one.
pub(crate) fn next_of(answer: &Response) -> Option<String> {
    answer.headers().get("link").and_then(|link| next_part(link.to_str().ok()?))
}

/// The path in `</path>; rel="next"`.
fn next_part(link: &str) -> Option<String> {
    let (path, parameters) = link.strip_prefix('<')?.split_once('>')?;
    (path.starts_with('/') && parameters.contains("rel=\"next\"")).then(|| path.to_owned())
}

fn read_token(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_TOKEN_BYTES).read_to_string(&mut text)?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(std::io::Error::other("it holds no token"));
    }
    Ok(token.to_owned())
}

/// A name as one part of a path (RFC 3986, section 2.1).
pub(crate) fn path_part(name: &str) -> String {
    use std::fmt::Write as _;
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// Server-sent events as they come.
pub(crate) struct Events {
    lines: Box<dyn BufRead + Send>,
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerEvent {
    /// Its type; `message` when none was stated.
    pub(crate) kind: String,
    /// Its data.
    pub(crate) data: String,
}

/// An event is one view as JSON; the whole view of an update has no gateways in it.
const MAX_EVENT_BYTES: usize = 64 * 1024 * 1024;

impl Events {
    /// The next event; `None` at the end of the stream.
    ///
    /// # Errors
    /// When the connection is lost, or an event is absurdly large.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<ServerEvent>> {
        let mut event = ServerEvent { kind: String::new(), data: String::new() };
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() && !event.data.is_empty() {
                event.data.pop();
                if event.kind.is_empty() {
                    event.kind.push_str("message");
                }
                return Ok(Some(event));
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.kind),
                "data" => {
                    event.data.push_str(value);
                    event.data.push('\n');
                }
                _ => {}
            }
            if event.data.len() > MAX_EVENT_BYTES {
                return Err(std::io::Error::other("an event is too large"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_apart() {
        let text =
            ": hello\n\nevent: gateway\ndata: {\"a\":1}\n\nid: 5\ndata: x\ndata: y\r\n\r\nevent: cut off\n";
        let mut events = Events { lines: Box::new(text.as_bytes()) };
        let event = |kind: &str, data: &str| ServerEvent { kind: kind.to_owned(), data: data.to_owned() };
        assert_eq!(events.next().unwrap(), Some(event("gateway", "{\"a\":1}")));
        assert_eq!(events.next().unwrap(), Some(event("message", "x\ny")));
        assert_eq!(events.next().unwrap(), None);
    }

    #[test]
    fn the_next_part_of_a_list_is_on_the_same_center() {
        assert_eq!(
            next_part("</api/v1/gateways?after=1>; rel=\"next\""),
            Some("/api/v1/gateways?after=1".to_owned())
        );
        assert_eq!(next_part("<https://elsewhere/>; rel=\"next\""), None);
        assert_eq!(next_part("</x>; rel=\"prev\""), None);
    }

    #[test]
    fn a_name_stays_one_part_of_the_path() {
        assert_eq!(path_part("north/../a b?é"), "north%2F..%2Fa%20b%3F%C3%A9");
    }

    #[test]
    fn each_failure_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("api-token");
        let error = Client::new("http://127.0.0.1:9", &token).unwrap_err().to_string();
        assert!(error.contains("--token-file"), "{error}");
        std::fs::write(&token, "secret\n").unwrap();
        // Port 9 of the loopback interface has no listener.
        let client = Client::new("http://127.0.0.1:9/", &token).unwrap();
        let error = client.get::<serde_json::Value>("/gateways").unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }));
        assert!(error.to_string().contains("keros-center serve"), "{error}");
    }
}

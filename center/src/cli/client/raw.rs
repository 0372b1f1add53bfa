//! Bytes to and from the center: blobs and manifests.

use std::io::{self, Read};

use keros_protocol::magic_link::Digest;
use serde::de::DeserializeOwned;
use ureq::SendBody;

use super::{Client, ClientError, Response};
use crate::bundle::{BundleError, Remote};

impl Client {
    /// Any request to a path that begins with `/api/v1`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn send_any(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Response, ClientError> {
        let url = format!("{}{path}", self.url);
        let begin =
            ureq::http::Request::builder().method(method).uri(url).header("Authorization", self.bearer());
        let request = headers.iter().fold(begin, |request, (name, value)| request.header(*name, *value));
        let odd = |error: ureq::http::Error| ClientError::Request(error.to_string());
        let answer = match body {
            Some(bytes) => self.agent.run(request.body(bytes).map_err(odd)?),
            None => self.agent.run(request.body(()).map_err(odd)?),
        };
        self.checked(answer)
    }

    /// `HEAD`: whether it is there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn has(&self, path: &str) -> Result<bool, ClientError> {
        let answer = self.agent.head(&self.path(path)).header("Authorization", self.bearer()).call();
        match answer {
            Ok(answer) if answer.status() == 404 => Ok(false),
            answer => self.checked(answer).map(|_| true),
        }
    }

    /// `GET` of what is read as it comes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn get_stream(&self, path: &str) -> Result<Box<dyn Read>, ClientError> {
        let request = self.agent.get(&self.path(path)).header("Authorization", self.bearer());
        Ok(Box::new(self.checked(request.call())?.into_body().into_reader()))
    }

    /// `PUT` of so many bytes; an answer is not looked at.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn put_stream(
        &self,
        path: &str,
        bytes: u64,
        content: &mut dyn Read,
    ) -> Result<(), ClientError> {
        let request = self.agent.put(&self.path(path)).header("Authorization", self.bearer());
        let request = request.header("Content-Length", bytes).content_type("application/octet-stream");
        match request.send(SendBody::from_reader(content)) {
            // Of the content's reader, not of the connection.
            Err(ureq::Error::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Err(ClientError::Content(error))
            }
            answer => self.checked(answer).map(drop),
        }
    }

    /// `POST` of a few bytes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        media_type: &str,
        content: &[u8],
    ) -> Result<T, ClientError> {
        let request = self.agent.post(&self.path(path)).header("Authorization", self.bearer());
        self.json(request.content_type(media_type).send(content))
    }

    /// `PUT` of a few bytes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn put_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        media_type: &str,
        content: &[u8],
    ) -> Result<T, ClientError> {
        let request = self.agent.put(&self.path(path)).header("Authorization", self.bearer());
        self.json(request.content_type(media_type).send(content))
    }
}

/// A center's blobs, for [`crate::bundle`].
impl Remote for Client {
    fn name(&self) -> String {
        format!("the center at {}", self.url)
    }

    fn manifest(&self, digest: Digest) -> Result<Box<dyn Read>, BundleError> {
        self.blob(digest)
    }

    fn blob(&self, digest: Digest) -> Result<Box<dyn Read>, BundleError> {
        let content = self.get_stream(&format!("/blobs/{digest}"));
        let what = || format!("{digest} from {}", self.name());
        content.map_err(|error| BundleError::Remote { what: what(), source: Box::new(error) })
    }
}

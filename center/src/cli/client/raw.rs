//! Bytes to and from the center: blobs and manifests.

use std::io::Read;

use serde::de::DeserializeOwned;
use ureq::SendBody;

use super::{Client, ClientError};

impl Client {
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
    #[expect(dead_code, reason = "the export uses it next")]
    pub(crate) fn get_stream(&self, path: &str) -> Result<impl Read + use<>, ClientError> {
        let request = self.agent.get(&self.path(path)).header("Authorization", self.bearer());
        Ok(self.checked(request.call())?.into_body().into_reader())
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
        self.checked(request.send(SendBody::from_reader(content))).map(drop)
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

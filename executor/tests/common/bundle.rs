//! A Magic Link as an agent would have it: the blobs in a folder, and the command that names it.

use std::path::{Path, PathBuf};

use keros_protocol::executor::{Event, Request};
use keros_protocol::magic_link::{BundleFile, Descriptor, Digest, LinkConfig, Manifest};
use keros_protocol::{Command, Job};

use super::{Gateway, command, line};

/// What the agent would have fetched.
pub struct Link {
    /// Its hash.
    pub digest: Digest,
    /// Its parts.
    pub manifest: Manifest,
    /// Above `blobs/sha256`.
    pub folder: PathBuf,
}

/// A file's title, content, and whether it is a program.
pub type File<'a> = (&'a str, &'a [u8], bool);

impl Link {
    /// Puts it into a folder of the gateway's; the playbook is `site.yml`.
    pub fn make(gateway: &Gateway, files: &[File<'_>]) -> Self {
        Self::with_config(gateway, files, r#"{"name":"test","gateways":["7076FF*"],"playbook":"site.yml"}"#)
    }

    pub fn with_config(gateway: &Gateway, files: &[File<'_>], config: &str) -> Self {
        let folder = gateway.path("given");
        std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        let put = |content: &[u8]| {
            let digest = Digest::of(content);
            std::fs::write(folder.join("blobs/sha256").join(digest.hex()), content).unwrap();
            Descriptor { digest, size: content.len() as u64 }
        };
        LinkConfig::parse(config.as_bytes()).unwrap();
        let config = put(config.as_bytes());
        let files = files.iter().map(|(title, content, executable)| BundleFile {
            title: title.parse().unwrap(),
            blob: put(content),
            executable: *executable,
        });
        let manifest = Manifest { config, files: files.collect() };
        let digest = put(&manifest.to_bytes()).digest;
        Self { digest, manifest, folder }
    }

    /// Where the agent has this blob.
    pub fn blob(&self, digest: Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    /// Where the agent has the file of this title.
    pub fn file(&self, title: &str) -> PathBuf {
        let found = self.manifest.files.iter().find(|file| file.title.as_str() == title).unwrap();
        self.blob(found.blob.digest)
    }

    /// Where the executor has its copy.
    pub fn copy(&self, gateway: &Gateway) -> PathBuf {
        gateway.path("state/bundles").join(self.digest.hex())
    }

    pub fn command(&self, number: u16) -> Command {
        let job = Job::MagicLink { digest: self.digest, source: String::new(), token: None };
        Command { job, ..command(number, "") }
    }

    pub fn request(&self, gateway: &Gateway, command: &Command) -> Vec<u8> {
        request(gateway, command, Some(&self.folder))
    }

    pub fn run(&self, gateway: &Gateway, command: &Command) -> Vec<Event> {
        gateway.session(&self.request(gateway, command)).events()
    }
}

pub fn request(gateway: &Gateway, command: &Command, folder: Option<&Path>) -> Vec<u8> {
    let bundle = folder.map(Path::to_owned);
    line(&Request::Run { envelope: gateway.envelope(command), statement: None, bundle })
}

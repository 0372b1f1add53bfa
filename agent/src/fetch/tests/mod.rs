//! Fetching over real sockets from servers that do all that servers do.

mod bundle;
mod damaged;
mod elsewhere;
mod folder;
mod hostile;
mod resume;
pub(crate) mod secure;
pub(crate) mod server;
mod space;

use std::path::{Path, PathBuf};

use keros_machine::TimeJudge;
use keros_platform::IdentityOverride;
use keros_protocol::{RefusalReason, UnixSeconds};

use super::*;
use crate::clock::Clock;
use bundle::Bundle;
use server::Server;

const NOW_UNIX_S: UnixSeconds = 1_800_000_000;

/// A gateway's fetcher, on a folder of its own.
struct Gateway {
    folder: tempfile::TempDir,
    fetcher: Fetcher,
    events: mpsc::Receiver<FetchEvent>,
    commands: u128,
}

impl Gateway {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Means)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (fetcher, events) = fetcher(folder.path(), change);
        Self { folder, fetcher, events, commands: 0 }
    }

    /// The process is lost and begun anew.
    fn restart(&mut self) {
        (self.fetcher, self.events) = fetcher(self.folder.path(), |_| {});
    }

    fn order(&mut self, bundle: &Bundle, server: &Server) -> Order {
        self.commands += 1;
        self.order_again(bundle, server)
    }

    fn order_again(&self, bundle: &Bundle, server: &Server) -> Order {
        let source = format!("http://{}/v2/links", server.address);
        Order {
            command_id: CommandId(uuid::Uuid::from_u128(self.commands)),
            digest: bundle.digest,
            source: Some(source.parse().unwrap()),
            token: None,
            now_unix_s: NOW_UNIX_S,
            open: vec![bundle.digest],
            rehash: false,
        }
    }

    /// One attempt to its end.
    fn attempt(&mut self, order: Order) -> FetchEnd {
        assert_eq!(self.fetcher.start(order), None);
        self.end()
    }

    fn end(&mut self) -> FetchEnd {
        loop {
            let event = self.events.blocking_recv().unwrap();
            if let Some((_, end)) = self.fetcher.heard(event) {
                return end;
            }
        }
    }

    /// One attempt for a new command.
    fn fetch(&mut self, bundle: &Bundle, server: &Server) -> FetchEnd {
        let order = self.order(bundle, server);
        self.attempt(order)
    }

    fn blobs(&self) -> PathBuf {
        self.folder.path().join("bundles/blobs/sha256")
    }

    fn part(&self, digest: Digest) -> PathBuf {
        self.folder.path().join("bundles/partial").join(digest.hex())
    }

    fn note(&self, digest: Digest) -> PathBuf {
        self.folder.path().join("bundles/partial").join(format!("{}.durable", digest.hex()))
    }

    fn has(&self, digest: Digest) -> bool {
        self.blobs().join(digest.hex()).exists()
    }

    fn parts(&self) -> Vec<String> {
        let folder = self.folder.path().join("bundles/partial");
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn fetcher(folder: &Path, change: impl FnOnce(&mut Means)) -> (Fetcher, mpsc::Receiver<FetchEvent>) {
    let root = folder.join("root");
    let boot = root.join("proc/sys/kernel/random");
    std::fs::create_dir_all(&boot).unwrap();
    if !boot.join("boot_id").exists() {
        std::fs::write(boot.join("boot_id"), "boot-1\n").unwrap();
    }
    let identity = IdentityOverride {
        eui: Some("7076FF0056070123".parse().unwrap()),
        codename: Some("wiis".to_owned()),
        keros_version: Some("6.3.1".parse().unwrap()),
    };
    let settings =
        MagicLinkSettings { allow_http: true, max_mib: 512, keep_mib: 64, ..MagicLinkSettings::default() };
    let store = Arc::new(BlobStore::new(folder.join("bundles"), &root));
    let identity = Identity::read(&root, &identity, None).unwrap();
    let time = SharedTime::new(Clock::new(), TimeJudge::new(NOW_UNIX_S));
    let mut means = Means::new(store, settings, identity, time);
    change(&mut means);
    let (sender, events) = mpsc::channel(4);
    (Fetcher::new(means, sender), events)
}

fn refused(end: FetchEnd) -> (RefusalReason, String) {
    match end {
        FetchEnd::Refused { reason, detail } => (reason, detail),
        other => panic!("{other:?}"),
    }
}

/// The message, and whether it progressed.
fn failed(end: FetchEnd) -> (String, bool) {
    match end {
        FetchEnd::Failed { message, progressed } => (message, progressed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bundle_is_fetched_whole_and_read_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let bundle = Bundle::of_length(300_000);
    let served = bundle.clone();
    let server = Server::start(move |asked, stream, counts| served.serve(asked, stream, counts));
    let mut gateway = Gateway::new();
    assert_eq!(gateway.fetch(&bundle, &server), FetchEnd::Complete);
    for (digest, content) in bundle.blobs.iter().chain([(&bundle.digest, &bundle.manifest)]) {
        let path = gateway.blobs().join(digest.hex());
        assert_eq!(&std::fs::read(&path).unwrap(), content);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o444);
    }
    assert_eq!(gateway.parts(), [] as [String; 0]);
    assert_eq!(server.paths().len(), 4, "manifest, config and two files: {:?}", server.paths());
    let identity = |asked: &server::Asked| asked.headers["accept-encoding"] == "identity";
    assert!(server.asked().iter().all(identity));
    // What is there is not asked for again, also for another command and after a restart.
    gateway.restart();
    assert_eq!(gateway.fetch(&bundle, &server), FetchEnd::Complete);
    assert_eq!(server.paths().len(), 4);
}

#[test]
fn what_the_disk_has_forgotten_is_fetched_again() {
    let bundle = Bundle::of_length(300_000);
    let served = bundle.clone();
    let server = Server::start(move |asked, stream, counts| served.serve(asked, stream, counts));
    let mut gateway = Gateway::new();
    assert_eq!(gateway.fetch(&bundle, &server), FetchEnd::Complete);
    let path = gateway.blobs().join(bundle.data().hex());
    let mut content = std::fs::read(&path).unwrap();
    content[1000] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &content).unwrap();
    let order = gateway.order_again(&bundle, &server);
    assert_eq!(gateway.attempt(order.clone()), FetchEnd::Complete);
    assert_eq!(server.paths().len(), 4, "it is hashed once for each order");
    assert_eq!(gateway.attempt(Order { rehash: true, ..order }), FetchEnd::Complete);
    assert_eq!(server.paths().len(), 5);
    assert_eq!(Digest::of(&std::fs::read(&path).unwrap()), bundle.data());
}

#[test]
fn what_a_technician_brings_is_complete_or_not_found() {
    let bundle = Bundle::of_length(1000);
    let mut gateway = Gateway::new();
    let server = Server::start(|_, _, _| server::cut());
    let order = Order { source: None, ..gateway.order(&bundle, &server) };
    assert_eq!(refused(gateway.attempt(order.clone())).0, RefusalReason::NotFound);
    std::fs::create_dir_all(gateway.blobs()).unwrap();
    let all = bundle.blobs.iter().chain([(&bundle.digest, &bundle.manifest)]);
    for (digest, content) in all {
        std::fs::write(gateway.blobs().join(digest.hex()), content).unwrap();
    }
    assert_eq!(gateway.attempt(order.clone()), FetchEnd::Complete);
    std::fs::write(gateway.blobs().join(bundle.data().hex()), bundle::bytes(1000, 8)).unwrap();
    let order = Order { rehash: true, ..order };
    assert_eq!(refused(gateway.attempt(order)).0, RefusalReason::NotFound);
    assert_eq!(server.paths(), [] as [String; 0]);
}

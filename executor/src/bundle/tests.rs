//! Folders that an agent could bring, without a session around.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use keros_protocol::magic_link::{Digest, LinkGateway};
use keros_protocol::{Eui, RefusalReason};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{Bundle, Offer, Store, Trouble};
use crate::state::State;

/// A link in a folder, and an executor's state beside it.
struct Bench {
    folder: tempfile::TempDir,
    state: State,
    given: keros_test_bundle::Bundle,
}

const CONFIG: &str = r#"{"name":"x","gateways":["7076FF*"],"playbook":"site.yml"}"#;
const FILES: [(&str, &[u8]); 4] = [
    ("site.yml", b"- name: x\n  groups: [all]\n"),
    ("files/a", b"the same"),
    ("files/deep/er/b", b"the same"),
    ("files/empty", b""),
];

impl Bench {
    fn new() -> Self {
        Self::with(CONFIG, &FILES)
    }

    fn with(config: &str, files: &[(&str, &[u8])]) -> Self {
        // Thousands of copies are made here, and each is synced: in memory that takes no time.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let files = files.iter().map(|(title, content)| (*title, *content, false));
        let given = folder.path().join("given");
        let given = keros_test_bundle::Bundle::with_config(&given, config, files).unwrap();
        let state = State::open(&folder.path().join("state")).unwrap();
        Self { folder, state, given }
    }

    fn file(&self, title: &str) -> PathBuf {
        self.given.file(title)
    }

    fn store(&self) -> Store<'_> {
        Store::of(self.state.disk(), self.state.folder())
    }

    fn offer_from(&self, folder: Option<&Path>) -> Result<Offer, Trouble> {
        let eui = Eui::from_u64(0x7076_FF00_5607_0123);
        let gateway = LinkGateway { eui, keros: None, model: None, now_unix_s: 1_795_000_000 };
        Offer::read(folder, self.given.digest, &gateway)
    }

    fn take(&self) -> Result<Bundle, Trouble> {
        self.store().take(&self.state, &self.offer_from(Some(&self.given.layout))?)
    }

    /// The refusal, after which nothing is left of a copy.
    fn refusal(&self, taken: Result<Bundle, Trouble>) -> (RefusalReason, String) {
        let left = std::fs::read_dir(self.state.folder().join("bundles")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "something is left of the copy");
        match taken {
            Err(Trouble::Refused(refusal)) => {
                let folder = self.folder.path().to_str().unwrap();
                assert!(!refusal.detail.contains(folder), "{}", refusal.detail);
                (refusal.reason, refusal.detail)
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_copy_has_each_file_by_its_title_and_is_taken_again_without_the_agents() {
    let bench = Bench::new();
    let bundle = bench.take().unwrap();
    for (title, content) in FILES {
        assert_eq!(std::fs::read(bundle.files.join(title)).unwrap(), content);
    }
    let offer = bench.offer_from(Some(&bench.given.layout)).unwrap();
    std::fs::remove_file(bench.file("files/a")).unwrap();
    assert!(bench.store().take(&bench.state, &offer).is_ok());
    // What has rotted is copied once more, and then it is missed.
    std::fs::remove_file(bundle.files.join("files/a")).unwrap();
    let taken = bench.store().take(&bench.state, &offer);
    assert_eq!(bench.refusal(taken).0, RefusalReason::NotFound);
}

#[test]
fn each_flipped_bit_of_manifest_and_config_is_refused() {
    let bench = Bench::new();
    for digest in [bench.given.digest, bench.given.manifest.config.digest] {
        let file = File::options().read(true).write(true).open(bench.given.blob(digest)).unwrap();
        for at in 0..file.metadata().unwrap().len() {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            for bit in 0..8 {
                file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
                assert_eq!(bench.refusal(bench.take()).0, RefusalReason::DigestMismatch, "byte {at}");
            }
            file.write_all_at(&byte, at).unwrap();
        }
    }
    assert!(bench.take().is_ok());
}

#[test]
fn a_thousand_flipped_bits_of_the_files_are_refused() {
    let large: Vec<u8> = (0..40_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let bench =
        Bench::with(CONFIG, &[("site.yml", FILES[0].1), ("files/a", FILES[1].1), ("files/large", &large)]);
    let mut random = 1_u64;
    let mut next = |below: u64| {
        // Knuth's MMIX generator; its high bits are good enough to choose places.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for n in 0..1000 {
        let title = ["site.yml", "files/a", "files/large"][n % 3];
        let file = File::options().read(true).write(true).open(bench.file(title)).unwrap();
        let (at, bit) = (next(file.metadata().unwrap().len()), next(8));
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
        let (reason, detail) = bench.refusal(bench.take());
        assert_eq!(reason, RefusalReason::DigestMismatch);
        assert!(detail.starts_with(title), "{detail}");
        file.write_all_at(&byte, at).unwrap();
    }
    assert!(bench.take().is_ok());
}

#[test]
fn no_link_is_followed_below_the_folder_and_one_above_it_may_be() {
    let bench = Bench::new();
    let given = bench.given.layout.clone();
    let elsewhere = bench.folder.path().join("elsewhere");
    let part = |name: &str| given.join(name);
    for path in [
        given.clone(),
        part("blobs"),
        part("blobs/sha256"),
        bench.given.blob(bench.given.digest),
        bench.file("files/a"),
    ] {
        std::fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert_eq!(bench.refusal(bench.take()).0, RefusalReason::NotFound, "{path:?}");
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&elsewhere, &path).unwrap();
    }
    let above = bench.folder.path().join("above");
    symlink(bench.folder.path(), &above).unwrap();
    assert!(bench.offer_from(Some(&above.join("given"))).is_ok());
}

#[test]
fn a_folder_that_is_no_plain_absolute_path_or_no_folder_at_all_is_not_found() {
    let bench = Bench::new();
    let given = bench.given.layout.clone();
    let name = given.file_name().unwrap().to_owned();
    let long = Path::new("/").join("x".repeat(5000));
    for folder in [
        None,
        Some(PathBuf::from("given")),
        Some(PathBuf::from("")),
        Some(given.join("..").join(name)),
        Some(given.join("absent")),
        Some(bench.file("files/a")),
        Some(PathBuf::from("/dev/null")),
        Some(long),
    ] {
        let taken = bench.offer_from(folder.as_deref());
        assert!(matches!(taken, Err(Trouble::Refused(refusal)) if refusal.reason == RefusalReason::NotFound));
    }
}

#[test]
fn what_is_no_regular_file_is_not_found_and_holds_nobody_up() {
    let bench = Bench::new();
    for path in [
        bench.given.blob(bench.given.digest),
        bench.given.blob(bench.given.manifest.config.digest),
        bench.file("files/a"),
    ] {
        let content = std::fs::read(&path).unwrap();
        let made: [&dyn Fn(); 4] = [
            &|| mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap(),
            &|| std::fs::create_dir(&path).unwrap(),
            &|| drop(std::os::unix::net::UnixListener::bind(&path)),
            &|| symlink("/dev/zero", &path).unwrap(),
        ];
        for make in made {
            std::fs::remove_file(&path).unwrap();
            make();
            assert_eq!(bench.refusal(bench.take()).0, RefusalReason::NotFound, "{path:?}");
            if path.is_dir() { std::fs::remove_dir(&path) } else { std::fs::remove_file(&path) }.unwrap();
            std::fs::write(&path, &content).unwrap();
        }
    }
    assert!(bench.take().is_ok());
}

#[test]
fn another_length_is_refused_without_reading_and_a_long_manifest_as_too_large() {
    let bench = Bench::new();
    // A terabyte of holes: to read it would take longer than this test.
    let sparse = File::options().write(true).open(bench.file("files/a")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let (reason, detail) = bench.refusal(bench.take());
    assert_eq!(reason, RefusalReason::DigestMismatch);
    assert!(detail.contains("1099511627776 bytes instead of 8"), "{detail}");
    sparse.set_len(7).unwrap();
    assert_eq!(bench.refusal(bench.take()).0, RefusalReason::DigestMismatch);
    let config =
        File::options().write(true).open(bench.given.blob(bench.given.manifest.config.digest)).unwrap();
    config.set_len(1 << 40).unwrap();
    assert_eq!(bench.refusal(bench.take()).0, RefusalReason::DigestMismatch);
    let manifest = File::options().write(true).open(bench.given.blob(bench.given.digest)).unwrap();
    manifest.set_len(1 << 40).unwrap();
    assert_eq!(bench.refusal(bench.take()).0, RefusalReason::TooLarge);
}

/// Whatever comes of it: the copy has the right content, or there is none.
#[test]
fn a_file_that_changes_grows_and_shrinks_while_it_is_read_is_refused_or_right() {
    let large = vec![b'a'; 300_000];
    let bench = Bench::with(CONFIG, &[("site.yml", FILES[0].1), ("files/large", &large)]);
    let path = bench.file("files/large");
    let over = AtomicBool::new(false);
    let (mut refused, mut right) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = File::options().write(true).open(&path).unwrap();
            while !over.load(Ordering::Relaxed) {
                file.write_all_at(b"b", 299_999).unwrap();
                file.set_len(300_001).unwrap();
                file.seek(SeekFrom::Start(0)).unwrap();
                file.set_len(150_000).unwrap();
                file.write_all(&large).unwrap();
                file.set_len(300_000).unwrap();
            }
        });
        while refused < 20 || right < 1 {
            match bench.take() {
                Ok(bundle) => {
                    assert!(std::fs::read(bundle.files.join("files/large")).unwrap() == large);
                    bench.store().remove(bench.given.digest).unwrap();
                    right += 1;
                }
                taken => {
                    assert_eq!(bench.refusal(taken).0, RefusalReason::DigestMismatch);
                    refused += 1;
                }
            }
            if refused >= 20 {
                over.store(true, Ordering::Relaxed);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// The agent may name what it cannot read itself. A right digest shows that it knows the content; a wrong one tells it nothing.
#[test]
fn nothing_of_a_secret_behind_a_hard_link_is_told() {
    let bench = Bench::new();
    let secret = bench.folder.path().join("secret");
    std::fs::write(&secret, "password").unwrap();
    let path = bench.file("files/a");
    std::fs::remove_file(&path).unwrap();
    std::fs::hard_link(&secret, &path).unwrap();
    let (reason, detail) = bench.refusal(bench.take());
    assert_eq!(reason, RefusalReason::DigestMismatch);
    let found = Digest::of(b"password").hex();
    assert!(!detail.contains("password") && !detail.contains(&found[..8]), "{detail}");
}

#[test]
fn a_copy_that_was_never_completed_is_removed() {
    let bench = Bench::new();
    let unborn = bench.state.folder().join("bundles/.new-x/files");
    std::fs::create_dir_all(&unborn).unwrap();
    super::tidy(&bench.state, u64::MAX, None).unwrap();
    assert_eq!(std::fs::read_dir(bench.state.folder().join("bundles")).unwrap().count(), 0);
}

#[test]
fn a_copy_is_whole_or_refused_when_it_is_opened_again() {
    let bench = Bench::new();
    let files = bench.take().unwrap().files;
    let folder = files.parent().unwrap().to_owned();
    assert!(bench.store().open(bench.given.digest).is_ok());
    for path in [
        folder.join("manifest.json"),
        folder.join("config.json"),
        files.join("site.yml"),
        files.join("files/a"),
    ] {
        let content = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bench.store().open(bench.given.digest).unwrap_err().reason, RefusalReason::NotFound);
        let mut changed = content.clone();
        changed[3] ^= 4;
        for wrong in [changed, content[1..].to_vec(), [&content[..], b" "].concat()] {
            std::fs::write(&path, wrong).unwrap();
            assert_eq!(
                bench.store().open(bench.given.digest).unwrap_err().reason,
                RefusalReason::DigestMismatch
            );
        }
        std::fs::write(&path, content).unwrap();
    }
    std::fs::create_dir(files.join("roles")).unwrap();
    assert_eq!(bench.store().open(bench.given.digest).unwrap_err().reason, RefusalReason::DigestMismatch);
    std::fs::remove_dir(files.join("roles")).unwrap();
    assert!(bench.store().open(bench.given.digest).is_ok());
}

//! `keros-agent apply` and the daemon beside it, as processes: what is refused before anything is sent, and what is taken.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod daemon;

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use daemon::{Daemon, EUI, limited};
use keros_protocol::magic_link::Digest;
use keros_protocol::{Command, CommandId, Envelope, Job, JobLimits, JobOptions, SigningKey, UpdateId};
use keros_test_bundle::Bundle;
use serde_json::Value;

/// Nobody listens there.
const NO_PORT: u16 = 1;
const PLAYBOOK: &str = "- name: x\n  groups: [all]\n  tasks:\n    - !copy { content: new, dest: /etc/new }\n";

/// A stick with a Magic Link on it, and a daemon that knows the key of its command.
struct Stick {
    daemon: Daemon,
    folder: PathBuf,
    hash: Digest,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_pem(&SigningKey::pem_from_seed(&[seed; 32])).unwrap()
}

impl Stick {
    fn new(gateways: &str) -> Self {
        let daemon = Daemon::start(NO_PORT, &[]);
        let folder = daemon.folder.path().join("stick");
        fs::create_dir(&folder).unwrap();
        let public = key(1).public().to_pem();
        fs::write(daemon.folder.path().join("trust/command-a.pem"), public).unwrap();
        let files = [("site.yml", PLAYBOOK.as_bytes(), false), ("data", &[7; 100_000], false)];
        let config = format!(r#"{{"name":"x","gateways":["{gateways}"],"keros":"6","playbook":"site.yml"}}"#);
        let hash = Bundle::with_config(&folder.join("link"), &config, files).unwrap().digest;
        let stick = Self { daemon, folder, hash };
        stick.sign(|_| {});
        stick
    }

    fn link(&self) -> PathBuf {
        self.folder.join("link")
    }

    fn blob(&self, digest: Digest) -> PathBuf {
        self.link().join("blobs/sha256").join(digest.hex())
    }

    /// Packs the folder as a tar.
    fn tar(&self) -> PathBuf {
        let tar = self.folder.join("link.tar");
        tar_of(&self.link(), &tar, &["."]);
        tar
    }

    /// Writes the command file.
    fn sign(&self, change: impl FnOnce(&mut Command)) {
        let mut command = Command {
            command_id: CommandId(uuid::Uuid::from_u128(7)),
            update_id: UpdateId(uuid::Uuid::from_u128(8)),
            eui: EUI.parse().unwrap(),
            issued_at_unix_s: 1_800_000_000,
            expires_at_unix_s: 4_000_000_000,
            job: Job::MagicLink { digest: self.hash, source: String::new(), token: None },
            limits: JobLimits::default(),
            options: JobOptions::default(),
        };
        change(&mut command);
        let envelope = Envelope::sign(Envelope::COMMAND, &serde_json::to_vec(&command).unwrap(), &key(1));
        fs::write(self.command(), serde_json::to_vec(&envelope).unwrap()).unwrap();
    }

    fn command(&self) -> PathBuf {
        self.folder.join("command.json")
    }

    /// Exit code and all that is printed.
    fn apply(&self, path: &Path, hash: &str, more: &[&str]) -> (i32, String) {
        let (path, command) = (path.display().to_string(), self.command().display().to_string());
        let arguments = ["apply", &path, hash, "--command", &command];
        let output = self.daemon.ask(&[&arguments[..], more].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn refused(&self, path: &Path, words: &[&str]) {
        let (code, text) = self.apply(path, &self.hash.to_string(), &["--no-wait"]);
        assert_eq!(code, 65, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{words:?} in {text}");
        let bundles = self.daemon.folder.path().join("state/bundles");
        assert!(!bundles.exists(), "nothing was sent: {text}");
        let jobs = self.daemon.ask(&["jobs"]);
        assert!(
            String::from_utf8_lossy(&jobs.stdout)
                .starts_with("Open jobs: none\nEnded jobs, newest first: none")
        );
    }
}

fn tar_of(folder: &Path, tar: &Path, more: &[&str]) {
    let done = Program::new("tar").arg("-C").arg(folder).arg("-cf").arg(tar).args(more).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_link_in_a_folder_or_tar_is_taken_once() {
    let stick = Stick::new("7076FF*");
    let (code, text) = stick.apply(&stick.link(), &stick.hash.to_string(), &["--no-wait"]);
    assert!(text.contains("has taken the command 00000000-0000-0000-0000-000000000007"), "{code} {text}");
    let stored = |digest: Digest| {
        stick.daemon.folder.path().join("state/bundles/blobs/sha256").join(digest.hex()).exists()
    };
    assert!(
        stored(stick.hash) && stored(Digest::of(PLAYBOOK.as_bytes())) && stored(Digest::of(&[7; 100_000]))
    );

    assert!(!text.contains("confirm window"), "{text}");

    let (_, text) = stick.apply(&stick.tar(), &stick.hash.hex(), &["--no-wait", "--json"]);
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["status"], "duplicate", "{told:#}");
    assert_eq!(told["job"]["kind"], "magic_link", "{told:#}");
}

#[test]
fn a_confirm_window_without_a_link_is_told_of() {
    let stick = Stick::new("7076FF*");
    stick.sign(|command| command.options.confirm_window_s = 1800);
    let (_, text) = stick.apply(&stick.link(), &stick.hash.to_string(), &["--no-wait"]);
    assert!(text.contains("within 30 min of its end, it is undone"), "{text}");
}

#[test]
fn what_is_not_for_this_gateway_is_named_before_anything_is_sent() {
    let stick = Stick::new("7276FF*");
    stick.refused(&stick.link(), &["not_declared", EUI]);
    let stick = Stick::new("7076FF*");
    stick.sign(|command| command.eui = "7076FF0056070124".parse().unwrap());
    stick.refused(&stick.link(), &["is for the gateway 7076FF0056070124"]);
    stick.sign(|command| {
        command.job = Job::MagicLink { digest: Digest::of(b""), source: String::new(), token: None };
    });
    stick.refused(&stick.link(), &["is for the Magic Link sha256:e3b0c4"]);
    stick.sign(|command| {
        command.job = Job::JetPorch { script: "x".to_owned(), vars: serde_json::Map::new() };
    });
    stick.refused(&stick.link(), &["jetporch"]);
    stick.sign(|command| command.expires_at_unix_s = 1_700_000_000);
    stick.refused(&stick.link(), &["expired"]);
    for text in ["", "{}", "[5]"] {
        fs::write(stick.command(), text).unwrap();
        stick.refused(&stick.link(), &["is no signed command"]);
    }
    fs::remove_file(stick.command()).unwrap();
    stick.refused(&stick.link(), &["cannot be read", "No such file"]);
}

#[test]
fn an_altered_command_is_a_bad_signature() {
    let stick = Stick::new("7076FF*");
    let text = fs::read_to_string(stick.command()).unwrap();
    let mut envelope: Envelope = serde_json::from_str(&text).unwrap();
    let other = Envelope::sign(Envelope::COMMAND, &envelope.unverified_payload().unwrap(), &key(2));
    envelope.signatures[0].sig = other.signatures[0].sig.clone();
    fs::write(stick.command(), serde_json::to_vec(&envelope).unwrap()).unwrap();
    stick.refused(&stick.link(), &["bad_signature"]);
    // The good one is not spoiled by that.
    stick.sign(|_| {});
    let (_, text) = stick.apply(&stick.link(), &stick.hash.to_string(), &["--no-wait"]);
    assert!(text.contains("has taken the command"), "{text}");
}

#[test]
fn a_link_that_is_not_whole_or_was_changed_is_named() {
    let stick = Stick::new("7076FF*");
    let data = stick.blob(Digest::of(&[7; 100_000]));
    fs::write(&data, vec![8; 100_000]).unwrap();
    stick.refused(&stick.link(), &["of data was changed", "its digest is"]);
    stick.refused(&stick.tar(), &["of data was changed"]);
    fs::write(&data, vec![7; 99_999]).unwrap();
    stick.refused(&stick.link(), &["of data was changed", "99999 bytes instead of 100000"]);
    fs::remove_file(&data).unwrap();
    stick.refused(&stick.link(), &["of data is missing"]);
    stick.refused(&stick.tar(), &["of data is missing"]);
    std::os::unix::fs::symlink("/dev/zero", &data).unwrap();
    stick.refused(&stick.link(), &["cannot be read", "it is a link"]);
    stick.refused(&stick.tar(), &["is a link"]);
    fs::write(stick.blob(stick.hash), "{}").unwrap();
    stick.refused(&stick.link(), &["the manifest was changed"]);
    fs::remove_file(stick.blob(stick.hash)).unwrap();
    stick.refused(&stick.link(), &["is not in it"]);
    stick.refused(&stick.folder, &["no folder blobs/sha256/"]);
    stick.refused(Path::new("/nonexistent"), &["cannot be read", "No such file"]);
    stick.refused(Path::new("/dev/null"), &["neither a folder nor a file"]);
}

#[test]
fn a_tar_that_is_cut_hostile_or_none_is_named() {
    let stick = Stick::new("7076FF*");
    let tar = stick.tar();
    let whole = fs::read(&tar).unwrap();
    // In the middle of a file, of a header, and of a block.
    for length in [60_000, 100_700, whole.len() / 2 / 512 * 512, 1000, 100] {
        fs::write(&tar, &whole[..length]).unwrap();
        let (code, text) = stick.apply(&tar, &stick.hash.to_string(), &[]);
        assert_eq!(code, 65, "{length}: {text}");
        let named = ["not whole", "missing", "not in it", "no file below", "no plain tar"];
        assert!(named.iter().any(|word| text.contains(word)), "{length}: {text}");
    }
    let link = stick.link();
    for (more, word) in [
        (&["--transform=s,^blobs,../blobs,", "-P", "blobs"][..], "leaves its folder"),
        (&["--transform=s,^blobs,/blobs,", "-P", "blobs"], "leaves its folder"),
        (&["-z", "."], "no plain tar"),
    ] {
        tar_of(&link, &tar, more);
        stick.refused(&tar, &[word]);
    }
    nix::unistd::mkfifo(&link.join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    stick.refused(&stick.tar(), &["neither a file nor a folder"]);
    fs::remove_file(link.join("pipe")).unwrap();
    fs::write(&tar, "not a tar").unwrap();
    stick.refused(&tar, &["no plain tar"]);
}

/// Modes first; and a user whom a mode lets in is not root by that.
#[test]
fn only_root_may_bring_anything() {
    if !nix::unistd::geteuid().is_root() {
        return keros_skip::skipped("only root can be somebody else");
    }
    let stick = Stick::new("7076FF*");
    let folder = stick.daemon.folder.path();
    let program = folder.join("keros-agent");
    fs::copy(env!("CARGO_BIN_EXE_keros-agent"), &program).unwrap();
    let open =
        |name: &str, mode| fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
    open("", 0o755);
    open("run/status.sock", 0o666);
    let as_nobody = || {
        let mut command = limited(&program);
        command.uid(65534).gid(65534).arg("--config").arg(folder.join("config.yaml"));
        command
            .arg("apply")
            .arg(stick.link())
            .arg(stick.hash.hex())
            .arg("--command")
            .arg(stick.command())
            .arg("--no-wait");
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = as_nobody();
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("may not use") && text.contains("Use sudo"), "{text}");
    open("run/control.sock", 0o666);
    let (code, text) = as_nobody();
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("only root may use this socket"), "{text}");
}

#[test]
fn a_hash_is_64_digits_and_wrong_usage_is_64() {
    let stick = Stick::new("7076FF*");
    for hash in ["sha256:00", "x", &stick.hash.hex()[..63]] {
        let (code, text) = stick.apply(&stick.link(), hash, &[]);
        assert_eq!(code, 64, "{text}");
    }
}

#[test]
fn without_the_daemon_or_its_control_socket_the_technician_is_told_what_to_do() {
    let mut stick = Stick::new("7076FF*");
    fs::remove_file(stick.daemon.folder.path().join("run/control.sock")).unwrap();
    let (code, text) = stick.apply(&stick.link(), &stick.hash.to_string(), &[]);
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("control.sock"), "{text}");
    stick.daemon.process.kill().unwrap();
    stick.daemon.process.wait().unwrap();
    let (code, text) = stick.apply(&stick.link(), &stick.hash.to_string(), &[]);
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("not running") && text.contains("systemctl start"), "{text}");
}

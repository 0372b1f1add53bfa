//! `keros-center magic-link` against a real center, Debian's docker-registry (TLS, with a password) and skopeo: the hash is the same
//! wherever a link has been.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use keros_tests::{
    Broker, Center, Pki, Process, free_port, keros_program, run, run_ok, system_program, wait_for,
};
use serde_json::{Value, json};

const EUI: &str = "7076FF0056070123";
const OTHER: &str = "7276FF0056070124";
/// bcrypt of `sesame-7`, as htpasswd writes it.
const HTPASSWD: &str = "ci:$2b$04$Y9CpiR66b3saIAf9pBmQfeWDDuUFLKi4v3kEBReswr7l6.ni7zzfS\n";
const PLAYBOOK: &str = "- name: a play\n  groups:\n    - all\n  roles:\n    - { role: base }\n  tasks:\n    - !copy\n      src: large\n      dest: /etc/large\n";

/// A folder with a role, a program and three megabytes.
fn input(folder: &Path) -> Result<PathBuf> {
    let input = folder.join("in");
    let large: String = (0..300_000).map(|number| format!("{number:9}\n")).collect();
    for (title, content) in [
        ("site.yml", PLAYBOOK),
        ("files/large", &large),
        ("roles/base/role.yml", "name: base\ntasks:\n  - main.yml\n"),
        ("roles/base/tasks/main.yml", "- !echo\n  msg: hello\n"),
    ] {
        let path = input.join(title);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(path, content)?;
    }
    Ok(input)
}

struct Registry {
    port: u16,
    _process: Process,
}

impl Registry {
    fn start(folder: &Path, pki: &Pki) -> Result<Self> {
        let port = free_port()?;
        let (certificate, key) = pki.issue("registry", "localhost")?;
        let users = folder.join("htpasswd");
        fs::write(&users, HTPASSWD)?;
        let config = json!({
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": folder.join("registry")}},
            "auth": {"htpasswd": {"realm": "test", "path": users}},
            "http": {"addr": format!("127.0.0.1:{port}"), "tls": {"certificate": certificate, "key": key}},
        });
        let file = folder.join("registry.yml");
        fs::write(&file, config.to_string())?;
        let mut command = Command::new(system_program("docker-registry")?);
        let process = Process::start(command.arg("serve").arg(file), &folder.join("registry.log"))?;
        let connect = || Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        wait_for("docker-registry listens", connect)?;
        Ok(Self { port, _process: process })
    }

    fn skopeo(&self, from: &str, to: &str) -> Result<()> {
        let with = ["--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
        let login =
            if from.starts_with("docker:") { "--src-creds=ci:sesame-7" } else { "--dest-creds=ci:sesame-7" };
        run_ok(&system_program("skopeo")?, [&with[..], &[login, from, to]].concat()).map(drop)
    }
}

fn show(center: &Center, hash: &str) -> Result<Value> {
    Ok(serde_json::from_str(&center.command_line(&["magic-link", "show", hash, "--json"])?)?)
}

fn removed(center: &Center, hash: &str) -> Result<()> {
    center.command_line(&["magic-link", "remove", hash])?;
    assert!(center.command_line(&["magic-link", "show", hash]).is_err(), "it is gone");
    Ok(())
}

#[test]
fn a_link_keeps_its_hash_through_center_folder_tar_registry_and_skopeo() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let center = Center::start(&folder.path().join("center"), Broker::Embedded)?;
    let registry = Registry::start(folder.path(), &Pki::new(&folder.path().join("pki"))?)?;
    let input = input(folder.path())?.to_string_lossy().into_owned();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (layout, tar, back) = (path("layout"), path("link.tar"), path("back"));
    fs::write(path("gateways"), "7076ff* # north\n")?;
    fs::write(path("password"), "sesame-7\n")?;
    run_ok(&system_program("chmod")?, ["600", &path("password")])?;

    let create = ["magic-link", "create", &input, "--gateways", &path("gateways")];
    let made = run_ok(&keros_program("keros-center")?, [&create[..], &["--output", &layout]].concat())?;
    let hash = center.command_line(&create)?.trim().to_owned();
    assert_eq!(made.trim(), hash, "the hash alone is on standard output, with a center and without");
    assert_eq!(center.command_line(&create)?.trim(), hash, "a second time is no fault");
    assert!(center.command_line(&["magic-link"])?.contains(&hash));
    let view = show(&center, &hash[7..19])?;
    assert_eq!((view["digest"].as_str(), view["files"].as_array().map(Vec::len)), (Some(&*hash), Some(4)));
    assert_eq!(center.command_line(&["magic-link", "show", &hash, "--show-playbook"])?, PLAYBOOK);

    center.command_line(&["magic-link", "export", &hash, &tar])?;
    removed(&center, &hash)?;
    assert_eq!(center.command_line(&["magic-link", "import", &tar, &hash])?.trim(), hash);

    let with = ["--username", "ci", "--password-file", &path("password"), "--ca", &path("pki/ca.pem")];
    let place = format!("localhost:{}/keros/base", registry.port);
    let tag = format!("{place}:1.0");
    for _ in 0..2 {
        let pushed = center.command_line(&[&["magic-link", "push", &hash, &tag], &with[..]].concat())?;
        assert_eq!(pushed.trim(), hash);
    }
    for version in [tag.clone(), format!("{place}@{hash}")] {
        removed(&center, &hash)?;
        let pulled = center.command_line(&[&["magic-link", "pull", &version], &with[..]].concat())?;
        assert_eq!(pulled.trim(), hash, "{version}");
    }

    registry.skopeo(&format!("oci:{layout}"), &format!("docker://{place}-2:x"))?;
    registry.skopeo(&format!("docker://{place}-2:x"), &format!("oci:{back}"))?;
    removed(&center, &hash)?;
    assert_eq!(center.command_line(&["magic-link", "import", &back])?.trim(), hash);
    registry.skopeo(&format!("docker://{place}:1.0"), &format!("oci-archive:{}", path("archive.tar")))?;
    assert_eq!(center.command_line(&["magic-link", "import", &path("archive.tar")])?.trim(), hash);
    assert_eq!(show(&center, &hash)?["files"], view["files"]);

    for (arguments, words) in [
        (vec!["push", &hash, &tag, "--ca", &path("pki/ca.pem")], "does not allow it without a log-in"),
        (vec!["push", &hash, &tag], "cannot talk to the registry"),
        (vec!["pull", &tag, "--plain-http"], "answered"),
        (vec!["pull", &place], "name a version"),
        (vec!["import", &path("pki/ca.pem")], "is no OCI image layout"),
        (vec!["export", &hash, &tar], "exists"),
        (vec!["show", "00000000"], "00000000"),
    ] {
        let error = center.command_line(&[&["magic-link"], &arguments[..]].concat()).unwrap_err().to_string();
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
    let none = format!("{place}:none");
    let error =
        center.command_line(&[&["magic-link", "pull", &none], &with[..]].concat()).unwrap_err().to_string();
    assert!(error.contains("does not have keros/base:none"), "{error}");
    Ok(())
}

#[test]
fn a_link_is_sent_signed_and_collected() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let center = Center::start(&folder.path().join("center"), Broker::Embedded)?;
    let input = input(folder.path())?.to_string_lossy().into_owned();
    let hash =
        center.command_line(&["magic-link", "create", &input, "--gateway", "7076FF*"])?.trim().to_owned();
    for eui in [EUI, OTHER] {
        center.command_line(&["gateways", "declare", eui])?;
    }
    center.command_line(&["groups", "create", "north", "--gateways", &format!("{EUI},{OTHER}")])?;
    let view = center.command_line(&["magic-link", "show", &hash, "--group", "north"])?;
    assert!(view.contains("not declared: 7276FF0056070124"), "{view}");

    let command = folder.path().join("command.json").to_string_lossy().into_owned();
    center.command_line(&["magic-link", "sign", &hash, "--gateway", EUI, "--output", &command])?;
    let envelope: Value = serde_json::from_str(&fs::read_to_string(&command)?)?;
    assert!(envelope["payload"].is_string() && envelope["signatures"].is_array(), "{envelope}");

    let source = ["--source", "https://registry.example/v2/keros/base"];
    let send = ["update", "send", "--group", "north", "--magic-link", &hash, "--json"];
    let update: Value = serde_json::from_str(&center.command_line(&[&send[..], &source].concat())?)?;
    let id = update["update_id"].as_str().context("an id")?;
    let shown = center.command_line(&["update", "show", id])?;
    assert!(shown.contains(&hash), "{shown}");

    let error = center.command_line(&["magic-link", "remove", &hash]).unwrap_err().to_string();
    assert!(error.contains("update"), "{error}");
    let told = center.command_line(&["magic-link", "collect", "--older-than", "0"])?;
    assert_eq!(told, "Removed: 0 Magic Links, 0 blobs, 0 bytes.\n");

    let both = ["update", "send", "--group", "north", "--magic-link", &hash, "--script", "x.yml"];
    assert_eq!(run(&keros_program("keros-center")?, both)?.status.code(), Some(2));
    let nowhere = ["magic-link", "list", "--center", "http://127.0.0.1:9", "--data-folder"];
    let data = folder.path().join("center/data").to_string_lossy().into_owned();
    assert_eq!(
        run(&keros_program("keros-center")?, [&nowhere[..], &[&data]].concat())?.status.code(),
        Some(4)
    );
    Ok(())
}

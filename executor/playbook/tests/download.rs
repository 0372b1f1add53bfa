//! `download`: what arrives is what the digest says, or nothing; against a server that does all that servers do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod bench;
mod server;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::{Duration, Instant};

use bench::Bench;
use keros_protocol::Outcome;
use server::{Server, content, digest};

fn task(server: &Server, path: &str) -> String {
    format!("!download {{ url: '{}', dest: /f, digest: '{}' }}", server.url(path), digest(&content()))
}

/// The names in the tree's root.
fn names(bench: &Bench) -> Vec<String> {
    let entries = fs::read_dir(bench.root.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_fetched_once_and_given_what_was_asked_for() {
    let (server, mut bench) = (Server::start(), Bench::new());
    let task = task(&server, "/file").replace(" }", ", attributes: { mode: 0640 } }");
    assert_eq!(bench.one(&task), ("created", String::new()));
    assert_eq!(fs::read(bench.path("f")).unwrap(), content());
    assert_eq!(fs::metadata(bench.path("f")).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(bench.one(&task), ("matched", String::new()));
    fs::set_permissions(bench.path("f"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(bench.one(&task), ("modified", String::new()));
    assert_eq!(server.asked(), ["/file"], "a file that is there is not fetched");
    fs::write(bench.path("f"), "old").unwrap();
    assert_eq!(bench.one(&task), ("modified", String::new()));
    let change = bench.results[0].changes[0].clone();
    assert_eq!((change.before, change.after), (Some(digest(b"old")), Some(digest(&content()))));
    assert_eq!(names(&bench), ["f"]);
}

#[test]
fn a_broken_download_goes_on_where_it_ended() {
    let (server, mut bench) = (Server::start(), Bench::new());
    let (status, message) = bench.one(&task(&server, "/cut"));
    assert_eq!(status, "failed");
    assert!(message.contains("broken off after 100000 bytes, which are kept"), "{message}");
    assert_eq!(names(&bench), [".f.keros-part"]);
    assert_eq!(fs::metadata(bench.path(".f.keros-part")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(bench.one(&task(&server, "/file")).0, "created");
    assert_eq!(fs::read(bench.path("f")).unwrap(), content());
    assert_eq!(server.asked(), ["/cut", "/file bytes=100000-"]);
    assert_eq!(names(&bench), ["f"]);
}

#[test]
fn retry_goes_on_within_one_task() {
    let (server, mut bench) = (Server::start(), Bench::new());
    let task = task(&server, "/cut").replace(" }", ", and: { retry: 5, delay: 0 } }");
    assert_eq!(bench.one(&task).0, "created");
    assert_eq!(server.asked(), ["/cut", "/cut bytes=100000-", "/cut bytes=200000-"]);
}

#[test]
fn a_server_that_ignores_ranges_or_has_another_file_now_is_asked_anew() {
    for (path, part, asked) in [
        ("/norange", content()[..1000].to_vec(), vec!["/norange bytes=1000-"]),
        ("/file", vec![b'?'; 1000], vec!["/file bytes=1000-", "/file"]),
        ("/file", vec![b'?'; 999_999], vec!["/file bytes=999999-", "/file"]),
        ("/file", content(), vec!["/file bytes=250000-"]),
        ("/elsewhere", content()[..1000].to_vec(), vec!["/elsewhere bytes=1000-", "/elsewhere"]),
    ] {
        let (server, mut bench) = (Server::start(), Bench::new());
        fs::write(bench.path(".f.keros-part"), &part).unwrap();
        fs::set_permissions(bench.path(".f.keros-part"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(bench.one(&task(&server, path)), ("created", String::new()), "{path}");
        assert_eq!(fs::read(bench.path("f")).unwrap(), content());
        assert_eq!(server.asked(), asked);
    }
}

#[test]
fn a_part_that_others_can_write_to_is_not_used() {
    let (server, mut bench) = (Server::start(), Bench::new());
    fs::write(bench.path("victim"), "kept").unwrap();
    for make in [
        &|part: &std::path::Path| std::os::unix::fs::symlink("victim", part),
        &|part: &std::path::Path| fs::hard_link(part.with_file_name("victim"), part),
        &|part: &std::path::Path| fs::write(part, "x"),
    ] as [&dyn Fn(&std::path::Path) -> std::io::Result<()>; 3]
    {
        make(&bench.path(".f.keros-part")).unwrap();
        let _ = fs::remove_file(bench.path("f"));
        assert_eq!(bench.one(&task(&server, "/file")).0, "created");
        assert_eq!(fs::read_to_string(bench.path("victim")).unwrap(), "kept");
    }
    assert_eq!(server.asked(), ["/file", "/file", "/file"]);
}

#[test]
fn what_is_wrong_is_named_and_nothing_of_it_is_kept() {
    let server = Server::start();
    let cases = [
        ("/wrong", format!("has the digest {}, not", digest(b"wrong"))),
        ("/none", "the server has no such file".to_owned()),
        ("/long", "is longer than the limit of 300000 bytes".to_owned()),
        ("/endless", "is longer than the limit of 300000 bytes".to_owned()),
        ("/loop", "sent on more than 5 times".to_owned()),
        ("/to-file", "the server sends on to something that is no URL".to_owned()),
        ("/broken", "the server answers 500".to_owned()),
        ("/nonsense", "http://127.0.0.1".to_owned()),
    ];
    for (path, words) in cases {
        let mut bench = Bench::new();
        fs::write(bench.path("f"), "old").unwrap();
        let (status, message) = bench.one(&task(&server, path).replace(" }", ", limit: 300000 }"));
        assert_eq!(status, "failed", "{path}");
        assert!(message.contains(&words), "{path}: {message}");
        assert_eq!(fs::read_to_string(bench.path("f")).unwrap(), "old", "{path}");
        let part = fs::metadata(bench.path(".f.keros-part")).map_or(0, |part| part.len());
        assert_eq!(part, 0, "{path}");
    }
    let closed = "!download { url: 'http://127.0.0.1:1/f', dest: /f, digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000' }";
    assert!(Bench::new().one(closed).1.contains("refused"));
    assert!(
        Bench::new()
            .one(&task(&server, "/file").replace("/f,", "/no/f,"))
            .1
            .contains("the directory /no is not there")
    );
}

#[test]
fn redirects_are_followed_to_a_bound_and_secrets_are_not_shown() {
    let (server, mut bench) = (Server::start(), Bench::new());
    assert_eq!(bench.one(&task(&server, "/redirect/5")).0, "created");
    let secret =
        task(&server, "/wrong?token=geheim").replace("http://", "http://user:geheim@").replace("/f,", "/g,");
    let message = bench.one(&secret).1;
    assert!(message.contains("/wrong has the digest") && !message.contains("geheim"), "{message}");
}

#[test]
fn a_server_that_stops_in_the_middle_does_not_hang_the_run() {
    let (server, mut bench) = (Server::start(), Bench::new());
    bench.limits.task_s = 1;
    let began = Instant::now();
    let outcome = bench.run(&[&task(&server, "/stop")]);
    assert!(matches!(outcome, Outcome::TimedOut { .. }), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(fs::metadata(bench.path(".f.keros-part")).unwrap().len(), 100_000, "the next run goes on");
}

#[test]
fn a_cancelled_run_ends_its_download() {
    let (server, mut bench) = (Server::start(), Bench::new());
    let cancel = keros_playbook::Cancel::new().unwrap();
    bench.cancel = Some(cancel.clone());
    let part = bench.path(".f.keros-part");
    let watcher = std::thread::spawn(move || {
        while !part.exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        cancel.ask();
    });
    let outcome = bench.run(&[&task(&server, "/endless")]);
    assert!(matches!(outcome, Outcome::Cancelled { .. }), "{outcome:?}");
    watcher.join().unwrap();
}

#[test]
fn a_dry_run_asks_nobody_and_later_tasks_know_of_the_file() {
    let (server, mut bench) = (Server::start(), Bench::new());
    bench.dry_run = true;
    let again = task(&server, "/file");
    let unpack = "!unpack { src: /f, dest: / }";
    bench.run(&[&again, &again, "!stat { path: /f, save: s }", "!assert { true: s.exists }", unpack]);
    let statuses: Vec<_> = bench.results.iter().map(|result| result.status.as_str()).collect();
    assert_eq!(statuses, ["created", "matched", "passive", "passive", "skipped"]);
    let why = bench.results[4].message.clone().unwrap();
    assert_eq!(why, "cannot be told in a dry run: the archive is one that only a run downloads");
    assert!(server.asked().is_empty() && names(&bench).is_empty());
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    // The variable is set for a copy of this test alone.
    let (server, mut bench) = (Server::start(), Bench::new());
    if std::env::var_os("http_proxy").is_some() {
        assert_eq!(bench.one(&task(&server, "/file")).0, "created");
        return;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "proxies_of_the_environment_are_not_used"])
        .envs([("http_proxy", "http://127.0.0.1:1"), ("ALL_PROXY", "http://127.0.0.1:1")])
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
}

#[test]
fn a_wrong_task_is_refused_before_anything_runs() {
    let bench = Bench::new();
    let good = "digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'";
    let refused = |fields: &str| bench.refused(&format!("!download {{ dest: /f, {fields} }}"));
    assert!(refused(&format!("url: 'ftp://h/f', {good}")).contains("must begin with http:// or https://"));
    assert!(refused(&format!("url: '/f', {good}")).contains("must begin with http:// or https://"));
    assert!(refused(&format!("url: 'http://a b/f', {good}")).contains("is not a URL"));
    assert!(refused("url: 'http://h/f'").contains("needs the key `digest`"));
    assert!(refused("url: 'http://h/f', digest: 'sha256:12'").contains("64 hexadecimal digits"));
    assert!(
        refused(&format!("url: 'http://h/f', {}", good.replace("sha256", "md5")))
            .contains("64 hexadecimal digits")
    );
    assert!(refused(&format!("url: 'http://h/f', limit: x, {good}")).contains("not a whole number"));
}

#[test]
fn tls_trusts_the_machines_own_certificates_and_nothing_else() {
    let keys = tempfile::tempdir().unwrap();
    let Some(server) = Server::start_tls(keys.path()) else {
        keros_skip::skipped("there is no openssl to make a certificate with");
        return;
    };
    let mut bench = Bench::new();
    let (status, message) = bench.one(&task(&server, "/file"));
    assert_eq!(status, "failed");
    assert!(message.contains("TLS: there are no certificates to trust"), "{message}");
    fs::create_dir_all(bench.path("etc/ssl/certs")).unwrap();
    let bundle = bench.path("etc/ssl/certs/ca-certificates.crt");
    fs::write(&bundle, "").unwrap();
    let (status, message) = bench.one(&task(&server, "/file"));
    assert_eq!(status, "failed");
    assert!(message.contains("TLS: invalid peer certificate"), "{message}");
    fs::copy(keys.path().join("ca.pem"), &bundle).unwrap();
    assert_eq!(bench.one(&task(&server, "/file")), ("created", String::new()));
    let (status, message) =
        bench.one(&task(&server, "/file").replace("localhost", "127.0.0.1").replace("/f,", "/g,"));
    assert_eq!(status, "failed");
    assert!(message.contains("TLS: invalid peer certificate"), "a certificate for another name: {message}");
    let (status, message) = bench.one(&task(&server, "/to-http").replace("/f,", "/g,"));
    assert_eq!(status, "failed");
    assert!(message.contains("sends on from https to http://"), "{message}");
}

//! The configuration as a whole: files in a folder, what becomes of them, and the shipped file.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::ExecutorAccess;
use super::*;

/// A folder with `config.yaml` and drop-ins.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("config.d")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> Loaded {
        load(Some(&self.path("config.yaml")))
    }

    /// The findings as text, with this folder's own path left out.
    fn findings(&self) -> Vec<String> {
        let folder = format!("{}/", self.0.path().display());
        self.load().findings.iter().map(|finding| finding.to_string().replace(&folder, "")).collect()
    }
}

fn settings(text: &str) -> Settings {
    Folder::new(&[("config.yaml", text)]).load().for_daemon().unwrap().0
}

fn findings(text: &str) -> Vec<String> {
    Folder::new(&[("config.yaml", text)]).findings()
}

const HOST: &str = "broker: {host: center}\n";

#[test]
fn the_shipped_file_is_the_defaults() {
    let shipped = DEFAULT_TEXT.replace("#host: center.example.org", "host: center");
    assert_ne!(shipped, DEFAULT_TEXT);
    assert_eq!(settings_json(&settings(&shipped)), settings_json(&settings(HOST)));
    assert_eq!(findings(&shipped), [] as [&str; 0]);
}

#[test]
fn the_shipped_file_has_every_option() {
    // With every option's comment sign taken away, each one is there and none is unknown.
    let all: String = DEFAULT_TEXT
        .lines()
        .map(|line| {
            let indent = line.len() - line.trim_start().len();
            let rest = &line[indent..];
            match rest.strip_prefix('#') {
                Some(option) if !option.starts_with(' ') && option.contains(':') => {
                    format!("{}{option}\n", &line[..indent])
                }
                _ => format!("{line}\n"),
            }
        })
        .collect();
    for option in options::ALL {
        let path: Vec<&str> = option.split('.').collect();
        assert!(locate::line_of(&all, &path).is_some(), "{option} is not in\n{all}");
    }
    let loaded = Folder::new(&[("config.yaml", &all)]).load();
    assert!(loaded.findings.iter().all(|finding| finding.severity != Severity::Unknown), "{loaded:?}");
}

#[test]
fn every_option_is_read_and_a_wrong_type_is_found_at_its_line() {
    for option in options::ALL {
        let path: Vec<&str> = option.split('.').collect();
        let mut text = String::new();
        for (level, name) in path.iter().enumerate() {
            text.push_str(&format!("{}{name}:\n", "  ".repeat(level)));
        }
        let text = format!("{} {{wrong: type}}\n", text.trim_end());
        let expected = format!("config.yaml:{}: ", path.len());
        let found = findings(&text);
        let typed = |finding: &&String| {
            let named = finding.starts_with(&expected) && finding.contains(&format!("`{option}`"));
            named && finding.ends_with("found a mapping")
        };
        assert_eq!(found.iter().filter(typed).count(), 1, "{option}: {found:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    let text = "\
broker:
  hots: center
  port: 70000
  tls:
    client_cert_file: relative.pem
telemetry:
  interval_s: hourly
  interval: 5
identity:
  eui: 7076FF
  keros_version: 6.3
executor: /run/x
";
    assert_eq!(
        findings(text),
        [
            "config.yaml:2: unknown option `broker.hots`: did you mean `broker.host`?",
            "config.yaml:8: unknown option `telemetry.interval`: did you mean `telemetry.interval_s`?",
            "config.yaml:12: `executor` is a section: its options stand below it, indented; found the text \"/run/x\"",
            "config.yaml:5: `broker.tls.client_cert_file` is an absolute path: it begins with \"/\"",
            "config.yaml:5: `broker.tls.client_cert_file` needs `broker.tls.client_key_file` beside it",
            "config.yaml:5: `broker.tls.client_cert_file` needs `broker.tls.ca_file` beside it",
            "config.yaml:3: `broker.port` is a whole number from 1 to 65535; found the number 70000",
            "`broker.host` is not set: it is the host name or address of the management center's broker",
            "config.yaml:7: `telemetry.interval_s` is a whole number from 1 to 86400 (seconds); found the text \"hourly\"",
            "config.yaml:10: `identity.eui`: an EUI has 16 hex digits, found 6",
            "config.yaml:11: `identity.keros_version` is a text: put it in quotes; found the number 6.3",
        ]
    );
}

#[test]
fn later_files_win_option_by_option() {
    let folder = Folder::new(&[
        ("config.yaml", "broker:\n  host: first\n  keep_alive_s: 60\n  topic_prefix: site\n"),
        ("config.d/20.yaml", "broker:\n  host: third\n  keep_alive_s:\n"),
        ("config.d/10.yaml", "broker:\n  host: second\ntelemetry:\n  interval_s: 600\n"),
        ("config.d/30.yml", "broker:\n  host: not read\n"),
    ]);
    let loaded = folder.load();
    assert_eq!(
        loaded.files,
        ["config.yaml", "config.d/10.yaml", "config.d/20.yaml"].map(|name| folder.path(name))
    );
    let (settings, warnings) = loaded.for_daemon().unwrap();
    assert_eq!(warnings, [] as [&str; 0]);
    assert_eq!(settings.broker.host, "third");
    assert_eq!(settings.broker.topic_prefix.to_string(), "site");
    assert_eq!(settings.broker.keep_alive, Duration::from_secs(300), "without a value: the default again");
    assert_eq!(settings.telemetry.interval, Duration::from_secs(600));
}

#[test]
fn a_mistake_in_a_drop_in_is_told_with_its_file() {
    let folder = Folder::new(&[("config.yaml", HOST), ("config.d/a.yaml", "\n\nbroker: {port: x}\n")]);
    let expected = "config.d/a.yaml:3: `broker.port` is a whole number from 1 to 65535; found the text \"x\"";
    assert_eq!(folder.findings(), [expected]);
}

#[test]
fn a_section_can_be_unset_by_a_drop_in() {
    let tls = "broker:\n  host: center\n  tls: {ca_file: /etc/hostname}\n";
    let folder = Folder::new(&[("config.yaml", tls)]);
    let (settings, _) = folder.load().for_daemon().unwrap();
    assert!(settings.broker.tls.is_some());
    assert_eq!(settings.broker.port, 8883);

    fs::write(folder.path("config.d/a.yaml"), "broker:\n  tls:\n").unwrap();
    let (settings, _) = folder.load().for_daemon().unwrap();
    assert!(settings.broker.tls.is_none());
    assert_eq!(settings.broker.port, 1883);
}

#[test]
fn the_daemon_starts_with_unknown_options_and_missing_files() {
    let text = "broker: {host: center, tls: {ca_file: /nonexistent}}\nfuture: {option: 1}\n";
    let (settings, warnings) = Folder::new(&[("config.yaml", text)]).load().for_daemon().unwrap();
    assert_eq!(settings.broker.host, "center");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let wrong = Folder::new(&[("config.yaml", "broker: {port: 0}\nfuture: 1\n")]).load();
    let findings = wrong.for_daemon().unwrap_err();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Wrong));
}

#[test]
fn damaged_files_are_told_of() {
    for (text, expected) in [
        ("broker:\n  host: [center\n", "config.yaml:3: this is not valid YAML"),
        ("a: 1\na: 2\n", "config.yaml:1: this is not valid YAML: duplicate entry with key \"a\""),
        ("just words", "config.yaml:1: this is no list of options"),
        ("- a\n", "config.yaml:1: this is no list of options"),
        ("1: a\n", "config.yaml: a key must be text; found the number 1"),
        ("a: &a [x]\nb: &b [*a,*a]\n", "config.yaml:1: unknown option `a`"),
    ] {
        let found = findings(text);
        assert!(found[0].starts_with(expected), "{found:?}");
    }
    assert_eq!(findings("broker:\n  host: [center\n").len(), 1, "what is not known is not told as missing");
    let long = format!("{HOST}#{}", "x".repeat(64 * 1024));
    assert!(findings(&long)[0].contains("more than 65536 bytes"));
    let found: Vec<String> = load(Some(std::path::Path::new("/nonexistent/x.yaml")))
        .findings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(found[0].starts_with("/nonexistent/x.yaml: cannot be read"), "{found:?}");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", [below.as_str(); 9].join(", ")));
    }
    let found = findings(&text);
    assert!(found[0].contains("repetition limit exceeded"), "{found:?}");
}

#[test]
fn an_empty_file_is_a_configuration() {
    assert_eq!(findings("").len(), 1, "only the host is missing");
    assert_eq!(findings("# nothing\n").len(), 1);
}

#[test]
fn hosts_are_names_or_addresses() {
    for host in ["center.example.org", "192.0.2.1", "\"2001:db8::1\"", "localhost"] {
        assert_eq!(findings(&format!("broker:\n  host: {host}\n")), [] as [&str; 0], "{host}");
    }
    for host in ["mqtts://center", "center:8883", "\"[::1]\"", "a b", "\"\""] {
        assert_eq!(findings(&format!("broker:\n  host: {host}\n")).len(), 1, "{host}");
    }
}

#[test]
fn the_executor_is_a_socket_or_a_command() {
    let with = |executor: &str| format!("{HOST}executor: {executor}\n");
    assert_eq!(settings(HOST).executor, ExecutorAccess::Socket("/run/keros-executor.sock".into()));
    let words = ["/usr/bin/keros-executor", "session"].map(str::to_owned).to_vec();
    assert_eq!(
        settings(&with("{command: [/usr/bin/keros-executor, session]}")).executor,
        ExecutorAccess::Command(words)
    );
    for wrong in ["{command: []}", "{command: [relative]}", "{command: [1]}", "{command: [/x], socket: /y}"] {
        assert_eq!(findings(&with(wrong)).len(), 1, "{wrong}");
    }
}

#[test]
fn sources_are_believed_as_the_broker_is_unless_told_otherwise() {
    let with =
        |links: &str| format!("broker: {{host: center, tls: {{ca_file: /a}}}}\nmagic_links: {links}\n");
    assert_eq!(settings(&with("")).magic_links.ca_file, Some("/a".into()));
    assert_eq!(settings(&with("{ca_file: /b}")).magic_links.ca_file, Some("/b".into()));
    assert_eq!(settings(HOST).magic_links.ca_file, None);
}

#[test]
fn what_is_wrong_with_fetching_is_told() {
    let with = |links: &str| findings(&format!("{HOST}magic_links: {links}\n"));
    for right in
        ["{redirect_hosts: [a, \"b:1\", \"[::1]:5\"]}", "{proxy: \"http://10.0.0.1:3128\"}", "{keep_mib: 0}"]
    {
        assert_eq!(with(right), [] as [&str; 0], "{right}");
    }
    for wrong in [
        "{allow_http: 1}",
        "{proxy: proxy}",
        "{proxy: \"https://p:1\"}",
        "{proxy: \"http://u@p:1\"}",
        "{proxy: \"http://p:0\"}",
        "{redirect_hosts: [\"https://h\"]}",
        "{redirect_hosts: h}",
        "{registry_host: h}",
        "{registry_username: u}",
        "{registry_username: u, registry_password_file: /etc/hostname}",
        "{registry_host: \"https://h\", registry_username: u, registry_password_file: /etc/hostname}",
        "{max_mib: 0}",
        "{max_mib: 513}",
        "{rate_limit_kib_s: -1}",
    ] {
        assert_eq!(with(wrong).len(), 1, "{wrong}: {:?}", with(wrong));
    }
}

#[test]
fn what_is_shown_can_be_read_again() {
    let text = "\
broker: {host: center, tls: {ca_file: /a, client_cert_file: /b, client_key_file: /c}, username: u, password_file: /p}
identity: {eui: \"70:76:ff:00:56:07:01:23\", codename: wiis, keros_version: \"6.3.1\"}
executor: {command: [/x, y]}
magic_links: {ca_file: /d, proxy: \"http://p:1\", redirect_hosts: [h], registry_host: g, registry_username: r, registry_password_file: /q}
";
    let first = settings(text);
    let shown = settings_yaml(&first);
    assert!(shown.contains("eui: 7076FF0056070123\n"), "{shown}");
    assert_eq!(settings_yaml(&settings(&shown)), shown);
}

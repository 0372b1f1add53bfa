//! Magic Links in real sessions: the executor runs its own copy of the bundle, for gateways that are declared.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use std::os::unix::fs::PermissionsExt as _;

use common::bundle::{File, Link, request};
use common::{Gateway, outcome};
use keros_protocol::executor::Event;
use keros_protocol::{Outcome, RefusalReason};

/// A playbook with a role, a template, a file and a program of its own.
const FILES: [File<'static>; 7] = [
    (
        "site.yml",
        b"- name: link
  groups: [all]
  roles:
    - { role: base }
  tasks:
    - !copy { src: motd, dest: /etc/motd }
    - !external { use: answer, params: { word: hello }, save: said }
    - !template { content: '{{ said.word }}', dest: /etc/answer }
",
        false,
    ),
    ("roles/base/role.yml", b"name: base\ntasks: [main.yml]\n", false),
    ("roles/base/tasks/main.yml", b"- !template { src: conf, dest: /etc/conf }\n", false),
    ("roles/base/templates/conf", b"os conf\n", false),
    ("files/motd", b"a magic link\n", false),
    ("files/copy-of-motd", b"a magic link\n", false),
    ("modules/answer", b"#!/bin/sh\nread -r line; echo '{ \"word\": \"understood\" }'\n", true),
];

fn refusal(events: &[Event]) -> (RefusalReason, &str) {
    let Outcome::Refused { reason, detail } = outcome(events) else { panic!("{events:#?}") };
    (*reason, detail)
}

fn mode(path: &std::path::Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_bundle_runs_on_keros_6_and_5_with_its_roles_files_and_programs() {
    for keros in ["6.3.1", "5.10.1"] {
        let gateway = Gateway::new();
        std::fs::write(gateway.path("root/etc/version"), format!("{keros}\n")).unwrap();
        let link = Link::make(&gateway, &FILES);
        let events = link.run(&gateway, &link.command(1));
        let Outcome::Succeeded { .. } = outcome(&events) else { panic!("{events:#?}") };
        assert_eq!(gateway.text("root/etc/motd"), "a magic link\n");
        assert_eq!(gateway.text("root/etc/answer"), "understood");
        let copy = link.copy(&gateway);
        assert_eq!(mode(&copy.join("files/site.yml")), 0o444);
        assert_eq!(mode(&copy.join("files/modules/answer")), 0o555);
        assert_eq!(mode(&copy.join("files/modules")), 0o755);
        assert_eq!(mode(&copy), 0o755);
        assert_eq!(link.run(&gateway, &link.command(1)), events, "it is only followed");
    }
}

#[test]
fn a_gateway_that_is_not_declared_copies_nothing() {
    let gateway = Gateway::new();
    let config = r#"{"name":"others","gateways":["7276FF*"],"playbook":"site.yml"}"#;
    let link = Link::with_config(&gateway, &FILES, config);
    // Files that are not there are not missed.
    for file in &link.manifest.files {
        let _ = std::fs::remove_file(link.blob(file.blob.digest));
    }
    let events = link.run(&gateway, &link.command(1));
    assert_eq!(refusal(&events).0, RefusalReason::NotDeclared);
    assert!(!gateway.path("state/bundles").exists());
}

#[test]
fn what_is_missing_is_named_and_can_be_brought_later() {
    let gateway = Gateway::new();
    let link = Link::make(&gateway, &FILES);
    let command = link.command(1);
    let events = gateway.session(&request(&gateway, &command, None)).events();
    assert_eq!(refusal(&events).0, RefusalReason::NotFound);
    let motd = link.file("files/motd");
    std::fs::rename(&motd, gateway.path("aside")).unwrap();
    let events = link.run(&gateway, &command);
    let (reason, detail) = refusal(&events);
    assert_eq!(reason, RefusalReason::NotFound);
    assert!(detail.contains("files/motd"), "{detail}");
    assert_eq!(std::fs::read_dir(gateway.path("state/bundles")).unwrap().count(), 0);
    std::fs::rename(gateway.path("aside"), &motd).unwrap();
    assert!(matches!(outcome(&link.run(&gateway, &command)), Outcome::Succeeded { .. }));
}

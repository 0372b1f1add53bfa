//! How long copies of bundles stay.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use common::bundle::Link;
use common::{Gateway, outcome};
use keros_protocol::Outcome;
use keros_protocol::executor::Event;

const PLAYBOOK: &[u8] =
    b"- name: x\n  groups: [all]\n  tasks:\n    - !copy { src: large, dest: '/etc/large' }\n";

/// A link with 600,000 bytes of this letter.
fn link(gateway: &Gateway, letter: u8) -> Link {
    Link::make(gateway, &[("site.yml", PLAYBOOK, false), ("files/large", &vec![letter; 600_000], false)])
}

fn run(gateway: &Gateway, link: &Link, number: u16) {
    let events = link.run(gateway, &link.command(number));
    assert!(matches!(outcome(&events), Outcome::Succeeded { .. }), "{events:#?}");
}

/// Which of them have a copy.
fn kept(gateway: &Gateway, links: &[&Link]) -> Vec<usize> {
    (0..links.len()).filter(|n| links[*n].copy(gateway).exists()).collect()
}

#[test]
fn the_ones_used_last_stay_within_the_bound() {
    let gateway = Gateway { options: vec!["--bundles-mib=1".to_owned()], ..Gateway::new() };
    let links = [b'a', b'b', b'c'].map(|letter| link(&gateway, letter));
    let links = links.each_ref();
    for (number, used, left) in
        [(1, 0, vec![0]), (2, 1, vec![0, 1]), (3, 2, vec![1, 2]), (4, 1, vec![1, 2]), (5, 0, vec![0, 1])]
    {
        run(&gateway, links[used], number);
        assert_eq!(kept(&gateway, &links), left, "after command {number}");
    }
    // A copy that cannot be told of is none.
    std::fs::write(links[0].copy(&gateway).join("manifest.json"), "x").unwrap();
    run(&gateway, links[1], 6);
    assert_eq!(kept(&gateway, &links), [1]);
}

#[test]
fn a_job_without_its_end_keeps_its_bundle_and_the_next_session_after_it_does_not() {
    let gateway = Gateway { options: vec!["--bundles-mib=0".to_owned()], ..Gateway::new() };
    let first = link(&gateway, b'a');
    let second = link(&gateway, b'b');
    let mut command = first.command(1);
    command.options.confirm_window_s = 60;
    let mut session = gateway.session(&first.request(&gateway, &command));
    let nonce = loop {
        match session.next().unwrap() {
            Event::Confirming { nonce, .. } => break nonce,
            Event::Ended { outcome } => panic!("{outcome:?}"),
            _ => {}
        }
    };
    session.kill();
    // This session carries the first job on.
    let mut waiting = gateway.session(&second.request(&gateway, &second.command(2)));
    assert!(matches!(waiting.next(), Some(Event::RequestFailed { .. })));
    assert_eq!(kept(&gateway, &[&first, &second]), [0]);
    gateway.confirm(&command, &nonce);
    waiting.events();
    let events = gateway.attach(command.command_id);
    assert!(matches!(outcome(&events), Outcome::Succeeded { .. }), "{events:#?}");
    run(&gateway, &second, 2);
    assert_eq!(kept(&gateway, &[&first, &second]), [1], "the next begin removes it");
}

#[test]
fn small_files_count_as_what_they_take_of_the_disk() {
    let gateway = Gateway { options: vec!["--bundles-mib=1".to_owned()], ..Gateway::new() };
    let many = |letter: &str| {
        let titles: Vec<String> = (0..200).map(|n| format!("d{n}/{letter}")).collect();
        let playbook =
            ("site.yml", &b"- name: x\n  groups: [all]\n  tasks:\n    - !echo { msg: x }\n"[..], false);
        let files = titles.iter().map(|title| (title.as_str(), &b""[..], false));
        Link::make(&gateway, &[playbook].into_iter().chain(files).collect::<Vec<_>>())
    };
    let (first, second) = (many("a"), many("b"));
    run(&gateway, &first, 1);
    run(&gateway, &second, 2);
    assert_eq!(kept(&gateway, &[&first, &second]), [1], "200 files and 200 folders, 4 KiB each");
}

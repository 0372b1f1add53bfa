//! One bit of a bundle that is another: it is refused by name, and nothing of it is used. One bit in 29 of those below is tried, or
//! as `KEROS_BIT_STEP` says: 1 takes four minutes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use std::path::Path;

use common::bundle::{File, Link};
use common::{Gateway, outcome};
use keros_protocol::{Outcome, RefusalReason};

const DATA: [u8; 5000] = [7; 5000];
const FILES: [File<'static>; 2] = [
    ("site.yml", b"- name: link\n  groups: [all]\n  tasks: [!copy { src: data, dest: /etc/data }]\n", false),
    ("files/data", &DATA, false),
];

/// Runs the link with one bit of a blob changed, and puts the bit back.
fn is_refused(gateway: &Gateway, link: &Link, blob: &Path, bit: usize, number: u16) {
    let good = std::fs::read(blob).unwrap();
    let mut bad = good.clone();
    bad[bit / 8] ^= 1 << (bit % 8);
    std::fs::write(blob, bad).unwrap();
    let events = link.run(gateway, &link.command(number));
    std::fs::write(blob, good).unwrap();
    let Outcome::Refused { reason, .. } = outcome(&events) else { panic!("bit {bit}: {events:#?}") };
    assert_eq!(*reason, RefusalReason::DigestMismatch, "bit {bit}");
    assert!(!gateway.path("root/etc/data").exists(), "bit {bit}");
    assert!(!link.copy(gateway).exists(), "bit {bit}");
}

/// Every one of the small parts, and a thousand of the files, far from each other.
#[test]
fn whatever_bit_is_changed_nothing_is_run() {
    let gateway = Gateway::new();
    let link = Link::make(&gateway, &FILES);
    let every = std::env::var("KEROS_BIT_STEP").map_or(29, |text| text.parse().unwrap());
    let mut number = 0;
    let parts = [
        (link.digest, 1),
        (link.manifest.config.digest, 1),
        (link.manifest.files[0].blob.digest, 1),
        (link.manifest.files[1].blob.digest, 97),
    ];
    for (digest, step) in parts {
        let blob = link.blob(digest);
        let bits = usize::try_from(blob.metadata().unwrap().len()).unwrap() * 8;
        for bit in (0..bits).step_by(step * every) {
            number += 1;
            is_refused(&gateway, &link, &blob, bit, number);
        }
    }
    let events = link.run(&gateway, &link.command(number + 1));
    assert!(matches!(outcome(&events), Outcome::Succeeded { .. }), "{events:#?}");
    println!("{number} bits");
}

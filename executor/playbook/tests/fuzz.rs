//! Fuzzing on a stable compiler: no input may panic, take long, need much memory, or change the tree of a dry run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod archives;

use std::fs;
use std::path::Path;

use keros_fuzzing::{files_in, fuzz, in_a_limited_process};
use keros_playbook::fuzzing;

#[test]
fn no_script_panics_hangs_eats_memory_or_changes_the_tree_of_a_dry_run() {
    in_a_limited_process("no_script_panics_hangs_eats_memory_or_changes_the_tree_of_a_dry_run", || {
        let tree = tempfile::tempdir().unwrap();
        let mut seeds = corpus("script");
        seeds.extend(files_in(Path::new("../../tests/playbooks")));
        let cases: serde_json::Value =
            serde_json::from_slice(&fs::read("tests/conformance/cases.json").unwrap()).unwrap();
        let playbooks = cases.as_array().unwrap().iter().filter_map(|case| case["playbook"].as_str());
        seeds.extend(playbooks.map(|playbook| playbook.as_bytes().to_vec()));
        fuzz(&seeds, SCRIPT_WORDS, &mut |input| {
            fuzzing::script(&String::from_utf8_lossy(&input), tree.path());
            assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 0, "a dry run changed something");
        });
    });
}

#[test]
fn no_template_panics_hangs_or_eats_memory() {
    in_a_limited_process("no_template_panics_hangs_or_eats_memory", || {
        fuzz(&corpus("template"), TEMPLATE_WORDS, &mut |input| {
            fuzzing::template(&String::from_utf8_lossy(&input));
        });
    });
}

#[test]
fn no_record_of_a_backup_panics_hangs_or_touches_what_is_outside_of_the_tree() {
    in_a_limited_process("no_record_of_a_backup_panics_hangs_or_touches_what_is_outside_of_the_tree", || {
        let all = tempfile::tempdir().unwrap();
        let (folder, tree, outside) =
            (all.path().join("backup"), all.path().join("tree"), all.path().join("o"));
        fs::create_dir_all(folder.join("blobs")).unwrap();
        fs::create_dir(&tree).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "mine").unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("way-out")).unwrap();
        fuzz(&corpus("backup"), BACKUP_WORDS, &mut |input| {
            fuzzing::backup(&fuzzing::with_sums(&input), &folder, &tree);
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "something was put outside of the tree");
            assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "mine");
        });
    });
}

#[test]
fn no_archive_panics_hangs_or_eats_memory() {
    in_a_limited_process("no_archive_panics_hangs_or_eats_memory", || {
        let mut number = 0;
        fuzz(&corpus("archive"), ARCHIVE_WORDS, &mut |input| {
            number += 1;
            let input = fuzzing::with_checksums(input);
            if number % 4 == 0 { fuzzing::archive(&archives::gz(&input)) } else { fuzzing::archive(&input) }
        });
    });
}

const SCRIPT_WORDS: &[&str] = &[
    "- ",
    "  ",
    "\n",
    "\n    - !",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "#",
    "!!str ",
    "~",
    "---\n",
    "tasks:",
    "with: { items: [a, b] }",
    "with: { condition: (eq a 1) }",
    "and: { retry: 9, delay: 0 }",
    "{{a}}",
    "!shell",
    "!command { argv: [a] }",
    "!external { use: x, params: {} }",
    "!download",
    "!unpack { src: /a, dest: /b }",
    "!set",
    "0x7fffffffffffffff",
    "99999999999999999999",
    "1e999",
    "é",
    "\0",
    "\t",
    "\r\n",
    "? ",
    "<<: *a",
    "%YAML 1.2\n",
    "\u{feff}",
];

const TEMPLATE_WORDS: &[&str] = &[
    "{{",
    "}}",
    "{{{",
    "}}}",
    "{{#if ",
    "{{/if}}",
    "{{else if ",
    "{{else}}",
    "{{#each l}}",
    "{{/each}}",
    "{{#with m}}",
    "{{/with}}",
    "{{> p}}",
    "{{#*inline \"p\"}}",
    "{{/inline}}",
    "{{#> p}}",
    "{{/p}}",
    "@partial-block",
    "{{!--",
    "--}}",
    "~",
    "(",
    ")",
    "[",
    "]",
    "eq n 5",
    "and n s",
    "lookup l 1",
    "isdefined x",
    "../",
    "@root",
    "@index",
    "as |a b|",
    "{{{{raw}}}}",
    "{{{{/raw}}}}",
    "\\{{",
    "'",
    "\"",
    "é",
    "\n",
    "l.[0]",
    "m.deep.l",
    "18446744073709551616",
    "-1",
    "a=1",
    "{{&n}}",
    "{{^}}",
    "{{#unless z}}",
    "{{/unless}}",
];

const BACKUP_WORDS: &[&str] = &[
    "/way-out/file",
    "/way-out",
    "..",
    "/",
    "null",
    "\"was\":null",
    "{\"kind\":\"directory\"",
    "link",
    "special",
    "tree",
    "packages",
    "undone",
    "service",
    "18446744073709551615",
    "-1",
    "[255,47]",
    "\n",
];

const ARCHIVE_WORDS: &[&str] = &[
    "../",
    "/",
    "\0",
    "././@LongLink",
    "77777777777",
    "00000000000",
    "ustar\0",
    "ustar  ",
    "PK\u{1}\u{2}",
    "PK\u{3}\u{4}",
    "PK\u{5}\u{6}",
    "12 path=../a\n",
    "99999999999 path=a\n",
    "size=9999999\n",
    "GNU.sparse.name=a\n",
    "\u{7f}\u{7f}\u{7f}\u{7f}",
];

/// Seeds and inputs that once did harm.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    files_in(&Path::new("tests/corpus").join(target))
}

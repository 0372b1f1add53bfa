//! `command` and `external`: programs without a shell in between, which get every value as it is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod bench;

use std::fs;

use bench::Bench;
use keros_playbook::ShellPlace;
use keros_protocol::Outcome;

/// Prints its arguments, one a line in brackets, after its folder's name and its input.
const SHOW: &str = r#"#!/bin/sh
echo "in ${PWD##*/}"; cat; for one in "$@"; do printf '[%s]\n' "$one"; done
"#;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.program("usr/bin/show", SHOW);
    bench
}

#[test]
fn every_argument_arrives_as_it_is() {
    let mut bench = bench();
    let odd =
        ["two words", "$(touch x)", "`id`", "a;b|c&d", "'", "\"", "\\", "*", "a\nb", "", "é", "--", "~"];
    for value in odd {
        // An empty text cannot be set, but nothing can, and prints the same.
        let shown = if value.is_empty() { "~".to_owned() } else { serde_json::to_string(value).unwrap() };
        let set = format!("!set {{ vars: {{ list: [], v: {shown} }} }}");
        let argument = if value.is_empty() { "''" } else { "'{{v}}'" };
        bench.run(&[&set, &format!("!command {{ argv: [show, {argument}, '<{{{{v}}}}>'] }}")]);
        let expected = format!("[{value}]\n[<{value}>]\n");
        assert!(bench.output().ends_with(&expected), "{value:?}: {}", bench.output());
    }
    assert!(!bench.path("x").exists());
}

#[test]
fn nul_is_refused_in_arguments_input_and_folder() {
    for field in
        ["argv: [show, \"a\\0b\"]", "argv: [show], stdin: \"a\\0b\"", "argv: [show], folder: \"/\\0\""]
    {
        let (status, message) = bench().one(&format!("!command {{ {field} }}"));
        assert_eq!(status, "failed", "{field}");
        assert!(message.contains("NUL character is not allowed"), "{message}");
    }
}

#[test]
fn input_folder_and_result_are_what_the_task_says() {
    let mut bench = bench();
    fs::create_dir(bench.path("here")).unwrap();
    bench.run(&[
        "!command { argv: [show, a], stdin: 'line $HOME', folder: /here, save: r, changed_when: (eq rc 1) }",
        "!echo { msg: '{{r.rc}} {{r.out}}' }",
    ]);
    assert_eq!(bench.results[0].status.as_str(), "passive");
    assert_eq!(bench.results[1].message.as_deref(), Some("0 in here\nline $HOME[a]"));
    let (status, message) = bench.one("!command { argv: [show], folder: /nowhere }");
    assert_eq!((status, message.as_str()), ("failed", "field (folder): there is no /nowhere"));
}

#[test]
fn a_program_is_found_by_its_name_or_its_absolute_path_in_the_tree() {
    let mut bench = bench();
    bench.program("opt/p q/t'ool", "#!/bin/sh\necho mine; exit 3\n");
    let (status, message) = bench.one("!command { argv: [\"/opt/p q/t'ool\"] }");
    assert_eq!((status, message.as_str()), ("failed", "the command failed with exit code 3"));
    assert_eq!(bench.output(), "mine\n");
    assert_eq!(bench.one("!command { argv: [\"/opt/p q/t'ool\"], failed_when: '(eq rc 0)' }").0, "executed");
    for missing in ["/opt/none", "none", "/bin/sh"] {
        let (status, message) = bench.one(&format!("!command {{ argv: [{missing}] }}"));
        assert_eq!(status, "failed", "{missing}");
        assert!(message.contains(&format!("there is no `{missing}` here")), "{message}");
    }
}

#[test]
fn a_wrong_program_is_refused_before_anything_runs() {
    let bench = bench();
    assert!(bench.refused("!command { save: x }").contains("needs the key `argv`"));
    assert!(bench.refused("!command { argv: [] }").contains("the list is empty"));
    assert!(bench.refused("!command { argv: show }").contains("must be a list"));
    assert!(bench.refused("!command { argv: ['', a] }").contains("is empty"));
    assert!(bench.refused("!command { argv: [../show] }").contains("begins with /"));
    assert!(bench.refused("!command { argv: [show, [a]] }").contains("a list of texts"));
}

#[test]
fn a_dry_run_runs_no_program() {
    let mut bench = bench();
    bench.bring("modules/m", b"#!/bin/sh\ntouch \"$KEROS_ROOT/ran\"; echo 'a: b'\n");
    bench.program("usr/bin/make", "#!/bin/sh\ntouch \"$KEROS_ROOT/ran\"\n");
    bench.dry_run = true;
    bench.run(&["!command { argv: [make] }", "!external { use: m, params: {} }"]);
    assert!(bench.results.iter().all(|result| result.status.as_str() == "executed"));
    assert!(!bench.path("ran").exists());
}

#[test]
fn a_module_gets_its_parameters_as_json_and_answers_with_a_mapping() {
    let mut bench = bench();
    bench.bring(
        "modules/sub/echo.sh",
        b"#!/bin/sh\nprintf 'seen: '; cat; printf '\\nlist: [1, two]\\nrc: 9\\n'\n",
    );
    let value = "a\"b', \\ {x: [1]}\n# é";
    let outcome = bench.run(&[
        &format!("!set {{ vars: {{ v: {} }} }}", serde_json::to_string(value).unwrap()),
        "!external { use: sub/echo.sh, params: { t: 'x{{v}}', n: 5, b: true, z: ~, q: '5', deep: [{ k: '{{v}}' }] }, save: r }",
        "!assert { all_true: ['(eq r.seen.n 5)', '(eq r.seen.q \"5\")', r.seen.b, '(eq r.rc 0)', '(eq r.list.[1] \"two\")'] }",
        "!command { argv: [show, '{{r.seen.t}}', '{{lookup (lookup r.seen.deep 0) \"k\"}}'] }",
    ]);
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    assert!(bench.output().ends_with(&format!("[x{value}]\n[{value}]\n")), "{}", bench.output());
}

#[test]
fn a_module_that_fails_or_answers_wrongly_fails_the_task() {
    let cases = [
        ("echo 'a: 1'; exit 4", "the module m failed with exit code 4"),
        ("true", "printed nothing"),
        ("echo '[1]'", "must print one mapping"),
        ("echo 'a: b: c'", "must print one mapping"),
        ("echo '{\"a\": 1}'; echo oops >&2", "must print one mapping"),
        ("echo '[[[[[[' | tr -d '\\n'; head -c 9999 /dev/zero | tr '\\0' '['", "must print one mapping"),
        ("head -c 999999 /dev/zero | tr '\\0' x", "printed more than is kept"),
    ];
    for (script, words) in cases {
        let mut bench = bench();
        bench.bring("modules/m", format!("#!/bin/sh\n{script}\n").as_bytes());
        let (status, message) = bench.one("!external { use: m, params: {}, failed_when: 'false' }");
        assert_eq!(status, "failed", "{script}");
        assert!(message.contains(words), "{script}: {message}");
    }
}

#[test]
fn a_module_is_looked_up_before_anything_runs_and_only_in_its_folder() {
    let bench = bench();
    bench.bring("secret", b"#!/bin/sh\n");
    bench.bring("modules/m", b"#!/bin/sh\n");
    let refused = |name: &str| bench.refused(&format!("!external {{ use: {name}, params: {{}} }}"));
    assert!(refused("nothing").contains("no such file: modules/nothing"));
    assert!(refused("../secret").contains("only a file below modules/"));
    assert!(refused(&bench.folder.path().join("secret").display().to_string()).contains("only a file below"));
    assert!(
        bench
            .refused("!external { use: nothing, params: {}, with: { condition: 'false' } }")
            .contains("no such file")
    );
    assert!(bench.refused("!external { use: m }").contains("needs the key `params`"));
    assert!(bench.refused("!external { use: m, params: [a] }").contains("must be a mapping"));
    assert!(bench.refused("!external { use: m, params: { a: '{{' } }").contains("Template error"));
}

#[test]
fn a_program_that_takes_too_long_is_ended() {
    let mut bench = bench();
    bench.bring("modules/m", b"#!/bin/sh\nexec sleep 60\n");
    bench.limits.task_s = 1;
    for task in ["!command { argv: [/usr/bin/slow] }", "!external { use: m, params: {} }"] {
        bench.program("usr/bin/slow", "#!/bin/sh\nexec sleep 60\n");
        let outcome = bench.run(&[task]);
        assert!(matches!(outcome, Outcome::TimedOut { .. }), "{task}: {outcome:?}");
    }
}

#[test]
fn a_program_runs_inside_of_a_tree() {
    let mut bench = bench();
    let busybox = std::path::Path::new("/bin/busybox");
    if !busybox.exists() || !nix::unistd::geteuid().is_root() {
        keros_skip::skipped("needs root and a static /bin/busybox to chroot with");
        return;
    }
    fs::create_dir_all(bench.path("bin")).unwrap();
    fs::create_dir_all(bench.path("a b")).unwrap();
    fs::copy(busybox, bench.path("bin/busybox")).unwrap();
    std::os::unix::fs::symlink("busybox", bench.path("bin/pwd")).unwrap();
    bench.place = ShellPlace::Root;
    bench.one("!command { argv: [pwd], folder: '/a b' }");
    assert_eq!(bench.output(), "/a b\n");
    bench.one("!command { argv: [/bin/pwd] }");
    assert_eq!(bench.output(), "/\n");
    bench.bring("modules/m", b"#!/bin/sh\n");
    let (status, message) = bench.one("!external { use: m, params: {} }");
    assert_eq!(status, "failed");
    assert!(message.contains("has no /proc"), "{message}");
}

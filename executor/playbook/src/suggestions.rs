//! What was probably meant: words of other languages, and the usual slips in YAML. Only words: nothing here decides whether
//! a script is valid.

use crate::modules;
use crate::yaml::{Node, Yaml};

/// Keys of tasks that other languages have, and what stands for them here.
const TASK_KEYS: [(&[&str], &str); 19] = [
    (&["when", "condition", "if"], "write `with: { condition: … }`"),
    (&["loop", "with_items", "with_list", "items"], "write `with: { items: … }`; the element is `item`"),
    (&["register"], "write `save: NAME`, which shell, stat and external have"),
    (&["become", "become_user", "sudo", "run_as"], "write `with: { sudo: USER }`"),
    (&["notify"], "write `and: { notify: EVENT }`"),
    (&["ignore_errors"], "write `and: { ignore_errors: true }`"),
    (&["retries", "retry"], "write `and: { retry: N }`"),
    (&["delay"], "write `and: { delay: SECONDS }`"),
    (&["until"], "write `failed_when` with the opposite, and `and: { retry: N }`"),
    (&["tags"], "write `with: { tags: [ … ] }`"),
    (&["listen", "subscribe"], "write `with: { subscribe: EVENT }`"),
    (&["delegate_to"], "write `with: { delegate_to: localhost }`"),
    (&["state"], "`remove: true` removes; without it the thing is made"),
    (&["mode", "owner", "group"], "write `attributes: { owner: …, group: …, mode: … }`"),
    (&["no_log"], "write `secrets: [NAME]` in the play: values of these variables are never shown"),
    (&["environment", "env"], "put it in front of the command: `cmd: NAME=value program`"),
    (&["chdir", "args"], "write it in the command: `cmd: cd DIR && program`"),
    (&["creates", "removes"], "ask with `!stat`, and write `with: { condition: … }`"),
    (&["command", "argv"], "write `cmd: …`"),
];

/// Keys of plays.
const PLAY_KEYS: [(&[&str], &str); 5] = [
    (&["hosts"], "write `groups: [all]`"),
    (&["become", "become_user", "remote_user", "user"], "write `sudo: USER`"),
    (&["gather_facts"], "the task `- !facts` looks at the machine"),
    (&["pre_tasks", "post_tasks"], "write them into `tasks`, in their order"),
    (&["no_log"], "write `secrets: [NAME]`: values of these variables are never shown"),
];

/// Keys of `with`.
const WITH_KEYS: [(&[&str], &str); 4] = [
    (&["when", "if", "conditions"], "did you mean `condition`?"),
    (&["loop", "with_items", "each"], "did you mean `items`?"),
    (&["become", "become_user", "user"], "did you mean `sudo`?"),
    (
        &["listen", "event", "notify"],
        "did you mean `subscribe`? What is raised stands in `and: { notify: … }`",
    ),
];

/// Keys of `and`.
const AND_KEYS: [(&[&str], &str); 3] = [
    (&["retries", "tries"], "did you mean `retry`?"),
    (&["wait", "pause"], "did you mean `delay`?"),
    (&["register", "save"], "`save` stands beside `and`, among the module's keys"),
];

/// Modules of other languages, and how theirs is done here.
const MODULES: [(&[&str], &str); 11] = [
    (&["command", "raw", "script", "cmd"], "- !shell { cmd: … }"),
    (&["service", "systemd", "systemd_service"], "- !sd_service { service: …, started: true }"),
    (&["package"], "- !apt { package: … }"),
    (&["lineinfile", "blockinfile", "replace", "ini_file"], "- !template { content: …, dest: … }"),
    (&["set_fact"], "- !set { vars: { … } }"),
    (&["setup", "gather_facts"], "- !facts"),
    (&["shell"], "- !shell { cmd: … }"),
    (
        &["file", "directory", "stat"],
        "- !file { path: … }, - !directory { path: … } or - !stat { path: …, save: … }",
    ),
    (&["copy", "template"], "- !template { src: …, dest: … } or - !copy { src: …, dest: … }"),
    (&["debug", "echo"], "- !echo { msg: … } or - !debug { vars: [ … ] }"),
    (&["include_role", "import_role"], "`roles: [{ role: … }]` in the play"),
];

/// For a key that the mapping does not have; `what` is how findings name the mapping.
pub(crate) fn for_key(what: &str, key: &str) -> Option<&'static str> {
    match what {
        "a play" => look_up(&PLAY_KEYS, key),
        "`with`" => look_up(&WITH_KEYS, key),
        "`and`" => look_up(&AND_KEYS, key),
        _ if what.starts_with("the module") => look_up(&TASK_KEYS, key),
        _ => None,
    }
}

/// For a module that does not exist.
pub(crate) fn for_module(name: &str) -> Option<String> {
    look_up(&MODULES, short(name)).map(|ours| format!("here it is written {}", quoted(ours)))
}

/// For a task without a tag, such as `- shell: ls`.
pub(crate) fn for_untagged(node: &Node) -> Option<String> {
    let Yaml::Map(pairs) = &node.value else { return None };
    let names = pairs.iter().filter_map(|(key, _)| key.text()).map(short);
    for name in names {
        if let Some(ours) = look_up(&MODULES, name) {
            return Some(format!("here it is written {}", quoted(ours)));
        }
        if modules::names().contains(&name) {
            return Some(format!("here it is written `- !{name} {{ … }}`"));
        }
    }
    None
}

/// For a text that stands where a boolean must.
pub(crate) fn for_boolean(text: &str) -> &'static str {
    match text.trim().to_ascii_lowercase().as_str() {
        "yes" | "on" | "1" | "y" | "true" => "write `true`",
        "no" | "off" | "0" | "n" | "false" => "write `false`",
        _ => "it is `true` or `false`",
    }
}

/// For what a YAML reader says; `line` is the line that it stopped at.
pub(crate) fn for_yaml(complaint: &str, line: &str) -> Option<&'static str> {
    let indentation = &line[..line.len() - line.trim_start().len()];
    let has = |part| complaint.contains(part);
    if indentation.contains('\t') || has("tab") {
        Some("indent with blanks: YAML allows no tab there")
    } else if line.contains("{{") && !line.contains("\"{{") && !line.contains("'{{") {
        Some("a value that begins with `{{` must be quoted: \"{{ name }}\"")
    } else if has("mapping values are not allowed") {
        Some("a text that holds `: ` must be quoted")
    } else if has("unexpected character") {
        Some("a text that begins with such a character must be quoted")
    } else if has("trailing content") {
        Some("a quote inside quotes ends them: use the other sort of quotes, or write '' inside '…'")
    } else if has("escape") {
        Some("in double quotes `\\` begins an escape: use single quotes, or write `\\\\`")
    } else if has("did not find expected") || has("indent") {
        Some("do the lines of this block begin in the same column?")
    } else {
        None
    }
}

fn look_up(table: &[(&[&str], &'static str)], word: &str) -> Option<&'static str> {
    table.iter().find(|(words, _)| words.contains(&word)).map(|(_, hint)| *hint)
}

/// `shell` of `ansible.builtin.shell`.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Code in quotes; what is a sentence already stays.
fn quoted(ours: &str) -> String {
    if ours.starts_with("- ") && !ours.contains(" or ") { format!("`{ours}`") } else { ours.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_languages_have_an_answer_where_they_stand() {
        assert_eq!(for_key("the module `file`", "when"), Some("write `with: { condition: … }`"));
        assert_eq!(for_key("`with`", "when"), Some("did you mean `condition`?"));
        assert_eq!(for_key("a play", "hosts"), Some("write `groups: [all]`"));
        assert_eq!(for_key("a role", "hosts"), None);
        assert_eq!(
            for_module("ansible.builtin.command").as_deref(),
            Some("here it is written `- !shell { cmd: … }`")
        );
        assert_eq!(for_module("mount"), None);
    }

    #[test]
    fn every_module_that_a_suggestion_names_is_one() {
        for (_, ours) in MODULES {
            for name in ours.split('!').skip(1).map(|rest| rest.split(' ').next().unwrap()) {
                assert!(modules::names().contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn booleans_are_two_words() {
        let answers = ["Yes", "off", "5"].map(for_boolean);
        assert_eq!(answers, ["write `true`", "write `false`", "it is `true` or `false`"]);
    }
}

//! What a script is called where updates are listed: the name of its first play, else its first line. Pure.

use keros_protocol::Job;

use crate::cli::text::cut;

/// Characters of a title.
const MAX_CHARS: usize = 60;

/// Characters of a job in JSON that are looked at: the store reads as many.
const MAX_BEGIN: usize = 600;

/// The first characters of a job as it is kept, when it is a script.
pub(super) fn begin(job: &Job) -> Option<String> {
    match job {
        Job::JetPorch { .. } => {
            serde_json::to_string(job).ok().map(|kept| kept.chars().take(MAX_BEGIN).collect())
        }
        Job::MagicLink { .. } | Job::Unknown { .. } => None,
    }
}

/// What the script of a job that begins so is called.
pub(super) fn of(begin: &str) -> Option<String> {
    let (_, rest) = begin.split_once("\"script\":\"")?;
    let mut is_escaped = false;
    let end = rest.find(|c| match (is_escaped, c) {
        (true, _) => {
            is_escaped = false;
            false
        }
        (false, '\\') => {
            is_escaped = true;
            false
        }
        (false, c) => c == '"',
    });
    // An escape may have been cut in two: it has six characters at most, two of them `\u`.
    let inside = rest.get(..end.unwrap_or(rest.len()))?;
    let script = (0..6).find_map(|cut| {
        let part = inside.get(..inside.len().checked_sub(cut)?)?;
        serde_json::from_str::<String>(&format!("\"{part}\"")).ok()
    });
    of_script(&script?)
}

fn of_script(script: &str) -> Option<String> {
    let lines = script.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#') && *line != "---");
    let first = lines.next()?;
    let name = first.trim_start_matches('-').trim_start().strip_prefix("name:").map_or(first, str::trim);
    let name = match name.strip_prefix(['"', '\'']) {
        Some(rest) => rest.trim_end_matches(['"', '\'']),
        None => name,
    };
    let text: String = name.chars().filter(|c| !c.is_control()).collect();
    Some(cut(text.trim(), MAX_CHARS)).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(script: &str) -> Job {
        Job::JetPorch { script: script.to_owned(), vars: serde_json::Map::new() }
    }

    #[test]
    fn a_script_is_called_by_its_first_play_or_its_first_line() {
        for (script, title) in [
            ("- name: NTP servers\n  groups:\n    - all\n", Some("NTP servers")),
            ("# ours\n---\n\n- name: \"the \\u00e9tage\"\n", Some("the \\u00e9tage")),
            ("-   name:   'a: b'\n", Some("a: b")),
            ("- groups:\n    - all\n  name: x\n", Some("- groups:")),
            ("{}", Some("{}")),
            ("# nothing\n", None),
            ("", None),
        ] {
            let begin = begin(&job(script)).unwrap();
            assert_eq!(of(&begin).as_deref(), title, "{begin}");
        }
        let long = begin(&job(&format!("- name: {}", "\u{e9}".repeat(100_000)))).unwrap();
        assert_eq!(of(&long).unwrap(), "\u{e9}".repeat(MAX_CHARS - 1) + "…");
    }

    #[test]
    fn wherever_what_is_kept_was_cut_the_title_is_there_or_shorter() {
        let script = "- name: \"a \u{1f600} \\ \u{7f} name\"\n  groups:\n    - all\n";
        let kept = serde_json::to_string(&job(script)).unwrap();
        let whole = of(&kept).unwrap();
        for end in (0..kept.len()).filter(|end| kept.is_char_boundary(*end)) {
            if let Some(title) = of(&kept[..end]) {
                let title = title.trim_start_matches(['-', '"', ' ']);
                assert!(whole.starts_with(title) || "- name: \"a".contains(title), "{title:?}");
            }
        }
        assert_eq!(of("{\"kind\":\"magic_link\"}"), None);
    }
}

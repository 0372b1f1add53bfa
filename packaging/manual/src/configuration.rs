//! The page keros-agent-config(5), from the comments of the shipped configuration. It knows of YAML no more than that file has:
//! comments, and options that may stand behind a `#`.

use roff::{Roff, bold, roman};

/// What a line of the file is.
enum Line<'a> {
    Blank,
    Comment(&'a str),
    Option { indent: usize, name: &'a str, value: &'a str },
}

/// The page.
pub(crate) fn page(file: &str, version: &str) -> String {
    let mut page = Roff::new();
    page.control("TH", ["keros-agent-config", "5", "", &format!("keros-agent {version}"), "Keros update"]);
    page.control("SH", ["NAME"]);
    page.text([roman("keros-agent-config - configuration of the update agent of a KerOS gateway")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([roman("/etc/keros-agent/config.yaml, /etc/keros-agent/config.d/*.yaml")]);
    page.control("SH", ["DESCRIPTION"]);
    options(file, &mut page);
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("keros-agent"), roman("(1), "), bold("keros-agent-config"), roman("(1)")]);
    page.to_roff()
}

fn options(file: &str, page: &mut Roff) {
    let mut entry = Entry::default();
    let mut sections: Vec<(usize, &str)> = Vec::new();
    for line in file.lines().map(line) {
        match line {
            Line::Blank => entry.end(page),
            Line::Comment(text) => {
                if !entry.options.is_empty() {
                    entry.end(page);
                }
                entry.comment.push(text);
            }
            Line::Option { indent, name, value } => {
                sections.retain(|(outer, _)| *outer < indent);
                let path: Vec<&str> = sections.iter().map(|(_, name)| *name).chain([name]).collect();
                let path = path.join(".");
                if value.is_empty() {
                    sections.push((indent, name));
                    page.control("SS", [path.as_str()]);
                    entry.end(page);
                } else {
                    entry.options.push((path, value));
                }
            }
        }
    }
    entry.end(page);
}

/// A comment, and the options below it that share it.
#[derive(Default)]
struct Entry<'a> {
    comment: Vec<&'a str>,
    options: Vec<(String, &'a str)>,
}

impl Entry<'_> {
    fn end(&mut self, page: &mut Roff) {
        let mut place = if self.options.is_empty() { "PP" } else { "TP" };
        for (path, value) in self.options.drain(..) {
            page.control(place, []);
            page.text([bold(path), roman(format!(": {value}"))]);
            place = "TQ";
        }
        if place == "PP" && !self.comment.is_empty() {
            page.control(place, []);
        }
        if !self.comment.is_empty() {
            page.text([roman(self.comment.join("\n"))]);
            self.comment.clear();
        }
    }
}

fn line(text: &str) -> Line<'_> {
    let bare = text.trim_start();
    let indent = text.len() - bare.len();
    if bare.is_empty() {
        return Line::Blank;
    }
    if let Some(comment) = bare.strip_prefix("# ") {
        return Line::Comment(comment);
    }
    match bare.trim_start_matches('#').split_once(':') {
        Some((name, value)) => Line::Option { indent, name, value: value.trim() },
        None => Line::Blank,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_the_file_has_its_place_with_its_words() {
        let page = page(crate::CONFIGURATION, "1");
        for option in ["broker.host", "broker.tls.client_key_file", "telemetry.interval_s", "state_folder"] {
            assert!(page.contains(&format!("\\fB{}\\fR", option.replace('-', "\\-"))), "{option} in\n{page}");
        }
        assert!(page.contains(".SS broker.tls"), "{page}");
        assert!(page.contains("Regular interval, seconds, 1 to 86400."), "{page}");
    }

    #[test]
    fn options_that_share_a_comment_stand_together() {
        let file = "a:\n  # Both.\n  #b: 1\n  #c: 2\n  # One.\n  d: 3\n";
        let page = page(file, "1");
        let found: Vec<_> =
            page.lines().filter(|line| [".TP", ".TQ", "Both.", "One."].contains(line)).collect();
        assert_eq!(found, [".TP", ".TQ", "Both.", ".TP", "One."], "{page}");
    }
}

//! How the content of a file changes, line by line.

use std::path::Path;
use std::time::Duration;

use similar::TextDiff;

use super::Run;
use crate::system::{Content, Metadata, System};

/// Greatest content that is compared line by line, bytes.
const MAX_COMPARED_BYTES: u64 = 64 * 1024;
/// Greatest diff that is told, bytes.
const MAX_DIFF_BYTES: usize = 16 * 1024;
/// Lines around a change.
const CONTEXT_LINES: usize = 3;
/// After this the search for the shortest diff ends, and a longer one is taken.
const MAX_SEARCH: Duration = Duration::from_millis(200);

/// What would be written over what is there, as a unified diff, or in words where it is no text or too long; none when none
/// was asked for.
pub(super) fn of(
    dest: &Path,
    is: Option<&Metadata>,
    content: &Content<'_>,
    run: &mut Run<'_>,
) -> Option<String> {
    if !run.diff {
        return None;
    }
    let old = match is {
        Some(is) => side(dest, is.size_bytes, run.system),
        None => Side::Bytes(Vec::new()),
    };
    let new = match content {
        Content::Bytes(bytes) if bytes.len() as u64 <= MAX_COMPARED_BYTES => Side::Bytes(bytes.to_vec()),
        Content::Bytes(bytes) => Side::Long(bytes.len() as u64),
        Content::File(path) => script_side(path)?,
        // It can be read only once, to be written.
        Content::Stream(stream) => Side::Long(stream.length()),
        Content::Machine(path) => {
            let length = run.system.metadata(path).ok().flatten().map_or(0, |is| is.size_bytes);
            side(path, length, run.system)
        }
    };
    Some(told(dest, is.is_some(), &old, &new))
}

/// One of the two contents.
enum Side {
    Bytes(Vec<u8>),
    /// Too long, or it cannot be read; its length.
    Long(u64),
}

impl Side {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Long(length) => *length,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')),
            Self::Long(_) => None,
        }
    }
}

fn side(path: &Path, length: u64, system: &mut dyn System) -> Side {
    if length > MAX_COMPARED_BYTES {
        return Side::Long(length);
    }
    system.read(path, MAX_COMPARED_BYTES).map_or(Side::Long(length), Side::Bytes)
}

/// None where the user that the task acts as may not read the script's folder: a run goes on without a diff then.
fn script_side(path: &Path) -> Option<Side> {
    let length = std::fs::metadata(path).ok()?.len();
    if length > MAX_COMPARED_BYTES {
        return Some(Side::Long(length));
    }
    std::fs::read(path).ok().map(Side::Bytes)
}

fn told(dest: &Path, was_there: bool, old: &Side, new: &Side) -> String {
    if let (Some(old), Some(new)) = (old.text(), new.text()) {
        return bounded(unified(dest, was_there, old, new));
    }
    let what = match (old, new) {
        (Side::Bytes(_), Side::Bytes(_)) => "binary content",
        _ => "too long to be compared line by line",
    };
    let after = new.length();
    if was_there {
        format!("{what}: {} bytes before, {after} bytes after\n", old.length())
    } else {
        format!("{what}: {after} bytes\n")
    }
}

fn unified(dest: &Path, was_there: bool, old: &str, new: &str) -> String {
    let name = dest.display().to_string();
    let before = if was_there { name.as_str() } else { "/dev/null" };
    let lines = TextDiff::configure().timeout(MAX_SEARCH).diff_lines(old, new);
    lines.unified_diff().context_radius(CONTEXT_LINES).header(before, &name).to_string()
}

/// Cut at the end of a line, with a closing line that says how much was left out.
fn bounded(diff: String) -> String {
    if diff.len() <= MAX_DIFF_BYTES {
        return diff;
    }
    let mut room = MAX_DIFF_BYTES;
    while !diff.is_char_boundary(room) {
        room -= 1;
    }
    let end = diff[..room].rfind('\n').map_or(0, |end| end + 1);
    let (kept, rest) = diff.split_at(end);
    format!("{kept}[{} more lines, {} bytes, are left out]\n", rest.lines().count(), rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(old: Option<&[u8]>, new: &[u8]) -> String {
        let was_there = old.is_some();
        told(
            Path::new("/etc/f"),
            was_there,
            &Side::Bytes(old.unwrap_or_default().to_vec()),
            &Side::Bytes(new.to_vec()),
        )
    }

    #[test]
    fn a_changed_line_is_shown_with_three_lines_around_it() {
        let old: String = (1..=9).map(|n| format!("{n}\n")).collect();
        let new = old.replace('5', "five");
        let expected = "--- /etc/f\n+++ /etc/f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n";
        assert_eq!(diff(Some(old.as_bytes()), new.as_bytes()), expected);
    }

    #[test]
    fn a_new_file_is_all_plus_and_a_missing_last_line_end_is_told() {
        assert_eq!(diff(None, b"a\n"), "--- /dev/null\n+++ /etc/f\n@@ -0,0 +1 @@\n+a\n");
        assert!(diff(Some(b"a\n"), b"a").ends_with("-a\n+a\n\\ No newline at end of file\n"));
    }

    #[test]
    fn what_is_no_text_or_too_long_is_told_in_words() {
        assert_eq!(diff(Some(b"a\0b"), b"text"), "binary content: 3 bytes before, 4 bytes after\n");
        assert_eq!(diff(None, b"\xff"), "binary content: 1 bytes\n");
        let long = told(Path::new("/f"), true, &Side::Long(70_000), &Side::Bytes(b"x".to_vec()));
        assert_eq!(long, "too long to be compared line by line: 70000 bytes before, 1 bytes after\n");
    }

    #[test]
    fn a_long_diff_is_cut_at_a_line_and_says_how_much_is_missing() {
        let new = "0123456789é\n".repeat(4_000);
        let cut = diff(None, new.as_bytes());
        assert!(cut.len() <= MAX_DIFF_BYTES + 60 && cut.len() > MAX_DIFF_BYTES - 60, "{}", cut.len());
        let whole = unified(Path::new("/etc/f"), false, "", &new);
        let (kept, closing) = cut.trim_end().rsplit_once('\n').unwrap();
        let rest = &whole[kept.len() + 1..];
        assert_eq!(
            closing,
            format!("[{} more lines, {} bytes, are left out]", rest.lines().count(), rest.len())
        );
    }

    #[test]
    fn two_contents_without_a_common_line_are_compared_in_bounded_time() {
        let lines = |start: u32| (start..start + 12_000).map(|n| format!("{n}\n")).collect::<String>();
        let began = std::time::Instant::now();
        assert!(diff(Some(lines(0).as_bytes()), lines(20_000).as_bytes()).contains("left out"));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}

//! Run levels of System V: the links in `/etc/rc?.d` by which a script is started at boot, made and removed without `update-rc.d`.

use std::path::{Path, PathBuf};

use super::super::{Failure, Run};
use crate::system::{FileKind, System};

/// The script's own header, bytes.
const MAX_SCRIPT_BYTES: u64 = 1024 * 1024;
/// Where scripts are started for work; in 0, 1 and 6 they are ended.
const WORKING: [char; 5] = ['2', '3', '4', '5', 'S'];
/// The levels of a script that does not say.
const START: &str = "2 3 4 5";
const STOP: &str = "0 1 6";
/// As `update-rc.d NAME defaults` has it.
const SEQUENCE: u32 = 20;

/// A link `S20NAME` or `K80NAME` in the folder of a level.
#[derive(Debug, Clone)]
struct Entry {
    level: char,
    starts: bool,
    sequence: u32,
    path: PathBuf,
}

/// The links of one script.
pub(super) struct Levels(Vec<Entry>);

impl Levels {
    pub(super) fn read(name: &str, system: &mut dyn System) -> Result<Self, Failure> {
        let mut entries = Vec::new();
        for level in "0123456S".chars() {
            if !has_level(level, system)? {
                continue;
            }
            for path in system.list_tree(&folder(level))? {
                let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
                if let Some((starts, sequence)) = parse(file, name) {
                    entries.push(Entry { level, starts, sequence, path: path.clone() });
                }
            }
        }
        Ok(Self(entries))
    }

    /// It is started in a level in which work is done.
    pub(super) fn is_enabled(&self) -> bool {
        self.0.iter().any(|entry| entry.starts && WORKING.contains(&entry.level))
    }

    /// Has it started in the levels that its header names, ended in the others. A link that ends it there gives way to one that starts it.
    pub(super) fn enable(&self, name: &str, script: &str, run: &mut Run<'_>) -> Result<(), Failure> {
        let text = run.system.read(Path::new(script), MAX_SCRIPT_BYTES)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let start = levels_of(&text, "Default-Start:").unwrap_or_else(|| levels_in(START));
        let stop = levels_of(&text, "Default-Stop:").unwrap_or_else(|| levels_in(STOP));
        let mut is_done = false;
        for (starts, levels) in [(true, start), (false, stop)] {
            for level in levels {
                if !has_level(level, run.system)? {
                    continue;
                }
                is_done |= starts;
                let here: Vec<&Entry> = self.0.iter().filter(|entry| entry.level == level).collect();
                if here.iter().any(|entry| entry.starts == starts) {
                    continue;
                }
                let mirrored = here.first().map(|entry| 100_u32.saturating_sub(entry.sequence).min(99));
                let default = if starts { SEQUENCE } else { 100 - SEQUENCE };
                link(level, starts, mirrored.unwrap_or(default), name, run.system)?;
                here.iter().try_for_each(|entry| run.system.remove_file(&entry.path))?;
            }
        }
        if is_done {
            Ok(())
        } else {
            Err(format!("there is no /etc/rc?.d here in which to enable {name}").into())
        }
    }

    /// Has it ended where it was started, as `update-rc.d NAME disable` does, so that an upgrade of its package knows that this is meant.
    pub(super) fn disable(&self, name: &str, system: &mut dyn System) -> Result<(), Failure> {
        for entry in self.0.iter().filter(|entry| entry.starts && WORKING.contains(&entry.level)) {
            link(entry.level, false, 100_u32.saturating_sub(entry.sequence).min(99), name, system)?;
            system.remove_file(&entry.path)?;
        }
        Ok(())
    }
}

fn folder(level: char) -> PathBuf {
    PathBuf::from(format!("/etc/rc{level}.d"))
}

fn has_level(level: char, system: &mut dyn System) -> Result<bool, Failure> {
    Ok(system.metadata(&folder(level))?.is_some_and(|is| is.kind == FileKind::Directory))
}

fn link(
    level: char,
    starts: bool,
    sequence: u32,
    name: &str,
    system: &mut dyn System,
) -> Result<(), Failure> {
    let letter = if starts { 'S' } else { 'K' };
    let path = folder(level).join(format!("{letter}{sequence:02}{name}"));
    Ok(system.make_link(&path, &Path::new("../init.d").join(name))?)
}

/// Whether a file in a level's folder starts this script, and in which turn.
fn parse(file: &str, name: &str) -> Option<(bool, u32)> {
    let kind = file.strip_suffix(name)?;
    let starts = match kind.chars().next()? {
        'S' => true,
        'K' => false,
        _ => return None,
    };
    let digits =
        kind.get(1..).filter(|digits| digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()))?;
    Some((starts, digits.parse().ok()?))
}

/// The levels in a line of the script's header; `None` where it names none.
fn levels_of(script: &str, key: &str) -> Option<Vec<char>> {
    let header = script.lines().skip_while(|line| !line.starts_with("### BEGIN INIT INFO"));
    let mut header = header.take_while(|line| !line.starts_with("### END INIT INFO"));
    let levels = levels_in(header.find_map(|line| line.trim_start_matches('#').trim().strip_prefix(key))?);
    (!levels.is_empty()).then_some(levels)
}

fn levels_in(text: &str) -> Vec<char> {
    text.chars().filter(|c| "0123456S".contains(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_known_by_letter_number_and_the_whole_name() {
        assert_eq!(parse("S20fwd", "fwd"), Some((true, 20)));
        assert_eq!(parse("K05fwd", "fwd"), Some((false, 5)));
        for file in ["S20lorafwd", "fwd", "S2fwd", "S200fwd", "X20fwd", "Sxyfwd", "S20fwd.sh", "S+1fwd"] {
            assert_eq!(parse(file, "fwd"), None, "{file}");
        }
    }

    #[test]
    fn levels_come_from_the_header_of_the_script() {
        let script = "#!/bin/sh\n# Default-Start: 1\n### BEGIN INIT INFO\n# Provides: x\n# Default-Start:  S 3\n\
                      # Default-Stop:\n### END INIT INFO\n";
        assert_eq!(levels_of(script, "Default-Start:"), Some(vec!['S', '3']));
        assert_eq!(levels_of(script, "Default-Stop:"), None);
        assert_eq!(levels_of("#!/bin/sh\n", "Default-Start:"), None);
    }
}

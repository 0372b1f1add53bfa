//! That the simulation can see: a machine that breaks a promise which the real code relies upon must be caught, by the sentence
//! that becomes untrue. Each lie stands for a step left out of the real code. Run by hand:
//! `cargo test --profile simulation -p keros-tests --test simulation -- --ignored --nocapture lies`.

use crate::plan::Lie;
use crate::world::history;

/// Tells for each lie the first seed that catches it, and how.
#[test]
#[ignore = "tells which seed catches which lie; takes minutes"]
fn which_seed_catches_which_lie() {
    let lies = [
        Lie::Sync("state.json.new"),
        Lie::Sync("journal.jsonl"),
        Lie::Sync("/started"),
        Lie::Sync("outcome.json.new"),
        Lie::Sync("resume.json.new"),
        Lie::Sync("command.json"),
        Lie::Sync("floor.new"),
        Lie::FolderSync("/agent"),
        Lie::FolderSync("/agent/commands"),
        Lie::FolderSync("/executor"),
        Lie::FolderSync("/executor/jobs"),
        Lie::FolderSync("/"),
        Lie::Lock("/executor/lock"),
        Lie::Lock("/lock"),
        Lie::Rename("state.json"),
        Lie::Rename("/floor"),
        Lie::Rename("confirm.json"),
        Lie::Ending,
    ];
    for lie in lies {
        let found = (1..=1500).find_map(|seed| Some((seed, history(seed, false, Some(lie)).err()?.text)));
        match found {
            Some((seed, text)) => println!("{lie:?}, {seed}: {}", text.chars().take(160).collect::<String>()),
            None => println!("{lie:?}: not caught"),
        }
    }
}

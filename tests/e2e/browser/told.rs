//! A story that nobody starts shows nothing, and a sentence that no story shows is not kept. `docs/browser.md` is made of this.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use keros_tests::project_root;

use crate::sentences::{NOT_SHOWN, SENTENCES};
use crate::stage::{all_stories, is_possible};
use crate::{ALWAYS, FULL};

/// What the page begins and ends the tables with.
const BEGIN: &str = "<!-- The tables are made by a test. -->\n";
const END: &str = "<!-- End of the tables. -->\n";

#[test]
fn every_story_is_told() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let told: BTreeSet<String> = ALWAYS.iter().chain(FULL).map(ToString::to_string).collect();
    assert_eq!(all_stories()?, told);
    Ok(())
}

#[test]
fn each_sentence_is_shown_by_stories_that_are_told_and_ten_are_always() -> Result<()> {
    let mut always = 0;
    for (sentence, stories) in SENTENCES {
        ensure!(!stories.is_empty(), "no story shows: {sentence}");
        for story in *stories {
            ensure!(runs_in(story).is_some(), "{story} is told by nobody: {sentence}");
        }
        always += usize::from(stories.iter().any(|story| ALWAYS.contains(story)));
    }
    ensure!(always >= 10, "`./run test` shows {always} sentences only");
    Ok(())
}

#[test]
fn the_document_names_each_sentence_with_its_stories() -> Result<()> {
    let path = project_root().join("docs/browser.md");
    let text = std::fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(BEGIN).context("docs/browser.md has no beginning of the tables")?;
    let (_, after) = rest.split_once(END).context("docs/browser.md has no end of the tables")?;
    let made = [before, BEGIN, &tables()?, END, after].concat();
    if std::env::var_os("KEROS_BLESS").is_some() {
        std::fs::write(&path, made)?;
    } else {
        ensure!(text == made, "docs/browser.md is not up to date: run this test with KEROS_BLESS=1");
    }
    Ok(())
}

/// The command that tells a story.
fn runs_in(story: &str) -> Option<&'static str> {
    if ALWAYS.contains(&story) { Some("test") } else { FULL.contains(&story).then_some("full") }
}

fn tables() -> Result<String> {
    let mut text = "| sentence | shown by | in `./run` |\n| --- | --- | --- |\n".to_owned();
    for (sentence, stories) in SENTENCES {
        let names: Vec<String> = stories.iter().map(|story| format!("`{story}`")).collect();
        let runs: BTreeSet<&str> = stories.iter().filter_map(|story| runs_in(story)).collect();
        // The one that runs more often comes first.
        let runs: Vec<&str> = runs.into_iter().rev().collect();
        writeln!(text, "| {sentence} | {} | {} |", names.join(", "), runs.join(", "))?;
    }
    text.push_str("\nNot shown:\n\n| sentence | why |\n| --- | --- |\n");
    for (sentence, why) in NOT_SHOWN {
        writeln!(text, "| {sentence} | {why} |")?;
    }
    text.push_str("\nBeyond these sentences:\n\n| story | in `./run` |\n| --- | --- |\n");
    let shown: BTreeSet<&str> = SENTENCES.iter().flat_map(|(_, stories)| *stories).copied().collect();
    for story in ALWAYS.iter().chain(FULL).filter(|story| !shown.contains(**story)) {
        writeln!(text, "| `{story}` | {} |", runs_in(story).unwrap_or_default())?;
    }
    Ok(text)
}

//! A story that nobody starts shows nothing.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::stage::{all_stories, is_possible};

#[test]
fn every_story_is_told() -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let told: BTreeSet<String> = crate::TOLD.iter().map(ToString::to_string).collect();
    assert_eq!(all_stories()?, told);
    Ok(())
}

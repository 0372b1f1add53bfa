//! `keys generate` and `keys show`.

use std::io::Write;

use super::Ended;
use super::arguments::files::KeysCommand;
use crate::keys::{self, Instructions};

pub(super) fn run(command: &KeysCommand, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let pairs = match command {
        KeysCommand::Generate(folder) => keys::generate(&folder.path())?,
        KeysCommand::Show(folder) => keys::show(&folder.path())?,
    };
    write!(out, "{}", Instructions(&pairs))?;
    Ok(Ended::Done)
}

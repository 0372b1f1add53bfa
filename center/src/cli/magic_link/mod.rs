//! `magic-link …`: makes bundles and moves them between folders, the center and registries.

pub(crate) mod arguments;
mod create;
mod expiry;
pub(crate) mod place;
mod progress;
mod show;
mod upload;

use std::io::Write;

use super::arguments::Access;
use super::{Ended, connect};
use arguments::MagicLinkCommand;

pub(super) fn run(access: &Access, command: MagicLinkCommand, out: &mut dyn Write) -> anyhow::Result<Ended> {
    match command {
        MagicLinkCommand::Create(arguments) => create::run(access, *arguments, out),
        MagicLinkCommand::Show { place } => show::run(|| connect(access), &place, access.json, out),
    }
}

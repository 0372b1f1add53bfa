//! `magic-link …`: makes bundles and moves them between folders, the center and registries.

pub(crate) mod arguments;
mod center;
mod create;
mod expiry;
pub(crate) mod place;
mod progress;
pub(crate) mod show;
mod transfer;
pub(crate) mod upload;

use std::io::Write;

use super::arguments::Access;
use super::{Ended, connect};
use arguments::MagicLinkCommand;

pub(super) fn run(
    access: &Access,
    command: Option<MagicLinkCommand>,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let (client, json) = (|| connect(access), access.json);
    match command.unwrap_or(MagicLinkCommand::List) {
        MagicLinkCommand::Create(arguments) => create::run(access, *arguments, out),
        MagicLinkCommand::Show { place, show_playbook: true, .. } => show::playbook(client, &place, out),
        MagicLinkCommand::Show { place, group, .. } => show::run(client, &place, group.as_deref(), json, out),
        MagicLinkCommand::List => center::list(&client()?, json, out),
        MagicLinkCommand::Export { hash, output } => transfer::export(&client()?, &hash, &output, json, out),
        MagicLinkCommand::Import { input, hash } => {
            transfer::import(&client()?, &input, hash.as_ref(), json, out)
        }
        MagicLinkCommand::Push { hash, to, registry } => {
            transfer::push(&client()?, &hash, &to, &registry, json, out)
        }
        MagicLinkCommand::Pull { from, registry } => transfer::pull(&client()?, &from, &registry, json, out),
        MagicLinkCommand::Sign(arguments) => center::sign(&client()?, &arguments, json, out),
        MagicLinkCommand::Remove { hash } => center::remove(&client()?, &hash, json, out),
        MagicLinkCommand::Collect { older_than } => center::collect(&client()?, older_than, json, out),
    }
}

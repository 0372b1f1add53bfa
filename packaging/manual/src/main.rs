//! Makes the manual pages and shell completions of the packages, from the command lines that the programs have and from the
//! configuration that is shipped: what is written nowhere twice cannot disagree. It is run when packages are made, and is in none.
//!
//! `keros-manual FOLDER` writes `FOLDER/PACKAGE/`, laid out like /usr/share.

mod configuration;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Command;
use clap_complete::Shell;

/// The configuration as it is shipped.
const CONFIGURATION: &str = include_str!("../../config.yaml");

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).context("usage: keros-manual FOLDER")?;
    let agent = folder.join("keros-agent");
    for command in [keros_agent::command(), keros_executor::command()] {
        describe(command, &agent)?;
    }
    let page = configuration::page(CONFIGURATION, env!("CARGO_PKG_VERSION"));
    write(&agent.join("man/man5/keros-agent-config.5"), page.as_bytes())?;
    describe(keros_center::command(), &folder.join("keros-center"))
}

/// The pages of one program and its subcommands, and its completions.
fn describe(command: Command, share: &Path) -> Result<()> {
    let name = command.get_name().to_owned();
    let pages = share.join("man/man1");
    fs::create_dir_all(&pages).with_context(|| format!("cannot make {}", pages.display()))?;
    // The page of a program names those of its subcommands; without pages for `help`, which only repeats them.
    clap_mangen::generate_to(command.clone().disable_help_subcommand(true), &pages)?;
    for page in fs::read_dir(&pages)? {
        let page = page?.path();
        write(&page, keep_lines(&fs::read_to_string(&page)?).as_bytes())?;
    }
    for (shell, place) in [
        (Shell::Bash, format!("bash-completion/completions/{name}")),
        (Shell::Zsh, format!("zsh/vendor-completions/_{name}")),
        (Shell::Fish, format!("fish/vendor_completions.d/{name}.fish")),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), &name, &mut script);
        write(&share.join(place), &script)?;
    }
    Ok(())
}

/// What stands below the options is examples and tables, whose lines must stay as they are.
fn keep_lines(page: &str) -> String {
    let Some((before, extra)) = page.split_once("\n.SH EXTRA\n") else { return page.to_owned() };
    let (extra, after) =
        extra.split_once("\n.SH ").map_or((extra, None), |(extra, after)| (extra, Some(after)));
    let after = after.map(|after| format!("\n.SH {after}")).unwrap_or_default();
    format!("{before}\n.SH NOTES\n.nf\n{extra}\n.fi{after}")
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .with_context(|| path.display().to_string())
}

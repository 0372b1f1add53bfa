//! `magic-link …`: what can be written.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use keros_protocol::UnixSeconds;
use keros_protocol::magic_link::{GatewayPattern, KerosRange, Title};

use super::expiry::parse_expiry;
use super::place::Place;
use crate::bundle::parse_pattern;

/// `magic-link …`.
#[derive(Debug, Subcommand)]
pub(crate) enum MagicLinkCommand {
    /// Make one of a folder, check it as a gateway would, and print its hash
    #[command(after_long_help = CREATE_EXAMPLES)]
    Create(Box<CreateArguments>),
    /// Show what one holds and for whom it is: of the center, or of a folder or tar made by `export` or `create --output`
    Show {
        /// The hash (or its first 8 digits or more), or a folder or tar with an OCI image layout
        #[arg(value_name = "HASH|FOLDER|FILE.tar")]
        place: Place,
    },
}

/// `magic-link create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// The folder: a playbook, and beside it roles/, files/, templates/ as it needs them
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) fit: FitArguments,
    /// The file to run [default: site.yml, else the only .yml file at the top]
    #[arg(long, value_name = "FILE")]
    pub(crate) playbook: Option<Title>,
    /// Do not upload it: write an OCI image layout, as a tar when the name ends in .tar, else as a folder
    #[arg(long, value_name = "FOLDER|FILE.tar")]
    pub(crate) output: Option<PathBuf>,
}

/// For whom and until when.
#[derive(Debug, Args)]
pub(crate) struct FitArguments {
    /// File with the gateways that may run it: an EUI, or a beginning like 7076FF*, a line; # begins a comment
    #[arg(long, value_name = "FILE", required_unless_present = "gateway")]
    pub(crate) gateways: Vec<PathBuf>,
    /// A gateway that may run it, or a beginning like '7076FF*'; may be repeated
    #[arg(long, value_name = "EUI|PREFIX*", value_parser = parse_pattern)]
    pub(crate) gateway: Vec<GatewayPattern>,
    /// What to call it [default: the folder's name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it does, for people
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) description: String,
    /// The KerOS versions that it fits, like '>=6.2, <7' or '5 || 6.3' [default: any]
    #[arg(long, value_name = "RANGE")]
    pub(crate) keros: Option<KerosRange>,
    /// Hardware that it fits, by code name like wiis; may be repeated [default: any]
    #[arg(long, value_name = "CODENAME")]
    pub(crate) model: Vec<String>,
    /// No gateway starts it after that: 30d, 2026-12-31 (the end of that day, UTC) or 2026-12-31T18:00:00Z [default: never]
    #[arg(long, value_name = "DATE|TIME", value_parser = parse_expiry)]
    pub(crate) expires: Option<UnixSeconds>,
}

impl FitArguments {
    /// The hardware, each once.
    pub(crate) fn models(&self) -> BTreeSet<String> {
        self.model.iter().cloned().collect()
    }
}

const CREATE_EXAMPLES: &str = "\
A folder for one site, and the way to its gateways:
  keros-center magic-link create forwarder/ --gateways north.txt
  keros-center update send --group north --magic-link HASH

For all gateways of one maker on KerOS 6, for a month; the hash alone is on standard output:
  HASH=$(keros-center magic-link create forwarder/ --gateway '7076FF*' --keros '>=6.2, <7' --expires 30d)

For a USB stick, without any center:
  keros-center magic-link create forwarder/ --gateways north.txt --output forwarder.tar

The same files, gateways and conditions give the same hash, always. --expires 30d counts from now, so its hash is a new one
each time; a date is not. Files that their owner may run stay programs. Left out: folders of version control (.git, .hg, .svn,
.jj) and empty folders. Refused by name: symbolic links, sockets, devices, names that are not UTF-8, more than 1,000 files or
512 MiB.";

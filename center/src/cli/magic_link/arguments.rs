//! `magic-link …`: what can be written.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use keros_protocol::UnixSeconds;
use keros_protocol::magic_link::{GatewayPattern, KerosRange, Title};

use super::expiry::parse_expiry;
use super::place::{Hash, Place};
use crate::bundle::distribution::Reference;
use crate::bundle::{Placed, Quick, parse_pattern};
use crate::cli::text::parse_duration_s;

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
        /// Name the gateways of this group that would refuse it
        #[arg(long)]
        group: Option<String>,
        /// Print the playbook
        #[arg(long, conflicts_with = "group")]
        show_playbook: bool,
    },
    /// List those that the center has (also without a word)
    List,
    /// Write one of the center to a folder or tar, for a place without a network
    #[command(after_long_help = EXPORT_EXAMPLES)]
    Export {
        /// The hash
        hash: Hash,
        /// An OCI image layout is written there: as a tar when the name ends in .tar, else as a folder
        #[arg(value_name = "FOLDER|FILE.tar")]
        output: PathBuf,
    },
    /// Give the center one from a folder or tar
    Import {
        /// A folder or tar with an OCI image layout
        #[arg(value_name = "FOLDER|FILE.tar")]
        input: PathBuf,
        /// The hash, when several are in there
        hash: Option<Hash>,
    },
    /// Copy one of the center to a registry
    #[command(after_long_help = PUSH_EXAMPLES)]
    Push {
        /// The hash
        hash: Hash,
        /// Where to: REGISTRY/NAME or REGISTRY/NAME:TAG
        #[arg(value_name = "REGISTRY/NAME[:TAG]")]
        to: Reference,
        #[command(flatten)]
        registry: RegistryArguments,
    },
    /// Give the center one from a registry
    Pull {
        /// Where from: REGISTRY/NAME@sha256:HASH or REGISTRY/NAME:TAG
        #[arg(value_name = "REGISTRY/NAME@HASH|:TAG")]
        from: Reference,
        #[command(flatten)]
        registry: RegistryArguments,
    },
    /// Sign the command that lets a technician run one on one gateway, from a USB stick
    #[command(after_long_help = SIGN_EXAMPLES)]
    Sign(SignArguments),
    /// Remove one from the center; not while an update runs it
    Remove {
        /// The hash
        hash: Hash,
    },
    /// Remove all from the center that no update runs
    Collect {
        /// Only those that were uploaded, and last sent, longer ago than this
        #[arg(long, value_name = "TIME", default_value = "30d", value_parser = parse_duration_s)]
        older_than: u32,
    },
}

/// How to get into a registry.
#[derive(Debug, Args)]
pub(crate) struct RegistryArguments {
    /// User name at the registry
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub(crate) username: Option<String>,
    /// File with the password at the registry in its first line
    #[arg(long, value_name = "FILE", requires = "username")]
    pub(crate) password_file: Option<PathBuf>,
    /// Authority of the registry's certificate, PEM [default: the system's ones]
    #[arg(long, value_name = "FILE", conflicts_with = "plain_http")]
    pub(crate) ca: Option<PathBuf>,
    /// Without TLS: passwords cross the network readable
    #[arg(long)]
    pub(crate) plain_http: bool,
}

/// `magic-link sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArguments {
    /// The hash
    pub(crate) hash: Hash,
    /// The gateway
    #[arg(long, value_name = "EUI")]
    pub(crate) gateway: keros_protocol::Eui,
    /// Write the signed command there [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The gateway does not start it after that
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_duration_s)]
    pub(crate) expires: u32,
    /// Change nothing on the gateway, tell what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The gateway undoes the job by itself unless it reaches the center within this time; at most 24h [default: 0, never: it may be out of
    /// reach for good]
    #[arg(long, value_name = "TIME", value_parser = parse_duration_s)]
    pub(crate) confirm_window: Option<u32>,
}

/// `magic-link create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// The folder: a playbook, and beside it roles/, files/, templates/ as it needs them
    #[arg(required_unless_present_any = ["deb", "ipk", "file", "restart"], conflicts_with_all = ["deb", "ipk", "file", "restart"])]
    pub(crate) dir: Option<PathBuf>,
    /// The file to run [default: site.yml, else the only .yml file at the top]
    #[arg(long, value_name = "FILE", requires = "dir")]
    pub(crate) playbook: Option<Title>,
    /// Do not upload it: write an OCI image layout, as a tar when the name ends in .tar, else as a folder
    #[arg(long, value_name = "FOLDER|FILE.tar")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) fit: FitArguments,
    // The last one: its heading stands over all that comes behind it.
    #[command(flatten)]
    pub(crate) quick: QuickArguments,
}

/// What is to be done, without a playbook.
#[derive(Debug, Args)]
#[command(next_help_heading = "Instead of a folder")]
pub(crate) struct QuickArguments {
    /// Install this package on gateways with dpkg (KerOS 6); may be repeated
    #[arg(long, value_name = "FILE.deb")]
    deb: Vec<PathBuf>,
    /// Install this package on gateways with opkg (KerOS 4 and 5); may be repeated. Beside --deb each gateway gets its kind
    #[arg(long, value_name = "NAME_VERSION_ARCH.ipk")]
    ipk: Vec<PathBuf>,
    /// Put this file there; the mode is 0644, or 0755 for a program, unless it is stated. Folders are made; may be repeated
    #[arg(long, value_name = "LOCAL:/REMOTE/PATH[:MODE]")]
    file: Vec<Placed>,
    /// Restart this service when a package or file has changed (with nothing else: always); may be repeated
    #[arg(long, value_name = "SERVICE")]
    restart: Vec<String>,
    /// Print the playbook that this comes to, and make nothing
    #[arg(long, conflicts_with = "dir")]
    pub(crate) show_playbook: bool,
}

impl QuickArguments {
    /// What is asked for.
    pub(crate) fn quick(self) -> Quick {
        Quick { debs: self.deb, ipks: self.ipk, files: self.file, restart: self.restart }
    }
}

/// For whom and until when.
#[derive(Debug, Args)]
#[command(next_help_heading = "For whom and until when")]
pub(crate) struct FitArguments {
    /// File with the gateways that may run it: an EUI, or a beginning like 7076FF*, a line; # begins a comment
    #[arg(long, value_name = "FILE", required_unless_present_any = ["gateway", "show_playbook"])]
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

Without a playbook of your own; its restart is done where something has changed:
  keros-center magic-link create --deb lorafwd_4.2_arm64.deb --file lorafwd.toml:/etc/lorafwd.toml:0640 \\
    --restart lorafwd --gateways north.txt
  keros-center magic-link create --deb lorafwd_4.2_arm64.deb --restart lorafwd --show-playbook

The same files, gateways and conditions give the same hash, always. --expires 30d counts from now, so its hash is a new one
each time; a date is not. Files that their owner may run stay programs. Left out: folders of version control (.git, .hg, .svn,
.jj) and empty folders. Refused by name: symbolic links, sockets, devices, names that are not UTF-8, more than 1,000 files or
512 MiB.";

const EXPORT_EXAMPLES: &str = "\
For a technician with a USB stick: the bundle, and a command for each gateway:
  keros-center magic-link export HASH forwarder.tar
  keros-center magic-link sign HASH --gateway 7076FF0056070123 --output 7076FF0056070123.json

On the gateway:
  keros-agent apply forwarder.tar HASH --command 7076FF0056070123.json

For another center, or for any tool that reads OCI image layouts:
  keros-center magic-link import forwarder.tar
  skopeo copy oci:FOLDER docker://registry.example/keros/forwarder:4.2";

const PUSH_EXAMPLES: &str = "\
To a registry of your own, and from there to the gateways:
  keros-center magic-link push HASH registry.example/keros/forwarder:4.2 --username ci --password-file registry.password
  keros-center update send --group north --magic-link HASH --source https://registry.example/v2/keros/forwarder

Without a tag it is there by its hash alone; many registries remove what has no tag after a while.";

const SIGN_EXAMPLES: &str = "\
  keros-center magic-link sign HASH --gateway 7076FF0056070123 --output command.json

The center never sends this command. What became of it is seen in `keros-center update list` as soon as the gateway reaches the
center again; `keros-center update cancel` ends it.";

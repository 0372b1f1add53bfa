//! `update …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keros_protocol::UpdateId;
use keros_protocol::magic_link::Source;

use crate::cli::magic_link::place::Hash;
use crate::cli::text::{parse_duration_s, parse_utc};
use crate::plan::{Stage, Window};

/// `update …`.
#[derive(Debug, Subcommand)]
pub(crate) enum UpdateCommand {
    /// Check a JetPorch script here, then send it to a group; or send a Magic Link
    #[command(after_long_help = SEND_EXAMPLES)]
    Send(Box<SendArguments>),
    /// List updates, newest first
    List {
        /// Updates at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show one update, gateway by gateway
    Show {
        /// The update
        id: UpdateId,
    },
    /// Follow an update until it has ended, or until all that has not is overdue
    Watch {
        /// The update
        id: UpdateId,
        /// Go on when a gateway is overdue: silent, or at it, for longer than its command may take
        #[arg(long)]
        until_ended: bool,
    },
    /// Send the job of an update again, to those of its gateways that it did not succeed on
    Retry {
        /// The update
        id: UpdateId,
        /// Only those with these outcomes: failed, refused, timed_out, interrupted, rolled_back, cancelled, expired, succeeded [default: all that
        /// did not succeed, and expired]
        #[arg(long, value_name = "NAME,NAME…", value_delimiter = ',')]
        outcomes: Vec<String>,
    },
    /// Send what a dry run was for, to those of its gateways on which it succeeded
    CarryOut {
        /// The dry run
        id: UpdateId,
    },
    /// Let a roll-out go on that has stopped, or begin its next stage now
    GoOn {
        /// The update
        id: UpdateId,
    },
    /// Print updates, or the gateways of one, as CSV
    Export {
        /// The gateways of this update
        id: Option<UpdateId>,
    },
    /// Cancel an update: what waits is never sent, what is under way is asked to stop
    #[command(after_long_help = CANCEL_EXAMPLES)]
    Cancel {
        /// The update
        id: UpdateId,
        /// For this gateway alone
        #[arg(long, value_name = "EUI")]
        gateway: Option<keros_protocol::Eui>,
        /// Do not ask first
        #[arg(long, short = 'y')]
        yes: bool,
    },
}

const SEND_EXAMPLES: &str = "\
A script, for KerOS 6:
  keros-center update send --group north --script ntp.yml --watch

A Magic Link, for the gateways that it declares, from this center or from a registry:
  keros-center update send --group north --magic-link HASH
  keros-center update send --group north --magic-link HASH --source https://registry.example/v2/keros/base

One gateway alone; a dry run of all first; at night; one gateway, then 5 %, then the rest:
  keros-center update send --gateway 7076FF0056070123 --script ntp.yml
  keros-center update send --group north --script ntp.yml --dry-run-first
  keros-center update send --group north --script ntp.yml --not-before 2026-11-27T20:00Z --window 22:00-04:00+01:00
  keros-center update send --group north --script ntp.yml --stages 1,5% --max-failed 5";

const CANCEL_EXAMPLES: &str = "\
For all gateways of an update, or for one:
  keros-center update cancel 01920000-0000-7000-8000-000000000002
  keros-center update cancel 01920000-0000-7000-8000-000000000002 --gateway 7076FF0056070123

What it says of each gateway:
  never delivered  it was not sent, and will not be
  asked            the gateway may have it: it does not start it, stops after the task under way, or rolls back what
                   waits for confirmation; `update watch` shows what came of it
  too late         it had ended: its outcome stays";

/// `update send`.
#[derive(Debug, Args)]
pub(crate) struct SendArguments {
    /// The group
    #[arg(long, required_unless_present = "gateway")]
    pub(crate) group: Option<String>,
    /// One gateway, and no group
    #[arg(long, value_name = "EUI", conflicts_with_all = ["group", "stages"])]
    pub(crate) gateway: Option<keros_protocol::Eui>,
    /// The JetPorch script: a YAML file, or - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "magic_link")]
    pub(crate) script: Option<PathBuf>,
    /// The hash of a Magic Link that the center has: see `keros-center magic-link create`
    #[arg(long, value_name = "HASH", conflicts_with_all = ["script", "extra_vars"])]
    pub(crate) magic_link: Option<Hash>,
    /// Where gateways get it from, like https://registry.example/v2/keros/base [default: this center]
    #[arg(long, value_name = "URL", requires = "magic_link")]
    pub(crate) source: Option<Source>,
    /// Variables: @FILE.yml, {"name": "value"} or name=value; may be repeated, the last one wins
    #[arg(short = 'e', long = "extra-vars", value_name = "VARS")]
    pub(crate) extra_vars: Vec<String>,
    /// Change nothing on the gateways, tell what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Send a dry run to all gateways at once; `update carry-out` sends the real one
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) dry_run_first: bool,
    /// Hand it out to no gateway before this time of UTC, like 2026-11-27T20:00Z; --expires counts from then
    #[arg(long, value_name = "TIME", value_parser = parse_utc)]
    pub(crate) not_before: Option<u64>,
    /// Hand it out only in this window, like `22:00-04:00` or `mon-fri 22:00-04:00+01:00`; what a gateway has got goes on
    #[arg(long, value_name = "WINDOW")]
    pub(crate) window: Option<Window>,
    /// Hand it out in stages: how many gateways first (1), or which part of all (5%); the rest follows
    #[arg(long, value_name = "N,N%…", value_delimiter = ',')]
    pub(crate) stages: Vec<Stage>,
    /// Stop by itself when more than this part of a stage did not succeed, percent
    #[arg(long, value_name = "PERCENT", default_value_t = 10, requires = "stages", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) max_failed: u8,
    /// Wait at least so long between two stages
    #[arg(long, value_name = "TIME", default_value = "0", requires = "stages", value_parser = parse_duration_s)]
    pub(crate) stage_wait: u32,
    /// A gateway that has not started it by then never will
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_duration_s)]
    pub(crate) expires: u32,
    /// Longest time for one task [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration_s)]
    pub(crate) task_timeout: Option<u32>,
    /// Longest time for the whole script [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = parse_duration_s)]
    pub(crate) total_timeout: Option<u32>,
    /// A gateway that does not reach the center again within this time undoes the job by itself; 0 switches that off, at most
    /// 24h [default: 30m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration_s)]
    pub(crate) confirm_window: Option<u32>,
    /// Follow it until it has ended, or until all that has not is overdue
    #[arg(long)]
    pub(crate) watch: bool,
}

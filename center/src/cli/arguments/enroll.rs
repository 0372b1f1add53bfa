//! `enroll …`.

use clap::{Args, Subcommand};

use crate::cli::text::parse_duration_s;

/// `enroll EUI…`.
#[derive(Debug, Args)]
pub(crate) struct EnrollOrder {
    /// The gateways
    #[arg(value_name = "EUI", value_delimiter = ',', required = true)]
    pub(crate) gateways: Vec<keros_protocol::Eui>,
    /// For how long each line is good, at most 30d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration_s)]
    pub(crate) valid: u32,
}

/// `enroll …`.
#[derive(Debug, Subcommand)]
pub(crate) enum EnrollCommand {
    /// List the lines that were made, and how far their gateways are
    List,
    /// Take back a line that is not used up
    Cancel {
        /// The gateway
        eui: keros_protocol::Eui,
    },
    /// Lock a gateway out: its line, its certificates and its password are no longer good, its connection is ended
    Revoke {
        /// The gateway
        eui: keros_protocol::Eui,
    },
}

pub(super) const ENROLL_EXAMPLES: &str = "\
At the center, which serves with --mqtt-tls and --registry-tls:
  keros-center enroll 7076FF0056070123

At the gateway, as root: paste the line, then Enter
  sudo keros-agent enroll -

What became of it, and locking a stolen gateway out:
  keros-center enroll list
  keros-center enroll revoke 7076FF0056070123";

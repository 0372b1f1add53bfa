//! `groups …`.

use clap::Subcommand;

/// `groups …`.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// List all groups (also without a word)
    List,
    /// Show one group
    Show {
        /// Its name
        name: String,
    },
    /// Make a group
    Create {
        /// Its name
        name: String,
        /// Its gateways
        #[arg(long, value_delimiter = ',', value_name = "EUI,EUI…")]
        gateways: Vec<keros_protocol::Eui>,
        /// Free text
        #[arg(long, default_value = "")]
        description: String,
        /// The rule that other gateways are members by
        #[arg(long, value_name = "RULE")]
        rule: Option<String>,
        /// People want to hear of members that are out of reach
        #[arg(long)]
        alerting: bool,
        /// Its customer, by id or name; your only one, or `main`, when nothing is said
        #[arg(long, value_name = "CUSTOMER")]
        customer: Option<String>,
    },
    /// Name, describe, rule a group; what is not said stays
    #[command(after_long_help = RULE_HELP)]
    Edit {
        /// Its name
        group: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// Free text
        #[arg(long)]
        description: Option<String>,
        /// The rule that gateways are members by, beside those that are put into it; empty for none
        #[arg(long, value_name = "RULE")]
        rule: Option<String>,
        /// Whether people want to hear of members that are out of reach
        #[arg(long, value_name = "true|false")]
        alerting: Option<bool>,
    },
    /// Add gateways to a group
    Add {
        /// Its name
        name: String,
        /// The gateways
        #[arg(required = true, value_delimiter = ',')]
        gateways: Vec<keros_protocol::Eui>,
    },
    /// Take gateways out of a group
    Remove {
        /// Its name
        name: String,
        /// The gateways
        #[arg(required = true, value_delimiter = ',')]
        gateways: Vec<keros_protocol::Eui>,
    },
    /// Ask the connected gateways of a group to send telemetry now, and so to fetch what waits for them
    Nudge {
        /// Its name
        name: String,
    },
    /// Remove a group; its gateways stay
    Delete {
        /// Its name
        name: String,
    },
}

const RULE_HELP: &str = "\
A rule is conditions joined by `and`:
  model = wiis, fevo      hardware code name; != for none of them
  keros >= 6.3            = != < <= > >=; 6.3 means all versions that begin so
  label = site:north      = and !=
A gateway whose model or version is not known meets no condition about it. Who is a member is decided when an update is sent.

  keros-center groups edit north --rule 'label = site:north and keros >= 6'
  keros-center gateways list --rule 'label = site:north and keros >= 6'";

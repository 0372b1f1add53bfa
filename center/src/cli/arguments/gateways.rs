//! `gateways …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `gateways …`.
#[derive(Debug, Subcommand)]
pub(crate) enum GatewaysCommand {
    /// List gateways (also without a word: all that are in service)
    #[command(after_long_help = GATEWAYS_EXAMPLES)]
    List(GatewaysWanted),
    /// Count gateways by connection status
    Count(GatewaysWanted),
    /// Show one gateway
    Show {
        /// The gateway
        eui: keros_protocol::Eui,
    },
    /// Show the vitals of its last week, or of its last year
    History {
        /// The gateway
        eui: keros_protocol::Eui,
        /// A line for each day: average and maximum
        #[arg(long)]
        days: bool,
    },
    /// Show its packages
    Packages {
        /// The gateway
        eui: keros_protocol::Eui,
        /// Part of a name or a version
        search: Option<String>,
    },
    /// Name, describe, label a gateway; what is not said stays
    Edit {
        /// The gateway
        eui: keros_protocol::Eui,
        /// Its name; empty for none
        #[arg(long)]
        name: Option<String>,
        /// Free text
        #[arg(long)]
        description: Option<String>,
        /// All of its labels; empty for none
        #[arg(long, value_delimiter = ',', value_name = "LABEL,LABEL…")]
        labels: Option<Vec<String>>,
        /// Where it stands, in degrees; empty for not known
        #[arg(long, value_name = "LATITUDE,LONGITUDE", allow_hyphen_values = true)]
        location: Option<String>,
    },
    /// Move a gateway to another customer: it leaves its groups and loses its labels; refused while an update of it has not ended
    Move {
        /// The gateway
        eui: keros_protocol::Eui,
        /// The customer, by id or name
        customer: String,
    },
    /// Take a gateway out of service: nothing is sent to it any more, what waits for it is cancelled
    Retire {
        /// The gateway
        eui: keros_protocol::Eui,
        /// Lock it out as well: its certificates and its password are no longer good
        #[arg(long)]
        lock_out: bool,
    },
    /// Take a gateway into service again; one that was locked out has to enrol anew
    Unretire {
        /// The gateway
        eui: keros_protocol::Eui,
    },
    /// Declare, name, describe, label the gateways of a CSV file: all of them, or none when one line is wrong
    #[command(after_long_help = IMPORT_EXAMPLE)]
    Import {
        /// The file, whose first line names the columns: eui,name,description,labels; `-` for the standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Only tell what would be done
        #[arg(long)]
        dry_run: bool,
        /// The customer of those that are not known yet, by id or name; your only one, or `main`, when nothing is said
        #[arg(long, value_name = "CUSTOMER")]
        customer: Option<String>,
    },
    /// Print gateways as CSV, for spreadsheets and for `import`
    Export(GatewaysWanted),
    /// Make a gateway known before it has said anything, or name it
    Declare {
        /// The gateway
        eui: keros_protocol::Eui,
        /// Its name
        #[arg(long)]
        name: Option<String>,
        /// Free text
        #[arg(long, default_value = "")]
        description: String,
        /// Its customer, by id or name; your only one, or `main`, when nothing is said
        #[arg(long, value_name = "CUSTOMER")]
        customer: Option<String>,
    },
    /// Ask a gateway to send telemetry now, and so to fetch what waits for it
    Nudge {
        /// The gateway
        eui: keros_protocol::Eui,
    },
}

/// Which gateways.
#[derive(Debug, Default, Args)]
pub(crate) struct GatewaysWanted {
    /// Part of an EUI in any spelling, a name or a description
    pub(crate) search: Option<String>,
    /// Operational, Warning, Unreachable or Unknown
    #[arg(long, value_name = "STATUS,STATUS…")]
    pub(crate) status: Option<String>,
    /// KerOS version, with a sign of comparison before it or none: 6.3, '>=6.3'
    #[arg(long, value_name = "VERSION")]
    pub(crate) keros: Option<String>,
    /// Hardware code name: wiis, fevo, …
    #[arg(long, value_name = "MODEL,MODEL…")]
    pub(crate) model: Option<String>,
    /// With one of these labels
    #[arg(long, value_name = "LABEL,LABEL…")]
    pub(crate) label: Option<String>,
    /// That meet this rule: whom a group with it would have
    #[arg(long, value_name = "RULE")]
    pub(crate) rule: Option<String>,
    /// Members of this group
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Of this customer
    #[arg(long, value_name = "CUSTOMER")]
    pub(crate) customer: Option<String>,
    /// Those out of service too (`all`), or only those (`yes`)
    #[arg(long, value_name = "no|yes|all")]
    pub(crate) retired: Option<String>,
    /// By eui, name, telemetry, keros or status; with - before it the other way round: --sort=-telemetry
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
}

const GATEWAYS_EXAMPLES: &str = "\
Whom to look at first, then those on old versions, then whom a rule would take in:
  keros-center gateways list --status unreachable,warning --sort status
  keros-center gateways list --keros '<6.3' --model wiis
  keros-center gateways list --rule 'model = wiis, fevo and keros >= 6.3 and label != test'";

const IMPORT_EXAMPLE: &str = "\
A file; labels have blanks between:
  eui,name,description,labels
  7076FF0056070123,North roof,\"Key at the desk, floor 2\",site:north roof

What it would do, then do it:
  keros-center gateways import fleet.csv --dry-run
  keros-center gateways import fleet.csv";

//! `api …`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `api`.
#[derive(Debug, Args)]
#[command(after_long_help = API_EXAMPLES)]
pub(crate) struct ApiArguments {
    /// The method
    #[arg(ignore_case = true)]
    pub(crate) method: Method,
    /// The path below /api/v1, with its query; what is no letter, digit or one of -_.~ in a name is percent-encoded
    pub(crate) path: String,
    /// What is sent: a file, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,
    /// What the body is
    #[arg(long, value_name = "TYPE", default_value = "application/json", requires = "body")]
    pub(crate) content_type: String,
    /// The same key again within a day does nothing twice, and answers the same: a UUID is a good one
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Only when what is to be changed still has this ETag
    #[arg(long, value_name = "ETAG")]
    pub(crate) if_match: Option<String>,
    /// Print the status and the headers first
    #[arg(long, short = 'i')]
    pub(crate) include: bool,
    /// GET all parts of a list, not only the first: one array
    #[arg(long, conflicts_with = "include")]
    pub(crate) all: bool,
}

/// What is to be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Method {
    /// Show it
    Get,
    /// Only the headers of GET
    Head,
    /// Make something, or do what the path says
    Post,
    /// Put it there
    Put,
    /// Change what is stated
    Patch,
    /// Remove it
    Delete,
}

impl Method {
    /// As it is sent.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

const API_EXAMPLES: &str = "\
The answer is printed as it came; a problem too, and the exit code is 5:
  keros-center api GET /health
  keros-center api GET '/gateways?status=Unreachable&sort=telemetry' --all
  keros-center api PUT /groups/north/gateways/7076FF0056070123
  keros-center api POST /updates --body order.json --idempotency-key 5f0f8f3c-6ad6-4b7e-9c2e-3a4f6f2e1c11
  keros-center api POST /gateways/import --body fleet.csv --content-type text/csv
  keros-center api GET /events

All paths are in docs/rest.md, and for programs in what GET /openapi.json answers.";

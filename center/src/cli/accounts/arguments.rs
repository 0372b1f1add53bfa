//! What can be written of users, customers, tokens and the audit log.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::access::Role;
use crate::cli::arguments::DEFAULT_DATA_FOLDER;
use crate::cli::arguments::storage::DatabaseArguments;
use crate::cli::text::parse_duration_s;

/// `admin …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Make the center's administrator in its database, or give him a new password; the center may be running
    #[command(after_long_help = ADMIN_EXAMPLES)]
    Create(AdminCreate),
}

const ADMIN_EXAMPLES: &str = "\
The data folder and the database are those of the center's own command line:
  keros-center admin create ada
  keros-center admin create ada --database postgres://keros@db.example/keros --database-password-file db.password";

/// `admin create`.
#[derive(Debug, Args)]
pub(crate) struct AdminCreate {
    /// The log-in name
    pub(crate) login: String,
    /// File whose first line is the password, `-` for standard input [default: asked for on the terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The center's data folder
    #[arg(long, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data_folder: PathBuf,
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
}

/// `users …`; without one, the list.
#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// List users
    List,
    /// Show a user
    Show {
        /// Log-in name or id
        user: String,
    },
    /// Make a user, and print the link by which he chooses his password
    Create {
        /// The log-in name
        login: String,
        /// A role on a customer, as CUSTOMER:ROLE, `*:ROLE` for all customers; may be repeated
        #[arg(long = "role", value_name = "CUSTOMER:ROLE", required = true, value_parser = parse_role)]
        roles: Vec<(String, Role)>,
        /// What people call him
        #[arg(long, default_value = "")]
        full_name: String,
    },
    /// Keep a user from logging in, and end his log-ins
    Disable {
        /// Log-in name or id
        user: String,
    },
    /// Let a user log in again
    Enable {
        /// Log-in name or id
        user: String,
    },
    /// Print a new set-up link; the password is no longer good
    SetUp {
        /// Log-in name or id
        user: String,
    },
    /// Give a user a role
    Give {
        /// Log-in name or id
        user: String,
        /// CUSTOMER:ROLE
        #[arg(value_parser = parse_role)]
        role: (String, Role),
    },
    /// Take a role from a user
    Take {
        /// Log-in name or id
        user: String,
        /// CUSTOMER:ROLE
        #[arg(value_parser = parse_role)]
        role: (String, Role),
    },
}

/// `customers …`; without one, the list.
#[derive(Debug, Subcommand)]
pub(crate) enum CustomersCommand {
    /// List customers
    List,
    /// Make a customer
    Create {
        /// Its name
        name: String,
        /// Free text
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Name a customer anew
    Rename {
        /// Its name or id
        customer: String,
        /// The new name
        name: String,
    },
    /// Remove a customer that has nothing
    Delete {
        /// Its name or id
        customer: String,
    },
}

/// `token …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List your API tokens
    List {
        #[command(flatten)]
        log_in: LogInAs,
    },
    /// Make an API token and print it: it is shown only now
    Create {
        /// What it is for
        name: String,
        /// What it may be used for
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<Scope>,
        /// For how long it is good: 30m, 12h, 90d
        #[arg(long, value_name = "TIME", default_value = "90d", value_parser = parse_duration_s)]
        valid: u32,
        #[command(flatten)]
        log_in: LogInAs,
    },
    /// Revoke an API token
    Revoke {
        /// Its id, as the list says it
        id: uuid::Uuid,
        #[command(flatten)]
        log_in: LogInAs,
    },
}

/// Whose tokens.
#[derive(Debug, Args)]
pub(crate) struct LogInAs {
    /// Log in as this user [default: whose token --token-file is]
    #[arg(long, value_name = "LOGIN")]
    pub(crate) login: Option<String>,
    /// File whose first line is his password, `-` for standard input [default: asked for on the terminal]
    #[arg(long, value_name = "FILE", requires = "login")]
    pub(crate) password_file: Option<PathBuf>,
}

/// What a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// Look at everything
    Read,
    /// Change gateways, groups, Magic Links; send and cancel updates
    Update,
    /// Users, customers, enrolment, audit log
    Administer,
}

/// `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    /// Lines at most, the newest; of a file, 100,000
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: u32,
    /// Only what this user did, by log-in name
    #[arg(long, value_name = "LOGIN")]
    pub(crate) user: Option<String>,
    /// Only what was done to things of this customer, by name or id
    #[arg(long, value_name = "CUSTOMER")]
    pub(crate) customer: Option<String>,
    /// Print comma-separated values
    #[arg(long)]
    pub(crate) csv: bool,
}

fn parse_role(text: &str) -> Result<(String, Role), String> {
    let (customer, role) = text.rsplit_once(':').ok_or("write CUSTOMER:ROLE, as in main:SERVICE_VIEWER")?;
    Ok((customer.to_owned(), role.parse().map_err(|error| format!("{error}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_written_with_its_customer() {
        assert_eq!(parse_role("main:SERVICE_VIEWER"), Ok(("main".to_owned(), Role::ServiceViewer)));
        assert_eq!(
            parse_role("a:b:channel_administrator"),
            Ok(("a:b".to_owned(), Role::ChannelAdministrator))
        );
        assert!(parse_role("SERVICE_VIEWER").is_err());
        assert!(parse_role("main:KING").unwrap_err().contains("SERVICE_VIEWER"));
    }
}

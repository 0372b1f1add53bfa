//! What works on files of the data folder: keys, the authority of gateways' certificates, passwords of the embedded broker.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DEFAULT_DATA_FOLDER;

/// `keys …`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make the command key and the statement key, and the public files for the gateways; never overwrites
    Generate(KeysFolder),
    /// Name the keys and their files
    Show {
        #[command(flatten)]
        folder: KeysFolder,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
}

/// Where keys are.
#[derive(Debug, Args)]
pub(crate) struct KeysFolder {
    /// Folder of the keys [default: keys in the data folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// The center's data folder
    #[arg(long, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data_folder: PathBuf,
}

impl KeysFolder {
    /// The folder.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| self.data_folder.join("keys"))
    }
}

/// `ca …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make the authority; never overwrites. From its next start on, the center gives gateways certificates instead of passwords
    Create(CaFolder),
    /// Tell where it is
    Show {
        #[command(flatten)]
        folder: CaFolder,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
}

/// Where the authority is.
#[derive(Debug, Args)]
pub(crate) struct CaFolder {
    /// The center's data folder
    #[arg(long, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data_folder: PathBuf,
}

/// `broker-user …`.
#[derive(Debug, Subcommand)]
pub(crate) enum BrokerUserCommand {
    /// Make a new password for a gateway and print it, once; a running center knows it at once
    Add(BrokerUser),
    /// Take a gateway's password away
    Remove(BrokerUser),
    /// List the gateways that have a password
    List {
        #[command(flatten)]
        users: BrokerUsers,
        /// Print JSON: a list of their EUIs
        #[arg(long)]
        json: bool,
    },
}

/// One of them.
#[derive(Debug, Args)]
pub(crate) struct BrokerUser {
    /// The gateway
    pub(crate) eui: keros_protocol::Eui,
    #[command(flatten)]
    pub(crate) users: BrokerUsers,
}

/// Where they are.
#[derive(Debug, Args)]
pub(crate) struct BrokerUsers {
    /// File of gateway passwords [default: broker-users in the data folder]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The center's data folder
    #[arg(long, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    data_folder: PathBuf,
}

impl BrokerUsers {
    /// The file.
    pub(crate) fn path(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| broker_users_file(&self.data_folder))
    }
}

/// The file of gateway passwords when nothing else is said.
pub(crate) fn broker_users_file(data_folder: &std::path::Path) -> PathBuf {
    data_folder.join("broker-users")
}

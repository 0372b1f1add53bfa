//! Where a center keeps what it has, `backup` and `restore`.

use std::path::PathBuf;

use clap::Args;

use super::DEFAULT_DATA_FOLDER;

/// Where a center keeps its things.
#[derive(Debug, Clone, Args)]
pub(crate) struct StorageArguments {
    /// The center's data folder
    #[arg(long, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data_folder: PathBuf,
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Folder of the Magic Links' files [default: blobs in the data folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) links_folder: Option<PathBuf>,
}

/// `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// The file to write; it must not be there
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) storage: StorageArguments,
}

/// `restore`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RestoreArguments {
    /// The backup
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) storage: StorageArguments,
    /// No center has served since the backup was made, as when it moves to another machine or database: commands go on as they were
    #[arg(long)]
    pub(crate) nothing_since: bool,
    /// Only read the backup, and say whether it is whole
    #[arg(long)]
    pub(crate) check: bool,
}

/// Which database.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseArguments {
    /// The PostgreSQL database, postgres://USER@HOST/DATABASE, for which several centers may serve; its password comes from
    /// --database-password-file, PGPASSWORD or ~/.pgpass [default: SQLite in the data folder]
    #[arg(long, value_name = "URL", env = "KEROS_CENTER_DATABASE", hide_env_values = true)]
    pub(crate) database: Option<String>,
    /// File with the password for the database in its first line
    #[arg(long, value_name = "FILE", env = "KEROS_CENTER_DATABASE_PASSWORD_FILE", requires = "database")]
    pub(crate) database_password_file: Option<PathBuf>,
}

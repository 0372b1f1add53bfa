//! What can go wrong with the store, and whether it helps to try again.

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the database {place}: is the folder writable, and has the disk room?")]
    Open {
        place: String,
        #[source]
        source: sqlx::Error,
    },
    /// No address of a database.
    #[error(
        "no database for {url:?}: it is an address like `postgres://USER@HOST/DATABASE`, or none for SQLite in the data folder"
    )]
    Scheme { url: String },
    /// PostgreSQL cannot be reached, or does not let us in.
    #[error(
        "cannot open the database {place}: does it run, may this user log in, and is the password in PGPASSWORD or the password file?"
    )]
    Connect {
        place: String,
        #[source]
        source: sqlx::Error,
    },
    /// A database of PostgreSQL that compares text otherwise than SQLite does.
    #[error(
        "the database {place} has encoding {encoding} and collation {collation}, and must have UTF8 and C: make it with \
         `createdb --template=template0 --encoding=UTF8 --locale=C NAME`"
    )]
    Collation { place: String, encoding: String, collation: String },
    /// There is none.
    #[error("there is no database {place}: name the center's data folder, or its database with --database")]
    Nothing { place: String },
    /// The file is no database, or parts of it are lost.
    #[error(
        "the database {place} is damaged ({detail}): stop the center, keep a copy of the file for analysis, and put back the last backup"
    )]
    Damaged { place: String, detail: String },
    /// Made by a newer center.
    #[error(
        "the database {place} is of version {version}, which this center does not know: start the newer keros-center that made it, or put back the backup from before"
    )]
    TooNew { place: String, version: i64 },
    /// The tables cannot be brought up to date.
    #[error("cannot bring the tables of the database {place} up to date")]
    Migrate {
        place: String,
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// A statement failed.
    #[error("the database refused a statement")]
    Sql(#[from] sqlx::Error),
    /// A row holds what was never written.
    #[error("column {column} of the database holds what it should not: {value:?}")]
    Row { column: &'static str, value: String },
}

impl StoreError {
    /// Whether the reason is the data and not the database, so that trying again will not help.
    pub(crate) fn is_about_data(&self) -> bool {
        match self {
            Self::Row { .. } => true,
            Self::Sql(sqlx::Error::Database(error)) => {
                // Of SQL's classes: 22 a value that does not fit, such as a NUL in a text.
                error.is_unique_violation()
                    || error.is_foreign_key_violation()
                    || error.is_check_violation()
                    || error.code().is_some_and(|code| code.len() == 5 && code.starts_with("22"))
            }
            Self::Sql(error) => matches!(
                error,
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_)
            ),
            _ => false,
        }
    }

    /// Whether the database is away, busy or full for now, so that the same may be done later.
    pub(crate) fn is_for_now(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => error.code().is_some_and(|code| is_for_now(&code)),
            Self::Sql(error) => matches!(
                error,
                sqlx::Error::Io(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::Protocol(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
                    | sqlx::Error::BeginFailed
            ),
            _ => false,
        }
    }
}

/// By the code of a database: PostgreSQL's have five characters (appendix A of its manual), SQLite's are numbers
/// (sqlite.org/rescode.html).
fn is_for_now(code: &str) -> bool {
    if code.len() == 5 {
        // Its connection, its resources, an operator who stops it; deadlocks; a lock or a statement that took too long; a server that only
        // reads, as one that follows another does.
        let classes = ["08", "53", "57", "58", "40"];
        return classes.iter().any(|class| code.starts_with(class))
            || ["55P03", "25006", "25P03"].contains(&code);
    }
    // The low byte is the kind: 5 busy, 6 locked, 10 input or output, 13 full.
    code.parse::<u32>().is_ok_and(|code| [5, 6, 10, 13].contains(&(code & 0xFF)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for (code, expected) in [
            ("57P01", true),
            ("57P03", true),
            ("08006", true),
            ("40P01", true),
            ("53100", true),
            ("25006", true),
            ("42601", false),
            ("23505", false),
            ("22021", false),
            ("5", true),
            ("517", true),
            ("13", true),
            ("1", false),
            ("11", false),
            ("2067", false),
        ] {
            assert_eq!(is_for_now(code), expected, "{code}");
        }
        assert!(StoreError::Sql(sqlx::Error::PoolTimedOut).is_for_now());
        assert!(!StoreError::Sql(sqlx::Error::RowNotFound).is_for_now());
    }
}

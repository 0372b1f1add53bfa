//! What one center tells the others at once: PostgreSQL's NOTIFY, after the commit. Inside the transaction it would let all commits of the
//! server wait for each other.

use sqlx::postgres::PgListener;

use super::database::Store;
use super::{Result, StoreError};

const CHANNEL: &str = "keros_changes";

/// Characters of a notice; PostgreSQL takes 7,999 bytes.
pub(crate) const MAX_NOTICE_BYTES: usize = 7900;

/// Hears what is told.
#[derive(Debug)]
pub(crate) struct Notices {
    listener: PgListener,
}

impl Store {
    /// Begins to listen.
    pub(crate) async fn notices(&self) -> Result<Notices> {
        let mut listener = PgListener::connect(self.url()).await.map_err(StoreError::from)?;
        listener.listen(CHANNEL).await?;
        Ok(Notices { listener })
    }

    /// Tells all who listen.
    pub(crate) async fn notify(&self, text: String) -> Result<()> {
        // Cast, since no driver for any database knows the type `void`.
        let tell = sqlx::query("SELECT CAST(pg_notify($1, $2) AS TEXT)").bind(CHANNEL.to_owned()).bind(text);
        tell.execute(&mut *self.read().await?).await?;
        Ok(())
    }
}

impl Notices {
    /// The next one; `None`: the connection broke, and what was told meanwhile is not known. It is made anew at the next call.
    pub(crate) async fn next(&mut self) -> Result<Option<String>> {
        Ok(self.listener.try_recv().await?.map(|notice| notice.payload().to_owned()))
    }
}

//! What all of it shares: the store, and how much is let through at the same time.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use keros_protocol::UnixSeconds;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::passwords;
use super::throttle::{Allowance, Throttle, Usual};
use crate::access::Caller;
use crate::bounds::{
    ADDRESS_BURST, ADDRESS_EVERY_S, LOGIN_BURST, LOGIN_EVERY_S, PASSWORD_CHECKS, PASSWORD_WAIT,
    REFUSED_BURST, REFUSED_EVERY_S, TAKEN_BURST, TAKEN_EVERY_S, THROTTLED_NAMES,
};
use crate::service::{OrderError, What, audit_refused};
use crate::store::{Store, StoreError};

/// Where it is decided who somebody is.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(super) store: Store,
    checks: Semaphore,
    pub(super) logins: Mutex<Throttle>,
    pub(super) addresses: Mutex<Throttle>,
    pub(super) usual: Mutex<Usual>,
    refused: Mutex<Throttle>,
    taken: Mutex<Throttle>,
}

impl Accounts {
    /// The accounts in a store.
    pub(crate) fn new(store: Store) -> Self {
        let throttle = |burst, one_every_s| {
            Mutex::new(Throttle::new(Allowance { burst, one_every_s, names: THROTTLED_NAMES }))
        };
        Self {
            store,
            checks: Semaphore::new(PASSWORD_CHECKS),
            logins: throttle(LOGIN_BURST, LOGIN_EVERY_S),
            addresses: throttle(ADDRESS_BURST, ADDRESS_EVERY_S),
            usual: Mutex::new(Usual::new(THROTTLED_NAMES)),
            refused: throttle(REFUSED_BURST, REFUSED_EVERY_S),
            taken: throttle(TAKEN_BURST, TAKEN_EVERY_S),
        }
    }

    /// Keeps that somebody was refused, unless it was said often enough.
    pub(crate) async fn refused(&self, caller: &Caller, what: &str, now: UnixSeconds) {
        let counted = lock(&self.refused).attempt(&caller.name, now);
        if counted.is_err() {
            return;
        }
        let kept = async {
            let mut transaction = self.store.begin().await?;
            audit_refused(&mut transaction, caller, "request", What::of_center(what, "")).await?;
            Ok::<_, OrderError>(transaction.commit().await.map_err(crate::store::StoreError::from)?)
        };
        if let Err(error) = kept.await {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), "cannot keep that somebody was refused");
        }
    }

    /// Whether a name is taken, for somebody who wants it. By that he learns of what he may not see; so he is told only now and then, and who was
    /// told too often is told of no name, free or not.
    pub(super) async fn is_taken(
        &self,
        caller: &Caller,
        sees_all: bool,
        is_taken: impl Future<Output = Result<bool, StoreError>>,
        now: UnixSeconds,
    ) -> Result<bool, OrderError> {
        if sees_all {
            return Ok(is_taken.await?);
        }
        lock(&self.taken).attempt(&caller.name, now).map_err(|seconds| {
            OrderError::TooMany(
                format!("too many of the names that you wanted were taken: try again in {seconds} seconds"),
                seconds,
            )
        })?;
        let is_taken = is_taken.await?;
        if !is_taken {
            lock(&self.taken).take_back(&caller.name);
        }
        Ok(is_taken)
    }

    /// Keeps of a password what is kept of it.
    pub(super) async fn hash(&self, password: String) -> Result<String, OrderError> {
        self.in_turn(move || passwords::hash(&password)).await?
    }

    /// Whether it is the password that this was kept of. With nothing kept it takes the same time.
    pub(super) async fn is_same(&self, password: String, kept: Option<String>) -> Result<bool, OrderError> {
        self.in_turn(move || match kept {
            // Neither takes any time: it must not tell which of the two it was.
            _ if password.len() > passwords::MAX_BYTES => false,
            Some(kept) => passwords::is_same(&password, &kept),
            // Just as long: what comes out is of no use to anybody.
            None => {
                let _ = passwords::hash(&password);
                false
            }
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OrderError> {
        let busy = || OrderError::Unavailable("too many log-ins at the same time: try again".to_owned());
        let _turn =
            timeout(PASSWORD_WAIT, self.checks.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| OrderError::Unavailable("the check of a password broke".to_owned()))
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// The time of an attempt must not tell whether there is such an account. Hashing takes a hundred times as long as refusing does.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_too_long_for_a_password_is_refused_as_fast_for_nobody_as_for_somebody() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(Store::open(folder.path(), None).await.unwrap());
        let kept = accounts.hash("correct horse battery".to_owned()).await.unwrap();
        let time = async |password: String, kept: Option<String>| {
            let begun = Instant::now();
            assert!(!accounts.is_same(password, kept).await.unwrap());
            begun.elapsed()
        };
        let long = "x".repeat(passwords::MAX_BYTES + 1);
        let usual = time("another password".to_owned(), None).await;
        for kept in [None, Some(kept)] {
            let took = time(long.clone(), kept).await;
            assert!(took < usual / 4 || took < Duration::from_millis(2), "{took:?}, usually {usual:?}");
        }
    }
}

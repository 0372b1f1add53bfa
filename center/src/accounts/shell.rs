//! What all of it shares: the store, and how much is let through at the same time.

use std::sync::{Mutex, PoisonError};

use keros_protocol::UnixSeconds;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::passwords;
use super::throttle::{Allowance, Throttle};
use crate::access::Caller;
use crate::bounds::{
    ADDRESS_BURST, ADDRESS_EVERY_S, LOGIN_BURST, LOGIN_EVERY_S, PASSWORD_CHECKS, PASSWORD_WAIT,
    REFUSED_BURST, REFUSED_EVERY_S, THROTTLED_NAMES,
};
use crate::service::{OrderError, What, audit_refused};
use crate::store::Store;

/// Where it is decided who somebody is.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(super) store: Store,
    checks: Semaphore,
    pub(super) logins: Mutex<Throttle>,
    pub(super) addresses: Mutex<Throttle>,
    refused: Mutex<Throttle>,
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
            refused: throttle(REFUSED_BURST, REFUSED_EVERY_S),
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

    /// Keeps of a password what is kept of it.
    pub(super) async fn hash(&self, password: String) -> Result<String, OrderError> {
        self.in_turn(move || passwords::hash(&password)).await?
    }

    /// Whether it is the password that this was kept of. With nothing kept it takes the same time.
    pub(super) async fn is_same(&self, password: String, kept: Option<String>) -> Result<bool, OrderError> {
        self.in_turn(move || match kept {
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

pub(super) fn lock(throttle: &Mutex<Throttle>) -> std::sync::MutexGuard<'_, Throttle> {
    throttle.lock().unwrap_or_else(PoisonError::into_inner)
}

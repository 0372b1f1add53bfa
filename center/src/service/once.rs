//! Requests that are to be done once, whatever is sent again: by double click, after a lost answer, over a crash of the center.
//!
//! A key is kept before anything is done. What is done is kept under it in the same transaction ([`super::audit`]), only by the latest try. So whether it
//! was done is known at any moment, and a try that was thought dead does nothing when it comes back.

use keros_protocol::UnixSeconds;
use sqlx::AnyConnection;
use uuid::Uuid;

use super::center::Center;
use super::order::OrderError;
use crate::access::{Attempt, Caller};
use crate::bounds::{ANSWER_LIMIT, KEY_AGE_S, KEYS_OF_ONE};
use crate::store::StoreError;
use crate::store::idempotency::{self, KeptAnswer, KeyRow};

/// What is to be done with a request that has a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Once {
    /// Do it.
    Begin(Attempt),
    /// It was done: this was the answer.
    Again(KeptAnswer),
    /// It was done, this is what it made, and the answer was lost.
    Lost(String),
    /// It is being done.
    UnderWay,
    /// The key is another request's.
    OtherRequest,
}

/// What is known of the key decides, with the digest of the request.
fn judge(known: Option<KeyRow>, request: &str, attempt: Attempt, now: UnixSeconds) -> Once {
    let Some(row) = known else { return Once::Begin(attempt) };
    if row.request != request {
        return Once::OtherRequest;
    }
    match (row.answer, row.thing) {
        (Some(answer), _) => Once::Again(answer),
        (None, Some(thing)) => Once::Lost(thing),
        (None, None) if now < row.begun_at.saturating_add(ANSWER_LIMIT.as_secs()) => Once::UnderWay,
        // The center ended before anything was done, or is about to give up: that try does nothing any more.
        (None, None) => Once::Begin(attempt),
    }
}

impl Center {
    /// What is to be done with a request of this digest; when it is to be done, that is kept.
    pub(crate) async fn begin_once(
        &self,
        caller: &Caller,
        key: &str,
        request: &str,
        now: UnixSeconds,
    ) -> Result<Once, OrderError> {
        let whose = caller.user.map_or_else(|| caller.name.clone(), |user| user.to_string());
        let attempt = Attempt { caller: whose, key: key.to_owned(), id: Uuid::now_v7() };
        let mut transaction = self.store.begin().await?;
        idempotency::prune(&mut transaction, now.saturating_sub(KEY_AGE_S)).await?;
        let known = idempotency::find(&mut transaction, &attempt.caller, key).await?;
        if known.is_none() && idempotency::count(&mut transaction, &attempt.caller).await? >= KEYS_OF_ONE {
            return Err(OrderError::Unavailable(format!(
                "{KEYS_OF_ONE} requests with an Idempotency-Key within a day are remembered for one user: send this one without a key, or later"
            )));
        }
        let once = judge(known, request, attempt, now);
        if let Once::Begin(attempt) = &once {
            idempotency::begin(&mut transaction, attempt, request, now).await?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(once)
    }

    /// Keeps the answer to what was done; `None`: nothing was done, and the next try may.
    pub(crate) async fn end_once(
        &self,
        attempt: &Attempt,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), OrderError> {
        let mut transaction = self.store.begin().await?;
        match answer {
            Some(answer) => idempotency::answered(&mut transaction, attempt, answer).await?,
            None => idempotency::forget(&mut transaction, attempt).await?,
        }
        Ok(transaction.commit().await.map_err(StoreError::from)?)
    }
}

/// In the transaction that does it: keeps what was done, or refuses when another try has taken the place of this one.
pub(super) async fn done_once(
    connection: &mut AnyConnection,
    caller: &Caller,
    thing: &str,
) -> Result<(), OrderError> {
    let Some(attempt) = &caller.attempt else { return Ok(()) };
    if idempotency::done(connection, attempt, thing).await? {
        return Ok(());
    }
    Err(OrderError::Conflict(
        "a later request with the same Idempotency-Key has taken the place of this one".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_judged_by_what_was_done_with_it() {
        let attempt = || Attempt { caller: "ada".to_owned(), key: "k".to_owned(), id: Uuid::from_u128(1) };
        let answer = KeptAnswer { status: 201, place: None, text: "{}".to_owned() };
        let row = |thing: Option<&str>, answer: Option<&KeptAnswer>| {
            Some(KeyRow {
                request: "same".to_owned(),
                begun_at: 1000,
                thing: thing.map(str::to_owned),
                answer: answer.cloned(),
            })
        };
        let limit = ANSWER_LIMIT.as_secs();
        for (known, request, now, expected) in [
            (None, "same", 1000, Once::Begin(attempt())),
            (row(None, None), "same", 1000, Once::UnderWay),
            (row(None, None), "same", 999 + limit, Once::UnderWay),
            (row(None, None), "same", 1000 + limit, Once::Begin(attempt())),
            (row(None, None), "other", 1000 + limit, Once::OtherRequest),
            (row(Some("update 1"), None), "same", 1000, Once::Lost("update 1".to_owned())),
            (row(Some("update 1"), None), "same", 9000, Once::Lost("update 1".to_owned())),
            (row(Some("update 1"), Some(&answer)), "same", 9000, Once::Again(answer.clone())),
            (row(Some("update 1"), Some(&answer)), "other", 9000, Once::OtherRequest),
        ] {
            assert_eq!(judge(known.clone(), request, attempt(), now), expected, "{known:?} {request} {now}");
        }
    }
}

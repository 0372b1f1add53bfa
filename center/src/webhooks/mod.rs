//! Webhooks: what is told, how it is signed, to which addresses it may go, and when it is tried again. The rules are pure; [`Courier`]
//! sends one message, and [`run`] sends what is due. What is to be told is kept in the database together with what it is about, and goes
//! only when somebody has taken it: a restart loses nothing, and a receiver may be told twice, with the same id.

mod address;
mod backoff;
mod courier;
mod event;
mod sender;
mod signature;

pub(crate) use address::{Reach, check_url};
#[cfg(test)]
pub(crate) use backoff::ATTEMPTS;
pub(crate) use backoff::retry_at;
pub(crate) use courier::{Courier, Parcel};
pub(crate) use event::EventKind;
pub(crate) use sender::run;
pub(crate) use signature::Secret;

//! Users and how they log in, customers, API tokens, the audit log. [`throttle`] and the rules in [`rules`] are pure; [`Accounts`] is the
//! thin shell that reads, asks them, and commits.

mod audit;
mod customers;
mod log_in;
pub(crate) mod passwords;
mod rules;
mod secrets;
mod shell;
mod throttle;
mod tokens;
mod users;
mod views;

pub(crate) use log_in::{Entered, Known, Proof};
pub(crate) use secrets::same;
pub(crate) use shell::Accounts;
pub(crate) use users::first_administrator;

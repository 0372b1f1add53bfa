//! What the center does, between MQTT and REST on one side and the store on the other.
//!
//! [`incoming`], [`report`], [`downlink`], [`state`], [`overdue`], [`rate`] and [`order`] are pure: they are given rows, a message and the time,
//! and say what is to be kept and sent. [`Center`] is the thin shell that reads, asks them, commits, and only then acts.

mod alerts;
mod as_seen;
mod audit;
mod batch;
mod cancel;
mod center;
mod changes;
mod conflict;
mod customers;
mod downlink;
mod export;
pub(crate) mod fleet;
mod follow;
mod gateway_files;
mod gateway_orders;
mod gateways;
mod groups;
mod incoming;
mod lines;
mod link_orders;
mod links;
mod once;
mod order;
mod others;
mod overdue;
mod preview;
mod rate;
mod report;
mod retention;
mod script_check;
mod seen;
mod software_update;
mod state;
mod tend;
mod title;
mod updates;
mod views;
mod waits_for;
mod webhooks;

pub(crate) use as_seen::{still_as_seen, tag_of, tag_of_view};
pub(crate) use audit::{What, audit, audit_done, audit_refused};
pub(crate) use batch::{Handled, Message};
pub(crate) use center::{Center, Keys, check_description, check_name, unix_now};
pub(crate) use changes::Change;
pub(crate) use conflict::Pending;
pub(crate) use customers::no_customer;
pub(crate) use downlink::Outgoing;
pub(crate) use follow::Seen;
pub(crate) use gateway_files::export_line;
pub(crate) use gateways::no_gateway;
pub(crate) use lines::filter as line_filter;
pub(crate) use once::Once;
pub(crate) use order::{OrderError, fault_of_times};
pub(crate) use others::{Member, Watch};
pub(crate) use retention::Retention;
pub(crate) use software_update::{Addressed, Addressee, kind_name};

#[cfg(test)]
mod tests;

//! What the center does, between MQTT and REST on one side and the store on the other.
//!
//! [`incoming`], [`report`], [`downlink`], [`state`], [`overdue`], [`rate`] and [`order`] are pure: they are given rows, a message and the time,
//! and say what is to be kept and sent. [`Center`] is the thin shell that reads, asks them, commits, and only then acts.

mod audit;
mod batch;
mod cancel;
mod center;
mod changes;
mod customers;
mod downlink;
pub(crate) mod fleet;
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
mod overdue;
mod preview;
mod rate;
mod report;
mod script_check;
mod seen;
mod software_update;
mod state;
mod updates;
mod views;

pub(crate) use audit::{What, audit, audit_done, audit_refused};
pub(crate) use batch::{Handled, Message};
pub(crate) use center::{Center, Keys, check_description, check_name, unix_now};
pub(crate) use changes::Change;
pub(crate) use customers::no_customer;
pub(crate) use downlink::Outgoing;
pub(crate) use gateway_files::export_line;
pub(crate) use gateways::no_gateway;
pub(crate) use lines::filter as line_filter;
pub(crate) use once::Once;
pub(crate) use order::OrderError;
pub(crate) use software_update::{Addressed, Addressee, Pending, kind_name};

#[cfg(test)]
mod tests;

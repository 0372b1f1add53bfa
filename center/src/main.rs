//! The management center.

mod api;
mod broker;
mod files;

fn main() {}

//! Begun.

mod api;
mod mqtt;
mod rest;
mod server;
mod service;
mod settings;
mod store;

fn main() {}

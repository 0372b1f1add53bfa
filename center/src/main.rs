//! Begun.

mod api;

fn main() {}

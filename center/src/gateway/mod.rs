//! What is known of a gateway, as pure rules: its connection status, the history of its vitals, the rule that makes it a member of a group,
//! its labels, its location, its line in a file. It must not read a clock or a database.

pub(crate) mod file;
pub(crate) mod history;
pub(crate) mod label;
pub(crate) mod location;
pub(crate) mod rule;
pub(crate) mod search;
pub(crate) mod status;
pub(crate) mod vitals;

#[cfg(test)]
mod tests;

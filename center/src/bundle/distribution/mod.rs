//! A registry, as a client of the OCI distribution protocol (OCI distribution specification 1.1): pull and push.

mod login;
mod reference;
mod repository;

pub(crate) use login::Login;
pub(crate) use reference::{Reference, Version};
#[cfg(test)]
mod tests;

pub(crate) use repository::{Repository, Trust};

//! Bundles: what a Magic Link carries.

pub(crate) mod check;

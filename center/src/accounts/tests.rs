//! Accounts on a real store.

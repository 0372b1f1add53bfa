//! Tokens, certificates and who is locked out, against a real store.

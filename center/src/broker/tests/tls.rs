//! Client certificates: made by `openssl`, as an operator would.

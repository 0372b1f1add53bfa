//! Begun.

mod config {
    mod settings;
}
mod local {
    mod view;
}

fn main() {}

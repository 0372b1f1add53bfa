//! The center's pages in a browser that nobody here wrote. Each test is a story of `tests/browser/stories`, named by the sentence that
//! it shows; this side starts the center, its gateways and the story.

mod stage;
mod told;

use anyhow::Result;

use stage::{NONE, play};

/// The stories that are always told, and those that are left to `./run full`.
macro_rules! stories {
    (always { $($always:ident on $stage:expr;)* } full { $($full:ident on $full_stage:expr;)* }) => {
        $(#[test] fn $always() -> Result<()> { play(stringify!($always), $stage) })*
        $(
            #[test]
            #[ignore = "`./run full` tells all stories, `./run test` the most important ones"]
            fn $full() -> Result<()> { play(stringify!($full), $full_stage) }
        )*
        /// All of them.
        const TOLD: &[&str] = &[$(stringify!($always),)* $(stringify!($full),)*];
    };
}

stories! {
    always {
        a_page_that_is_not_accessible_or_too_wide_is_found on NONE;
        an_element_that_the_keyboard_does_not_reach_is_found on NONE;
    }
    full {
    }
}

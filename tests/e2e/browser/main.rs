//! The center's pages in a browser that nobody here wrote. Each test is a story of `tests/browser/stories`, named by the sentence that
//! it shows; this side starts the center, its gateways and the story.

mod stage;
mod told;

use anyhow::Result;

use stage::{GATEWAYS, NONE, play};

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
        an_orange_dot_is_in_the_configuration_menu_while_an_update_is_in_progress on NONE;
        send_then_a_confirmation_popup_and_the_update_is_on_its_way on GATEWAYS;
        no_new_command_whatever_its_type_while_one_is_in_progress_for_the_group_or_one_gateway_of_it on NONE;
        delivery_is_to_each_gateway_when_its_next_telemetry_message_arrives on NONE;
        last_updates_has_the_history_with_cancel_update_and_an_eye_link_to_a_dashboard_with_a_progress_bar on NONE;
        a_click_on_a_status_lists_only_the_gateways_in_it on GATEWAYS;
        an_update_is_cancelled_for_one_gateway_at_the_end_of_its_line_and_for_all on NONE;
        the_dashboard_refreshes_itself_until_the_update_is_sent_partially_sent_or_cancelled on GATEWAYS;
    }
    full {
        the_page_offers_custom_magic_link_and_custom_jetporch_script_with_its_warning on NONE;
        for_outcomes_beyond_sent_the_dashboard_goes_on_until_all_have_ended on GATEWAYS;
        without_scripts_the_dashboard_refreshes_itself_and_cancels_too on NONE;
        a_failed_gateway_shows_its_task_reason_and_output_and_its_log on GATEWAYS;
        a_dry_run_of_a_group_shows_the_same_differences_once on GATEWAYS;
        an_update_is_cancelled_by_the_keyboard_alone on NONE;
        the_pages_of_updates_are_accessible_narrow_and_wide_light_and_dark on GATEWAYS;
    }
}

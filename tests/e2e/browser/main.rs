//! The center's pages in a browser that nobody here wrote. Each test is a story of `tests/browser/stories`, named by the sentence that
//! it shows; this side starts the center, its gateways and the story.

mod sentences;
mod stage;
mod told;

use anyhow::Result;

use keros_tests::{KEROS_5, KEROS_6};
use stage::{GATEWAYS, Gateways, NONE, play};

/// One on KerOS 6 and one on KerOS 5.
const SIX_AND_FIVE: Gateways = &[("7076FF0056070123", KEROS_6), ("7076FF0056070124", KEROS_5)];

/// One on KerOS 6.
const ONE_SIX: Gateways = &[("7076FF0056000001", KEROS_6)];

/// The stories that are always told, and those that are left to `./run full`.
macro_rules! stories {
    (always { $($always:ident on $stage:expr;)* } full { $($full:ident on $full_stage:expr;)* }) => {
        $(#[test] fn $always() -> Result<()> { play(stringify!($always), $stage) })*
        $(
            #[test]
            #[ignore = "`./run full` tells all stories, `./run test` the most important ones"]
            fn $full() -> Result<()> { play(stringify!($full), $full_stage) }
        )*
        /// Those of `./run test`.
        const ALWAYS: &[&str] = &[$(stringify!($always),)*];
        /// Those that only `./run full` tells.
        const FULL: &[&str] = &[$(stringify!($full),)*];
    };
}

stories! {
    always {
        only_service_administrator_and_channel_administrator_may_update_and_cancel on NONE;
        a_custom_magic_link_works_only_for_gateways_that_are_declared_in_it on GATEWAYS;
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
        every_page_is_there_without_scripts_and_its_links_lead_somewhere on GATEWAYS;
    }
    full {
        a_service_viewer_observes on NONE;
        a_service_operator_monitors on NONE;
        a_service_administrator_creates_updates_and_deletes_elements on NONE;
        a_customer_administrator_has_the_customers_users on NONE;
        a_channel_administrator_has_several_customers_and_their_administrators on NONE;
        a_user_may_hold_different_roles_on_different_customers on NONE;
        on_a_gateways_page_no_new_command_while_another_of_the_same_type_is_pending_for_it on NONE;
        a_gateways_record_has_its_eui_name_description_customer_creation_date_groups_connection_status_and_location on NONE;
        vitals_have_the_vendors_names_and_the_keros_entry_is_the_firmware on NONE;
        the_connection_status_is_operational_warning_unreachable_or_unknown on NONE;
        a_group_has_a_customer_a_required_name_a_description_and_alerting_that_is_off on NONE;
        a_customer_has_at_most_100_groups on NONE;
        the_three_words_are_about_delivery_and_beside_them_each_gateway_has_its_outcome on GATEWAYS;
        what_is_typed_or_printed_is_shown_as_text_on_every_page on ONE_SIX;
        two_operators_at_once_send_one_update_and_the_other_is_told_which on NONE;
        the_page_offers_custom_magic_link_and_custom_jetporch_script on NONE;
        for_the_first_it_asks_for_the_magic_link_value_and_says_what_it_is on NONE;
        for_the_second_it_asks_for_the_jetporch_yaml_value_with_the_warning_and_a_pointer_to_the_guide on NONE;
        the_editor_marks_errors_at_their_line_as_the_gateway_will on NONE;
        a_jetporch_script_is_only_for_gateways_on_keros_6_and_the_page_shows_who_is_not on SIX_AND_FIVE;
        send_then_a_confirmation_popup_that_says_what_will_happen_to_how_many_gateways on NONE;
        a_double_click_sends_one_update on NONE;
        the_way_of_an_update_works_without_scripts on NONE;
        a_script_with_html_in_it_is_shown_as_text on NONE;
        for_outcomes_beyond_sent_the_dashboard_goes_on_until_all_have_ended on GATEWAYS;
        without_scripts_the_dashboard_refreshes_itself_and_cancels_too on NONE;
        a_failed_gateway_shows_its_task_reason_and_output_and_its_log on GATEWAYS;
        a_dry_run_of_a_group_shows_the_same_differences_once on GATEWAYS;
        an_update_is_cancelled_by_the_keyboard_alone on NONE;
        the_pages_of_updates_are_accessible_narrow_and_wide_light_and_dark on GATEWAYS;
        every_page_is_accessible_and_fits_narrow_and_wide_light_and_dark on GATEWAYS;
        gateways_are_imported_from_csv_after_a_preview_that_changes_nothing on NONE;
        the_list_of_gateways_is_searched_filtered_sorted_and_paged on NONE;
        a_gateway_is_found_and_renamed_by_the_keyboard_alone on NONE;
        a_gateway_is_declared_changed_moved_retired_and_taken_back on NONE;
        a_gateways_page_follows_its_telemetry_and_its_updates_by_itself on NONE;
        a_group_is_changed_its_rule_previewed_and_gateways_put_in_and_taken_out on NONE;
        a_group_is_made_and_changed_by_the_keyboard_alone on NONE;
        a_roll_out_in_stages_stops_by_itself_goes_on_by_a_button_and_the_failed_are_retried on GATEWAYS;
        a_dry_run_is_carried_out_by_the_keyboard_alone on GATEWAYS;
        an_update_waits_for_its_time_and_its_window_and_says_so on GATEWAYS;
        a_user_is_made_chooses_a_password_by_a_link_that_is_good_once_and_has_the_given_roles on NONE;
        a_password_is_changed_and_other_log_ins_end on NONE;
        an_api_token_is_shown_once_does_what_its_scopes_say_and_is_revoked on NONE;
        the_audit_log_tells_who_did_what_is_filtered_and_exported on NONE;
        a_webhook_is_made_told_signed_switched_off_and_removed on NONE;
        one_logs_in_and_out_by_the_keyboard_alone on NONE;
    }
}

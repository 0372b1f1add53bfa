//! What the vendor's users know of the update feature, sentence by sentence, with the stories that show it on our pages.

/// A sentence in our words, and the stories that show it.
pub(crate) const SENTENCES: &[(&str, &[&str])] = &[
    (
        "Only SERVICE_ADMINISTRATOR and CHANNEL_ADMINISTRATOR may update and cancel.",
        &["only_service_administrator_and_channel_administrator_may_update_and_cancel"],
    ),
    ("SERVICE_VIEWER observes.", &["a_service_viewer_observes"]),
    ("SERVICE_OPERATOR monitors.", &["a_service_operator_monitors"]),
    (
        "SERVICE_ADMINISTRATOR creates, updates and deletes elements.",
        &["a_service_administrator_creates_updates_and_deletes_elements"],
    ),
    (
        "CUSTOMER_ADMINISTRATOR has the customer's users.",
        &["a_customer_administrator_has_the_customers_users"],
    ),
    (
        "CHANNEL_ADMINISTRATOR has several customers and their administrators.",
        &["a_channel_administrator_has_several_customers_and_their_administrators"],
    ),
    (
        "A user may hold different roles on different customers.",
        &["a_user_may_hold_different_roles_on_different_customers"],
    ),
    (
        "A Custom Magic Link is a hash from support, and works only for gateways that are declared in the Magic Link.",
        &["a_custom_magic_link_works_only_for_gateways_that_are_declared_in_it"],
    ),
    (
        "A Custom JetPorch script is the YAML text, for gateways on KerOS 6 only.",
        &["a_jetporch_script_is_only_for_gateways_on_keros_6_and_the_page_shows_who_is_not"],
    ),
    (
        "On a gateway's page: no new command while another of the same type is pending for that gateway.",
        &["on_a_gateways_page_no_new_command_while_another_of_the_same_type_is_pending_for_it"],
    ),
    (
        "On a group's page: no new command, whatever its type, while one is in progress for the group or for one gateway of it.",
        &["no_new_command_whatever_its_type_while_one_is_in_progress_for_the_group_or_one_gateway_of_it"],
    ),
    (
        "The page offers Custom Magic Link and Custom JetPorch script.",
        &["the_page_offers_custom_magic_link_and_custom_jetporch_script"],
    ),
    (
        "For the first it asks for the Magic Link value, the hash.",
        &["for_the_first_it_asks_for_the_magic_link_value_and_says_what_it_is"],
    ),
    (
        "For the second it asks for the JetPorch YAML value, warns of what a script may do to the gateway's connectivity and functions, says to \
         ask support in doubt, and points to the guide to playbooks.",
        &[
            "for_the_second_it_asks_for_the_jetporch_yaml_value_with_the_warning_and_a_pointer_to_the_guide",
            "the_editor_marks_errors_at_their_line_as_the_gateway_will",
        ],
    ),
    (
        "SEND, then a confirmation popup.",
        &[
            "send_then_a_confirmation_popup_and_the_update_is_on_its_way",
            "send_then_a_confirmation_popup_that_says_what_will_happen_to_how_many_gateways",
        ],
    ),
    (
        "Each gateway gets the command when its next telemetry message arrives.",
        &["delivery_is_to_each_gateway_when_its_next_telemetry_message_arrives"],
    ),
    (
        "An orange dot is in the CONFIGURATION menu while an update is in progress.",
        &["an_orange_dot_is_in_the_configuration_menu_while_an_update_is_in_progress"],
    ),
    (
        "Last updates has the history, the CANCEL UPDATE button, and an eye link to a dashboard with a progress bar.",
        &[
            "last_updates_has_the_history_with_cancel_update_and_an_eye_link_to_a_dashboard_with_a_progress_bar",
        ],
    ),
    (
        "A click on a status lists only the gateways in it.",
        &["a_click_on_a_status_lists_only_the_gateways_in_it"],
    ),
    (
        "An update is cancelled for one gateway at the end of its line.",
        &["an_update_is_cancelled_for_one_gateway_at_the_end_of_its_line_and_for_all"],
    ),
    (
        "The dashboard refreshes itself until the update is Sent, Partially sent or Cancelled; ours goes on until all outcomes are known.",
        &[
            "the_dashboard_refreshes_itself_until_the_update_is_sent_partially_sent_or_cancelled",
            "for_outcomes_beyond_sent_the_dashboard_goes_on_until_all_have_ended",
        ],
    ),
    (
        "The three words are about delivery; beside them is what became of the update on each gateway.",
        &["the_three_words_are_about_delivery_and_beside_them_each_gateway_has_its_outcome"],
    ),
    (
        "A group has a customer, a name, which is required, a description, and alerting, which is off by default.",
        &["a_group_has_a_customer_a_required_name_a_description_and_alerting_that_is_off"],
    ),
    ("A customer has at most 100 groups (`--max-groups`).", &["a_customer_has_at_most_100_groups"]),
    (
        "A gateway's record has its EUI, name, description, customer, creation date, groups, connection status and location.",
        &[
            "a_gateways_record_has_its_eui_name_description_customer_creation_date_groups_connection_status_and_location",
        ],
    ),
    (
        "The connection status is Operational, Warning, Unreachable or Unknown, with the time of the last update and how often one is expected.",
        &["the_connection_status_is_operational_warning_unreachable_or_unknown"],
    ),
    (
        "Vitals have a name, a value and a date: cpu_percent, memory_percent, temperature, uptime, network_interface_category, \
         installed_packages, of which the keros entry is the firmware.",
        &["vitals_have_the_vendors_names_and_the_keros_entry_is_the_firmware"],
    ),
];

/// What no page shows, and why.
pub(crate) const NOT_SHOWN: &[(&str, &str)] = &[
    ("How the vendor's service talks to a gateway.", "It is not public: ours is our own design."),
    (
        "What a Magic Link is technically.",
        "It is not public: ours is described in [magic-link.md](magic-link.md).",
    ),
];

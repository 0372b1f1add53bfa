//! Somebody has taken the agent over: a program with its user and its groups, on a booted Debian with our units, tries all that it can.
//! Nothing runs as root that is not signed, no job is undone, confirmed or cancelled that it may not, and the journal names who was refused what.

#![allow(clippy::expect_used, reason = "a test ends by panicking")]

mod bundles;
mod jobs;
mod places;
mod requests;
mod signed;
mod site;

use anyhow::Result;
use keros_skip::skipped;

use crate::site::Site;

#[test]
fn nothing_runs_that_is_not_signed_when_the_agent_is_in_other_hands() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can boot a container");
        return Ok(());
    }
    let site = Site::start()?;
    requests::what_is_not_signed_for_this_gateway_is_refused_and_told(&site)?;
    requests::what_ran_does_not_run_again(&site)?;
    requests::what_is_no_request_is_refused(&site)?;
    jobs::a_job_is_not_cancelled_by_whom_it_may_not(&site)?;
    jobs::a_job_is_not_confirmed_by_whom_it_may_not(&site)?;
    bundles::what_is_offered_as_a_bundle_is_only_bytes(&site)?;
    places::files_of_others_are_out_of_reach(&site)?;
    places::the_service_manager_does_not_obey(&site)?;
    places::planted_links_lead_root_nowhere(&site)?;
    places::a_terminal_is_not_written_to_by_the_agent(&site)?;
    places::local_users_read_at_most(&site)?;
    Ok(())
}

//! Somebody has taken the agent over: a program with its user and its groups, on a booted Debian with our units, tries all that it can.
//! Nothing runs as root that is not signed, no job is undone, confirmed or cancelled that it may not, and the journal names who was refused what.

#![allow(clippy::expect_used, reason = "a test ends by panicking")]

mod jobs;
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
    Ok(())
}

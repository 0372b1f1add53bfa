//! `keros-agent jobs` and `keros-agent job ID`.

use keros_machine::Cancel;
use keros_protocol::{Outcome, Output, Summary, TaskRef, UnixSeconds};

use super::super::time::{distance, utc_and_distance};
use super::{Page, clean};
use crate::local::{FetchView, JobView, JobsView};

/// As much of a hash as tells it from the gateway's other ones.
const DIGEST_CHARS: usize = 12;

/// As much of an id as tells it from the gateway's other ones, and can be given to `keros-agent job`.
pub(in crate::cli) fn short_id(job: &JobView) -> String {
    job.command_id.to_string().chars().take(18).collect()
}

/// What it runs, in words: a script, or a Magic Link by the beginning of its hash.
pub(in crate::cli) fn named(job: &JobView) -> String {
    match (job.kind.as_deref(), &job.digest) {
        (_, Some(digest)) => {
            format!("Magic Link {}", digest.hex().chars().take(DIGEST_CHARS).collect::<String>())
        }
        (Some("jetporch"), None) => "script".to_owned(),
        (Some("magic_link"), None) => "Magic Link".to_owned(),
        (Some(other), None) => clean(other),
        (None, None) => "kind unknown".to_owned(),
    }
}

/// All jobs, the open ones first.
pub(in crate::cli) fn jobs(jobs: &JobsView, now_unix_s: UnixSeconds) -> String {
    let mut page = Page::default();
    for (title, jobs) in [("Open jobs", &jobs.open_jobs), ("Ended jobs, newest first", &jobs.ended_jobs)] {
        if jobs.is_empty() {
            page.push(&format!("{title}: none"));
            continue;
        }
        page.push(&format!("{title}:"));
        for job in jobs {
            let received = distance(job.received_at_unix_s, now_unix_s);
            page.push(&format!("  {}  {:23}  {received}", job.command_id, named(job)));
            let changed = distance(job.changed_at_unix_s, now_unix_s);
            page.line_from(4, &format!("{changed}: {}", job.outcome));
        }
    }
    page.text
}

/// All that is known about one job; nothing is cut.
pub(in crate::cli) fn job(job: &JobView, now_unix_s: UnixSeconds) -> String {
    let mut page = Page::default();
    page.long_line("Job", &job.command_id.to_string());
    if let Some(update) = job.update_id {
        page.long_line("Update", &update.to_string());
    }
    match (&job.digest, job.kind.as_deref()) {
        (Some(digest), _) => {
            page.long_line("Magic Link", "");
            // Behind a label it would not fit on a line, and could not be copied.
            page.push(&format!("  {digest}"));
        }
        (None, None) => page.long_line("Kind", "unknown: the command could not be read"),
        (None, Some(_)) => page.long_line("Kind", &named(job)),
    }
    page.long_line("Received", &utc_and_distance(job.received_at_unix_s, now_unix_s));
    page.long_line("Outcome", job.outcome.name());
    page.long_line("", &format!("since {}", utc_and_distance(job.changed_at_unix_s, now_unix_s)));
    outcome(&mut page, &job.outcome, now_unix_s);
    if let Some(cancel) = job.cancel {
        page.long_line("Cancelled", cancellation(cancel));
    }
    if let Some(fetch) = &job.fetch {
        page.long_line("Bundle", &fetched(fetch));
        if let Some(problem) = &fetch.problem {
            page.long_line("", problem);
        }
    }
    page.text
}

/// How far a bundle is here.
pub(super) fn fetched(fetch: &FetchView) -> String {
    match fetch.total_bytes {
        Some(total) => format!("{} of {total} bytes are here", fetch.have_bytes),
        None => "nothing is known of its size yet".to_owned(),
    }
}

/// What has become of a cancellation.
const fn cancellation(cancel: Cancel) -> &'static str {
    match cancel {
        Cancel::Asked => "asked by the center; the executor has not answered yet",
        Cancel::Stopping => "it stops after the task under way",
        Cancel::RollingBack => "it is undone",
        Cancel::TooLate => "too late: it had ended, or was being undone",
    }
}

fn outcome(page: &mut Page, outcome: &Outcome, now_unix_s: UnixSeconds) {
    match outcome {
        Outcome::Received {} | Outcome::Accepted {} => {}
        Outcome::Running { task } => task_line(page, task.as_ref()),
        Outcome::Confirming { until_unix_s } => {
            let until = utc_and_distance(*until_unix_s, now_unix_s);
            page.long_line("", &format!("undone at {until} unless the center confirms it"));
        }
        Outcome::Succeeded { summary, dry_run, differences } => {
            if *dry_run {
                page.long_line("", "a dry run: nothing was changed");
            }
            counts(page, summary);
            printed(page, "Differences", differences.as_ref());
        }
        Outcome::Failed { task, exit_code, message, output, summary } => {
            task_line(page, task.as_ref());
            if let Some(code) = exit_code {
                page.long_line("Exit code", &code.to_string());
            }
            page.long_line("Message", message);
            counts(page, summary);
            printed(page, "Output", output.as_ref());
        }
        Outcome::Refused { reason, detail } => {
            page.long_line("Reason", reason.as_str());
            page.long_line("Detail", detail);
        }
        Outcome::Cancelled { task, summary, by_root } => {
            if *by_root {
                page.long_line("By", "root on the gateway");
            }
            match task {
                Some(task) => page.long_line("After", &task.to_string()),
                None => page.long_line("", "before it started"),
            }
            counts(page, summary);
        }
        Outcome::TimedOut { limit, task, output, summary } => {
            page.long_line("Limit", limit.as_str());
            task_line(page, task.as_ref());
            counts(page, summary);
            printed(page, "Output", output.as_ref());
        }
        Outcome::Interrupted { interruption } => {
            page.long_line("Under way", &interruption.to_string());
            counts(page, &interruption.summary);
        }
        Outcome::RolledBack { reason, complete, remains } => {
            page.long_line("Reason", reason);
            page.long_line("Undone", if *complete { "all of it" } else { "in part; what remains:" });
            remains.iter().for_each(|item| page.long_line("", item));
        }
    }
}

fn task_line(page: &mut Page, task: Option<&TaskRef>) {
    if let Some(task) = task {
        page.long_line("Task", &format!("{} of {}: {}", task.number, task.count, task.name));
    }
}

fn counts(page: &mut Page, summary: &Summary) {
    if summary.total() > 0 {
        page.long_line("Tasks", &summary.to_string());
    }
}

/// A program's output, indented, with its lines as they were.
fn printed(page: &mut Page, title: &str, output: Option<&Output>) {
    let Some(output) = output else { return };
    page.push(title);
    for line in output.to_string().lines() {
        page.push(format!("  {}", clean(line)).trim_end());
    }
}

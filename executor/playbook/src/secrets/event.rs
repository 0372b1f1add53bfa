//! Which texts of an event may hold a secret. Every field is named: who adds one has to decide.

use keros_protocol::executor::{Change, Event, TaskResult};
use keros_protocol::{Interruption, Outcome, Output, TaskRef};

use super::mask::{Cut, Mask};

const WHOLE: Cut = Cut { at_start: false, at_end: false };

pub(super) fn hide(event: &mut Event, mask: &Mask) {
    match event {
        Event::TaskStarted { task, module: _, role, handler: _, file, line: _, grouped: _ } => {
            hide_in_task(task, mask);
            role.iter_mut().chain(file).for_each(|text| mask.hide(text, WHOLE));
        }
        Event::ItemEnded { task, item_number: _, item, result, notified, duration_ms: _ } => {
            hide_in_task(task, mask);
            notified.iter_mut().for_each(|text| mask.hide(text, WHOLE));
            mask.hide_in_value(item);
            hide_in_result(result, mask);
        }
        Event::PartEnded { task, boot_id: _ } => hide_in_task(task, mask),
        Event::Retrying { task, left: _, delay_s: _, message } => {
            hide_in_task(task, mask);
            mask.hide(message, WHOLE);
        }
        Event::TaskEnded { task, result, notified, duration_ms: _ } => {
            hide_in_task(task, mask);
            hide_in_result(result, mask);
            notified.iter_mut().for_each(|text| mask.hide(text, WHOLE));
        }
        Event::Ended { outcome } => hide_in_outcome(outcome, mask),
        // These say nothing of what a task did; a run does not send them.
        Event::Started { .. }
        | Event::RunStarted { .. }
        | Event::Finding { .. }
        | Event::Checked { .. }
        | Event::Durable { .. }
        | Event::Resumed { .. }
        | Event::Confirming { .. }
        | Event::Confirmed {}
        | Event::RollingBack { .. }
        | Event::UndoStep { .. }
        | Event::Undone { .. }
        | Event::Rebooting { .. }
        | Event::CancelAnswered { .. }
        | Event::ConfirmAnswered { .. }
        | Event::Status { .. }
        | Event::RequestFailed { .. } => {}
    }
}

pub(super) fn hide_in_outcome(outcome: &mut Outcome, mask: &Mask) {
    match outcome {
        Outcome::Received {} | Outcome::Accepted {} | Outcome::Confirming { until_unix_s: _ } => {}
        Outcome::Succeeded { summary: _, dry_run: _, differences } => hide_in_output(differences, mask),
        Outcome::Running { task } | Outcome::Cancelled { task, summary: _, by_root: _ } => {
            hide_in_tasks(task, mask)
        }
        Outcome::Failed { task, exit_code: _, message, output, summary: _ } => {
            hide_in_tasks(task, mask);
            mask.hide(message, WHOLE);
            hide_in_output(output, mask);
        }
        Outcome::Refused { reason: _, detail } => mask.hide(detail, WHOLE),
        Outcome::TimedOut { limit: _, task, output, summary: _ } => {
            hide_in_tasks(task, mask);
            hide_in_output(output, mask);
        }
        Outcome::Interrupted { interruption: Interruption { task, last_task, summary: _ } } => {
            hide_in_tasks(task, mask);
            hide_in_tasks(last_task, mask);
        }
        Outcome::RolledBack { reason, complete: _, remains } => {
            mask.hide(reason, WHOLE);
            remains.iter_mut().for_each(|text| mask.hide(text, WHOLE));
        }
    }
}

fn hide_in_result(result: &mut TaskResult, mask: &Mask) {
    let TaskResult { status: _, changes, message, exit_code: _, output, attempts: _ } = result;
    for Change { property, before, after, diff } in changes {
        let texts = [before, after, diff].into_iter().flatten();
        texts.chain([property]).for_each(|text| mask.hide(text, WHOLE));
    }
    message.iter_mut().for_each(|text| mask.hide(text, WHOLE));
    hide_in_output(output, mask);
}

/// What was left out between head and tail may have cut a secret in two.
fn hide_in_output(output: &mut Option<Output>, mask: &Mask) {
    if let Some(Output { head, omitted_bytes, tail }) = output {
        let is_cut = *omitted_bytes > 0;
        mask.hide(head, Cut { at_end: is_cut, ..WHOLE });
        mask.hide(tail, Cut { at_start: is_cut, ..WHOLE });
    }
}

fn hide_in_tasks(task: &mut Option<TaskRef>, mask: &Mask) {
    task.iter_mut().for_each(|task| hide_in_task(task, mask));
}

pub(super) fn hide_in_task(TaskRef { number: _, count: _, name }: &mut TaskRef, mask: &Mask) {
    mask.hide(name, WHOLE);
}

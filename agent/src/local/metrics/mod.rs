//! `GET /metrics`: made when it is asked for, from what is known anyway. No registry: a table of families ([`families`]), written
//! in the form that the client reads ([`text`], [`accept`]).

mod accept;
mod families;
mod process;
mod text;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use tests::full_view;

use std::path::Path;

use keros_machine::{Now, TimeJudge};

use super::view::StatusView;
use crate::numbers::Numbers;

pub(super) use accept::Format;

/// All that is told.
#[derive(Debug)]
struct Told<'a> {
    view: &'a StatusView,
    numbers: &'a Numbers,
    judge: TimeJudge,
    now: Now,
    process: process::Process,
    room: Option<process::Room>,
}

/// All metrics of this moment.
pub(super) fn exposition(
    view: &StatusView,
    numbers: &Numbers,
    (judge, now): (TimeJudge, Now),
    state_folder: &Path,
    format: Format,
) -> String {
    let process = process::Process::read();
    let room = process::Room::of(state_folder);
    text::write(&Told { view, numbers, judge, now, process, room }, format)
}

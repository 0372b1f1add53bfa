//! `update watch`: live progress from server-sent events, drawn in place on a terminal, one line per change elsewhere.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use keros_protocol::{Eui, UpdateId};

use super::Ended;
use super::client::{Client, ServerEvent};
use super::terminal::{self, Block, Size};
use super::text::{cut, table};
use super::updates::{ROW_HEAD, all_succeeded, counts, is_over, row};
use crate::api::{DeliveryView, UpdateView};

/// How long a center that went away is waited for.
const RECONNECT_LIMIT: Duration = Duration::from_secs(300);

/// Between two attempts.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

pub(super) fn run(
    client: &Client,
    id: UpdateId,
    until_ended: bool,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let mut display = Display::new(if json { Form::Json } else { Form::for_standard_output() });
    let update = follow(client, id, until_ended, &mut |change| display.show(change, out))?;
    display.finish(&update, out)?;
    Ok(if update.ended && all_succeeded(&update) { Ended::Done } else { Ended::NotAllSucceeded })
}

/// What comes from the center while an update is followed.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// One gateway's state.
    Gateway(Box<DeliveryView>),
    /// The connection is lost and will be tried again.
    Lost(String),
}

/// Follows an update until it has ended, or, unless `until_ended`, until all that has not is overdue; survives a restart of the center.
///
/// # Errors
/// When the center refuses, or is away for too long.
pub(crate) fn follow(
    client: &Client,
    id: UpdateId,
    until_ended: bool,
    on_change: &mut dyn FnMut(&Change) -> io::Result<()>,
) -> anyhow::Result<UpdateView> {
    let mut events = client.events(&format!("/updates/{id}/events"))?;
    let mut lost_since = None;
    loop {
        let lost = match events.next() {
            Ok(Some(event)) => {
                lost_since = None;
                match read(&event)? {
                    Read::Gateway(view) => on_change(&Change::Gateway(view))?,
                    Read::Overdue(_) if until_ended => {}
                    Read::Overdue(view) | Read::Ended(view) => return Ok(*view),
                    Read::Other => {}
                }
                continue;
            }
            Ok(None) => "the center ended the connection".to_owned(),
            Err(error) => error.to_string(),
        };
        let since = *lost_since.get_or_insert_with(Instant::now);
        on_change(&Change::Lost(lost))?;
        events = loop {
            std::thread::sleep(RECONNECT_PAUSE);
            match client.events(&format!("/updates/{id}/events")) {
                Ok(events) => break events,
                Err(error) if since.elapsed() > RECONNECT_LIMIT => return Err(error.into()),
                Err(_) => {}
            }
        };
    }
}

enum Read {
    Gateway(Box<DeliveryView>),
    Overdue(Box<UpdateView>),
    Ended(Box<UpdateView>),
    Other,
}

fn read(event: &ServerEvent) -> anyhow::Result<Read> {
    let odd = || format!("the center sent a {:?} event that cannot be read", event.kind);
    Ok(match event.kind.as_str() {
        "gateway" => Read::Gateway(serde_json::from_str(&event.data).with_context(odd)?),
        "overdue" => Read::Overdue(serde_json::from_str(&event.data).with_context(odd)?),
        "ended" => Read::Ended(serde_json::from_str(&event.data).with_context(odd)?),
        _ => Read::Other,
    })
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Drawn in place.
    Terminal(Size),
    /// One line per change.
    Lines,
    /// One JSON object per line.
    Json,
}

impl Form {
    /// Drawn in place if there is a terminal that can do it.
    pub(crate) fn for_standard_output() -> Self {
        terminal::size().map_or(Self::Lines, Self::Terminal)
    }
}

/// What is on the screen.
#[derive(Debug)]
pub(crate) struct Display {
    form: Form,
    gateways: BTreeMap<Eui, DeliveryView>,
    lines: BTreeMap<Eui, String>,
    block: Block,
}

impl Display {
    /// Nothing is shown yet.
    pub(crate) fn new(form: Form) -> Self {
        Self { form, gateways: BTreeMap::new(), lines: BTreeMap::new(), block: Block::default() }
    }

    /// Shows one change.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn show(&mut self, change: &Change, out: &mut dyn Write) -> io::Result<()> {
        let view = match change {
            Change::Gateway(view) => view,
            Change::Lost(why) => {
                return writeln!(io::stderr(), "The connection to the center is lost ({why}); trying again.");
            }
        };
        self.gateways.insert(view.eui, (**view).clone());
        match self.form {
            Form::Json => {
                serde_json::to_writer(&mut *out, view).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            Form::Terminal(size) => self.block.draw(out, &screen(&self.gateways, size))?,
            Form::Lines => {
                let [eui, name, delivery, outcome] = row(view);
                let line = format!("{eui}  {name}  {delivery}  {outcome}");
                if self.lines.get(&view.eui) != Some(&line) {
                    writeln!(out, "{line}")?;
                    self.lines.insert(view.eui, line);
                }
            }
        }
        out.flush()
    }

    /// Takes away what was drawn in place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn clear(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if matches!(self.form, Form::Terminal(_)) { self.block.draw(out, &[]) } else { Ok(()) }
    }

    /// Shows how it ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn finish(&mut self, update: &UpdateView, out: &mut dyn Write) -> io::Result<()> {
        if self.form == Form::Json {
            serde_json::to_writer(&mut *out, update).map_err(io::Error::from)?;
            return writeln!(out);
        }
        self.clear(out)?;
        if let Some(digest) = update.magic_link {
            writeln!(out, "Magic Link {digest}")?;
        }
        if !update.gateways.is_empty() {
            let rows: Vec<[String; 4]> = update.gateways.iter().map(row).collect();
            write!(out, "{}", table(ROW_HEAD, &rows))?;
        }
        if update.ended {
            writeln!(out, "Ended: {}.", counts(&update.outcomes))?;
            if !all_succeeded(update) {
                writeln!(out, "Why, in words: keros-center update show {}", update.update_id)?;
            }
            return Ok(());
        }
        writeln!(
            out,
            "Not ended: {}. {} overdue: silent, or at it, for longer than the command may take. What they still say is \
             taken; go on with:\n  keros-center update watch --until-ended {}",
            counts(&update.outcomes),
            if update.overdue == 1 {
                "1 gateway is".to_owned()
            } else {
                format!("{} gateways are", update.overdue)
            },
            update.update_id
        )
    }
}

/// The lines of the screen: those that have not ended first, as many as fit, and the counts of all.
fn screen(gateways: &BTreeMap<Eui, DeliveryView>, size: Size) -> Vec<String> {
    let mut views: Vec<&DeliveryView> = gateways.values().collect();
    let room = size.rows.saturating_sub(4).max(1);
    if views.len() > room {
        views.sort_by_key(|view| is_over(view));
    }
    let left_out = views.len().saturating_sub(room);
    let rows: Vec<[String; 4]> = views.into_iter().take(room).map(row).collect();
    let mut lines: Vec<String> =
        table(ROW_HEAD, &rows).lines().map(|line| cut(line, size.columns - 1)).collect();
    if left_out > 0 {
        lines.push(format!("… and {left_out} more"));
    }
    let over = gateways.values().filter(|view| is_over(view)).count();
    let overdue = match gateways.values().filter(|view| view.overdue).count() {
        0 => String::new(),
        overdue => format!(", {overdue} overdue"),
    };
    lines.push(cut(&format!("{over} of {} ended{overdue}", gateways.len()), size.columns - 1));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::updates::tests::{delivery, refused, succeeded, update};
    use super::*;
    use keros_protocol::{Outcome, TaskRef};

    fn running(number: u32) -> Outcome {
        Outcome::Running { task: Some(TaskRef { number, count: 3, name: "write".to_owned() }) }
    }

    #[test]
    fn without_a_terminal_each_change_is_one_line() {
        let (mut display, mut out) = (Display::new(Form::Lines), Vec::new());
        for outcome in [None, Some(running(1)), Some(running(1)), Some(running(2)), Some(succeeded())] {
            display.show(&Change::Gateway(Box::new(delivery(1, outcome))), &mut out).unwrap();
        }
        let view = update(vec![delivery(1, Some(succeeded()))]);
        display.finish(&view, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "7076FF0056070101  klk-wiis-1  waiting  -\n\
             7076FF0056070101  klk-wiis-1  received  running: task 1 of 3 (write)\n\
             7076FF0056070101  klk-wiis-1  received  running: task 2 of 3 (write)\n\
             7076FF0056070101  klk-wiis-1  received  succeeded: 2 tasks (2 created)\n\
             GATEWAY           NAME        DELIVERY  OUTCOME\n\
             7076FF0056070101  klk-wiis-1  received  succeeded: 2 tasks (2 created)\n\
             Ended: 1 succeeded.\n"
        );
    }

    #[test]
    fn of_what_has_not_succeeded_it_says_where_the_reason_is() {
        let (mut display, mut out) = (Display::new(Form::Lines), Vec::new());
        display.finish(&update(vec![delivery(1, Some(refused()))]), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let end = "Ended: 1 refused.\nWhy, in words: keros-center update show 01920000-0000-7000-8000-000000000002\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn when_all_that_has_not_ended_is_overdue_it_says_how_to_go_on() {
        let late = DeliveryView { overdue: true, ..delivery(1, Some(running(2))) };
        let view = UpdateView { overdue: 1, ..update(vec![late, delivery(2, Some(succeeded()))]) };
        let (mut display, mut out) = (Display::new(Form::Lines), Vec::new());
        display.finish(&view, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("running: task 2 of 3 (write) [overdue]\n"), "{text}");
        assert!(text.contains("Not ended: 1 running, 1 succeeded. 1 gateway is overdue"), "{text}");
        assert!(text.contains("update watch --until-ended 01920000"), "{text}");
    }

    #[test]
    fn a_large_group_fits_on_the_screen_with_those_under_way_first() {
        let mut gateways = BTreeMap::new();
        for number in 0..100 {
            let outcome = if number < 50 { refused() } else { running(2) };
            let view = delivery(number, Some(outcome));
            gateways.insert(view.eui, view);
        }
        let lines = screen(&gateways, Size { columns: 60, rows: 10 });
        assert!(lines.len() < 10, "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() < 60), "{lines:?}");
        assert!(lines[1].contains("running"), "{lines:?}");
        assert_eq!(lines[lines.len() - 2..], ["… and 94 more", "50 of 100 ended"]);
    }

    #[test]
    fn an_event_that_cannot_be_read_is_an_error_and_an_unknown_one_is_not() {
        let event = |kind: &str| ServerEvent { kind: kind.to_owned(), data: "{}".to_owned() };
        assert!(read(&event("gateway")).is_err());
        assert!(matches!(read(&event("later")), Ok(Read::Other)));
    }
}

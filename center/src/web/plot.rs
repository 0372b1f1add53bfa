//! Plots of vitals as SVG that the server draws. Pure. Beside each plot stands a table with the same numbers, for those who see no picture.

use super::text::At;
use crate::api::{DayPoint, History, HourPoint};

/// Of the drawing, in its own units: it is as wide as its place.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 120.0;

/// A line is broken where nothing was heard for this many slots.
const GAP: u64 = 2;

/// One vital over a week.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plot {
    /// What it is, for people.
    pub(super) name: &'static str,
    /// Of its numbers.
    pub(super) unit: &'static str,
    /// Of the element, for links and labels.
    pub(super) id: &'static str,
    /// The `d` of an SVG path.
    pub(super) path: String,
    /// The least and the greatest number of the scale.
    pub(super) scale: (f64, f64),
    /// When it begins and ends.
    pub(super) from: At,
    /// When it ends.
    pub(super) until: At,
    /// In words: the last, the least, the greatest.
    pub(super) words: String,
    /// The last day hour by hour, and each day before it: what the table shows.
    pub(super) rows: Vec<(At, String)>,
}

type OfHour = fn(&HourPoint) -> Option<f64>;
type OfDay = fn(&DayPoint) -> Option<crate::api::OfDay>;

/// The plots of those vitals that were ever heard.
pub(super) fn plots(history: &History) -> Vec<Plot> {
    let vitals: [(&str, &str, &str, OfHour, OfDay); 3] = [
        ("CPU", "%", "cpu", |hour| hour.cpu_percent, |day| day.cpu_percent),
        ("Memory", "%", "memory", |hour| hour.memory_percent, |day| day.memory_percent),
        ("Temperature", "°C", "temperature", |hour| hour.temperature, |day| day.temperature),
    ];
    let plot =
        |(name, unit, id, of_hour, of_day): (&'static str, &'static str, &'static str, OfHour, OfDay)| {
            let hours: Vec<(u64, f64)> =
                history.hours.iter().filter_map(|hour| Some((hour.time_unix_s, of_hour(hour)?))).collect();
            let (first, last) = (*hours.first()?, *hours.last()?);
            let until = first.0 + span_s(first.0, last.0);
            let least = hours.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
            let most = hours.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
            // Percent are shown on a whole scale, so that plots can be compared.
            let scale = if unit == "%" { (0.0, 100.0) } else { (least.floor() - 5.0, most.ceil() + 5.0) };
            let day_rows = history.days.iter().filter_map(|day| {
                let of_day = of_day(day)?;
                Some((
                    At::new(day.time_unix_s),
                    format!("{} on average, {} at most", of_day.average, of_day.maximum),
                ))
            });
            let hour_rows =
                hours.iter().rev().take(24).map(|(at, value)| (At::new(*at), format!("{value:.1}")));
            Some(Plot {
                name,
                unit,
                id,
                path: path(&hours, scale),
                scale,
                from: At::new(first.0),
                until: At::new(until),
                words: format!("last {:.1} {unit}, at least {least:.1}, at most {most:.1}", last.1),
                rows: hour_rows.chain(day_rows.rev()).collect(),
            })
        };
    vitals.into_iter().filter_map(plot).collect()
}

/// How long a plot is, seconds. One hour is a line as well: from its beginning to its end.
fn span_s(first: u64, last: u64) -> u64 {
    (last - first).max(3600)
}

fn path(hours: &[(u64, f64)], (low, high): (f64, f64)) -> String {
    use std::fmt::Write as _;
    let (Some(first), Some(last)) = (hours.first(), hours.last()) else { return String::new() };
    let span_s = span_s(first.0, last.0);
    let mut path = String::new();
    let mut before: Option<u64> = None;
    for (at, value) in hours {
        #[allow(clippy::cast_precision_loss, reason = "seconds of a week")]
        let x = (at - first.0) as f64 / span_s as f64 * WIDTH;
        let y = HEIGHT - (value.clamp(low, high) - low) / (high - low) * HEIGHT;
        let joins = before.is_some_and(|before| at - before <= GAP * 3600);
        let _ = write!(path, "{}{x:.1} {y:.1}", if joins { "L" } else { "M" });
        if !joins {
            // A single point is seen too, by the round ends of the line.
            let _ = write!(path, "h{}", if hours.len() == 1 { WIDTH } else { 0.0 });
        }
        before = Some(*at);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(hour: u64, cpu: f64) -> HourPoint {
        HourPoint {
            time_unix_s: hour * 3600,
            cpu_percent: Some(cpu),
            memory_percent: None,
            temperature: None,
        }
    }

    #[test]
    fn a_line_is_broken_where_nothing_was_heard() {
        let hours = [hour(10, 0.0), hour(11, 50.0), hour(20, 100.0)].to_vec();
        let plots = plots(&History { hours, days: Vec::new() });
        assert_eq!(plots.len(), 1, "what was never heard has no plot");
        assert_eq!(plots[0].path, "M0.0 120.0h0L64.0 60.0M640.0 0.0h0");
        assert_eq!(plots[0].words, "last 100.0 %, at least 0.0, at most 100.0");
    }

    #[test]
    fn one_point_and_absurd_numbers_are_drawn_within_the_picture() {
        for value in [-99.9, 0.0, 999.9] {
            let plots = plots(&History { hours: vec![hour(1, value)], days: Vec::new() });
            let y: f64 = plots[0].path.trim_start_matches("M0.0 ").trim_end_matches("h640").parse().unwrap();
            assert!((0.0..=HEIGHT).contains(&y), "{value}: {y}");
            assert_eq!(
                (plots[0].from.text.as_str(), plots[0].until.text.as_str()),
                ("1970-01-01 01:00 UTC", "1970-01-01 02:00 UTC")
            );
        }
    }
}

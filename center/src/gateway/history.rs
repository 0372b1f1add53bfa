//! The history of a gateway's vitals, for plots: every hour of the last week, every day of the last year.
//!
//! Both are texts in one row each, and bounded by how they are made, so that nothing has to be pruned. An hour is `cpu,memory,temperature` in
//! tenths, at most 14 characters and a blank: 168 of them are 2.5 KB at most, some 2 KB as they come, rewritten in the row of the last
//! telemetry, which is written anyway. A day is `average/maximum` of each in whole numbers, at most 29 characters: 366 of them are 11 KB at
//! most, some 6 KB as they come, rewritten once a day. A gateway takes some 8 KB: 100,000 of them 0.8 GB.

use std::fmt::Write as _;

use keros_protocol::{Telemetry, UnixSeconds};

/// Hours that are kept, and days.
pub(crate) const HOURS: usize = 7 * 24;
pub(crate) const DAYS: usize = 366;

const HOUR_S: u64 = 3600;
pub(crate) const HOURS_A_DAY: u64 = 24;

/// Slots that the clock of another center may be ahead, around the turn of one.
const AHEAD: u64 = 2;

/// Least and greatest number of a point, tenths: four characters, so that its text is bounded.
const LEAST: f32 = -999.0;
const MOST: f32 = 9999.0;

/// The vitals of an hour in tenths: the last ones heard in it. A value that was not stated is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Point {
    /// Percent of all cores.
    pub(crate) cpu: Option<i32>,
    /// Percent.
    pub(crate) memory: Option<i32>,
    /// Degrees Celsius.
    pub(crate) temperature: Option<i32>,
}

/// Average and maximum of a day, in whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Day {
    /// Percent of all cores.
    pub(crate) cpu: Option<(i32, i32)>,
    /// Percent.
    pub(crate) memory: Option<(i32, i32)>,
    /// Degrees Celsius.
    pub(crate) temperature: Option<(i32, i32)>,
}

/// Slots that follow each other; the first is number `first`, counted from 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row<T> {
    /// Number of the first slot.
    pub(crate) first: u64,
    /// From the first that was heard of to the last.
    pub(crate) slots: Vec<Option<T>>,
}

impl<T> Default for Row<T> {
    fn default() -> Self {
        Self { first: 0, slots: Vec::new() }
    }
}

impl<T: Copy> Row<T> {
    /// Number of the slot after the last one.
    fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Puts a value into its slot and drops what is too old. A slot that is too old itself is left alone: the clock went back.
    fn put(&mut self, number: u64, value: T, most: usize) {
        // What is later than now was kept by a clock that was ahead: with it nothing would be kept until then.
        if self.end() > number.saturating_add(AHEAD) {
            let left = number.saturating_add(1).saturating_sub(self.first);
            self.slots.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        if self.slots.is_empty() || number >= self.end() + most as u64 {
            *self = Self { first: number, slots: vec![Some(value)] };
            return;
        }
        let Some(offset) = number.checked_sub(self.first).and_then(|offset| usize::try_from(offset).ok())
        else {
            return;
        };
        if offset >= self.slots.len() {
            self.slots.resize(offset + 1, None);
        }
        if let Some(slot) = self.slots.get_mut(offset) {
            *slot = Some(value);
        }
        self.keep_last(most);
    }

    /// Drops all but the last slots.
    pub(crate) fn keep_last(&mut self, most: usize) {
        let too_many = self.slots.len().saturating_sub(most);
        self.slots.drain(..too_many);
        self.first += too_many as u64;
    }

    /// The slots with a value, each with its number.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (u64, T)> + '_ {
        (self.first..).zip(&self.slots).filter_map(|(number, slot)| slot.map(|slot| (number, slot)))
    }
}

impl Point {
    /// What a telemetry says; `None` when it says nothing of these.
    pub(crate) fn of(telemetry: &Telemetry) -> Option<Self> {
        #[allow(clippy::cast_possible_truncation, reason = "it is held between -999 and 9999 first")]
        let tenths = |value: Option<f32>| {
            value
                .filter(|value| value.is_finite())
                .map(|value| (value * 10.0).round().clamp(LEAST, MOST) as i32)
        };
        let point = Self {
            cpu: tenths(telemetry.cpu_percent),
            memory: tenths(telemetry.memory_percent),
            temperature: tenths(telemetry.temperature),
        };
        (point != Self::default()).then_some(point)
    }
}

/// Puts a point into the hours; gives the days that it ends, each with its number.
pub(crate) fn add(hours: &mut Row<Point>, now: UnixSeconds, point: Point) -> Vec<(u64, Day)> {
    let hour = now / HOUR_S;
    let today = hour / HOURS_A_DAY;
    // Its last hour tells which day was last; it ends when an hour of a later one comes.
    let last_day = hours.end().saturating_sub(1) / HOURS_A_DAY;
    let ended = (!hours.slots.is_empty() && last_day < today)
        .then(|| day_of(hours, last_day).map(|day| (last_day, day)))
        .flatten();
    hours.put(hour, point, HOURS);
    ended.into_iter().collect()
}

/// Puts a day that has ended into the days.
pub(crate) fn add_day(days: &mut Row<Day>, number: u64, day: Day) {
    days.put(number, day, DAYS);
}

fn day_of(hours: &Row<Point>, day: u64) -> Option<Day> {
    let of_day: Vec<Point> =
        hours.filled().filter(|(hour, _)| hour / HOURS_A_DAY == day).map(|(_, point)| point).collect();
    let summary = |value: fn(&Point) -> Option<i32>| {
        let values: Vec<i32> = of_day.iter().filter_map(value).collect();
        let most = *values.iter().max()?;
        let count = i32::try_from(values.len()).ok()?;
        Some((rounded(values.iter().sum::<i32>() / count), rounded(most)))
    };
    let day = Day {
        cpu: summary(|point| point.cpu),
        memory: summary(|point| point.memory),
        temperature: summary(|point| point.temperature),
    };
    (day != Day::default()).then_some(day)
}

/// Tenths to whole numbers.
fn rounded(tenths: i32) -> i32 {
    (tenths + 5).div_euclid(10)
}

/// What a slot is written as.
pub(crate) trait Slot: Copy + Sized {
    /// Writes its text, without blanks.
    fn write(&self, text: &mut String);
    /// Reads it; `None` for what was never written.
    fn read(text: &str) -> Option<Self>;
}

impl Slot for Point {
    fn write(&self, text: &mut String) {
        write_three([self.cpu, self.memory, self.temperature], text, |value, text| {
            let _ = write!(text, "{value}");
        });
    }

    fn read(text: &str) -> Option<Self> {
        let [cpu, memory, temperature] = read_three(text, |text| text.parse().ok())?;
        Some(Self { cpu, memory, temperature })
    }
}

impl Slot for Day {
    fn write(&self, text: &mut String) {
        write_three([self.cpu, self.memory, self.temperature], text, |(average, most), text| {
            let _ = write!(text, "{average}/{most}");
        });
    }

    fn read(text: &str) -> Option<Self> {
        let pair =
            |text: &str| text.split_once('/').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let [cpu, memory, temperature] = read_three(text, pair)?;
        Some(Self { cpu, memory, temperature })
    }
}

fn write_three<T>(values: [Option<T>; 3], text: &mut String, write: impl Fn(T, &mut String)) {
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        if let Some(value) = value {
            write(value, text);
        }
    }
}

fn read_three<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<[Option<T>; 3]> {
    let mut parts =
        text.split(',').map(|part| if part.is_empty() { Some(None) } else { read(part).map(Some) });
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

impl<T: Slot> Row<T> {
    /// The text for the column: the number of the first slot, then the slots, `-` for an empty one.
    pub(crate) fn to_text(&self) -> String {
        let mut text = self.first.to_string();
        for slot in &self.slots {
            text.push(' ');
            match slot {
                Some(slot) => slot.write(&mut text),
                None => text.push('-'),
            }
        }
        text
    }

    /// Reads the column. What cannot be read is as if nothing had been kept: a plot is not worth a telemetry.
    pub(crate) fn from_text(text: &str) -> Self {
        let mut parts = text.split(' ');
        let first = parts.next().and_then(|first| first.parse().ok());
        let slots: Option<Vec<Option<T>>> =
            parts.map(|part| if part == "-" { Some(None) } else { T::read(part).map(Some) }).collect();
        match (first, slots) {
            (Some(first), Some(slots)) => Self { first, slots },
            _ => Self::default(),
        }
    }
}

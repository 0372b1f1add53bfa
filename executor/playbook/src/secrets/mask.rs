//! Finds secret values in a text, in every form in which they may stand there, and puts `***` in their place.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use serde_json::Value;

/// A shorter text is everywhere by chance: hiding it would spoil every message and still tell it.
pub(super) const MIN_CHARS: usize = 4;
/// All forms of all secrets of one run, bytes. Variables hold some 5 MiB at most; a key is a few KiB.
const MAX_FORMS_BYTES: usize = 16 * 1024 * 1024;
/// What stands in a secret's place.
pub(super) const STARS: &str = "***";
/// What stands at an end where something was cut off, or a character was cut in two.
const CUT_MARKS: [char; 2] = ['…', char::REPLACEMENT_CHARACTER];

/// First bytes of a form: the same length for all, and no form is shorter.
type Start = [u8; MIN_CHARS];

/// The values to hide.
#[derive(Debug, Default)]
pub(super) struct Mask {
    /// Forms by their first bytes, in order.
    forms: HashMap<Start, BTreeSet<Vec<u8>>>,
    /// Values that are hidden only where they stand alone.
    short: BTreeSet<String>,
    bytes: usize,
}

/// Whether a text was cut there, so that only a part of a secret may be left of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cut {
    pub(super) at_start: bool,
    pub(super) at_end: bool,
}

impl Mask {
    pub(super) fn is_empty(&self) -> bool {
        self.forms.is_empty() && self.short.is_empty()
    }

    /// Hides a value from here on.
    ///
    /// # Errors
    /// When there are too many to search for.
    pub(super) fn add(&mut self, value: &str) -> Result<(), String> {
        let trimmed = value.trim();
        if trimmed.chars().count() < MIN_CHARS {
            if !trimmed.is_empty() {
                self.short.insert(trimmed.to_owned());
            }
            return Ok(());
        }
        for form in forms(value) {
            let Some(start) = form.as_bytes().first_chunk() else { continue };
            let alike = self.forms.entry(*start).or_default();
            if alike.contains(form.as_bytes()) {
                continue;
            }
            self.bytes += form.len();
            if self.bytes > MAX_FORMS_BYTES {
                return Err("there are more secrets than can be hidden".to_owned());
            }
            alike.insert(form.into_bytes());
        }
        Ok(())
    }

    /// Hides secrets in a text. A text that ends with `…` was cut there.
    pub(super) fn hide(&self, text: &mut String, cut: Cut) {
        if self.short.contains(text.trim()) {
            STARS.clone_into(text);
            return;
        }
        let cut = Cut { at_end: cut.at_end || text.ends_with('…'), ..cut };
        let places = self.find(text, cut);
        if places.is_empty() {
            return;
        }
        let mut hidden = String::with_capacity(text.len());
        let mut from = 0;
        for (start, end) in places {
            hidden.push_str(&text[from..start]);
            hidden.push_str(STARS);
            from = end;
        }
        hidden.push_str(&text[from..]);
        *text = hidden;
    }

    /// Hides secrets in all texts and numbers of a value, also in the keys of its maps.
    pub(super) fn hide_in_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.hide(text, Cut::default()),
            Value::Number(number) => {
                let mut text = number.to_string();
                self.hide(&mut text, Cut::default());
                if text != number.to_string() {
                    *value = Value::String(text);
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|element| self.hide_in_value(element)),
            Value::Object(map) => {
                for (mut key, mut value) in std::mem::take(map) {
                    self.hide(&mut key, Cut::default());
                    self.hide_in_value(&mut value);
                    map.insert(key, value);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Where secrets stand, in order and apart from each other. All of them count, also those that overlap.
    fn find(&self, text: &str, cut: Cut) -> Vec<(usize, usize)> {
        let bytes = text.as_bytes();
        let mut places: Vec<(usize, usize)> = Vec::new();
        for (at, start) in bytes.array_windows().enumerate() {
            let alike = self.forms.get::<Start>(start);
            let length = alike.and_then(|alike| longest_at_start(&bytes[at..], alike));
            places.extend(length.map(|length| (at, at + length)));
        }
        for (before, after) in cuts(text, cut) {
            places.extend(self.rest_at_end(&text[..before]));
            let rest = self.rest_at_start(&text[after..]);
            places.extend(rest.map(|(start, end)| (after + start, after + end)));
        }
        joined(places)
    }

    /// The end of a secret whose beginning was cut off.
    fn rest_at_start(&self, text: &str) -> Option<(usize, usize)> {
        let whole = text.trim_start_matches(CUT_MARKS);
        let from = text.len() - whole.len();
        let lengths = self.all().map(|form| overlap(form.iter().rev(), whole.as_bytes().iter().rev()));
        lengths.max().filter(|length| *length > 0).map(|length| (from, from + length))
    }

    /// The beginning of a secret whose end was cut off.
    fn rest_at_end(&self, text: &str) -> Option<(usize, usize)> {
        let whole = text.trim_end_matches(CUT_MARKS);
        let lengths = self.all().map(|form| overlap(form.iter(), whole.as_bytes().iter()));
        lengths.max().filter(|length| *length > 0).map(|length| (whole.len() - length, whole.len()))
    }

    fn all(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.forms.values().flatten()
    }
}

/// The length of the longest form that a text begins with. There may be very many alike, so not all are tried: of those that are not
/// after the text in order, the last is it, or shares with the text all that any other can.
fn longest_at_start(text: &[u8], alike: &BTreeSet<Vec<u8>>) -> Option<usize> {
    let mut text = text;
    loop {
        let form = alike.range::<[u8], _>((Bound::Unbounded, Bound::Included(text))).next_back()?;
        if text.starts_with(form) {
            return Some(form.len());
        }
        let shared = form.iter().zip(text).take_while(|(a, b)| a == b).count();
        text = &text[..shared];
    }
}

/// How much of a form's beginning a text ends with, found in one pass as Knuth, Morris and Pratt do: form and text may be long, and all
/// of one letter.
fn overlap<'b>(
    form: impl ExactSizeIterator<Item = &'b u8>,
    text: impl ExactSizeIterator<Item = &'b u8>,
) -> usize {
    let skipped = text.len().saturating_sub(form.len());
    let text: Vec<u8> = text.skip(skipped).copied().collect();
    let form: Vec<u8> = form.take(text.len()).copied().collect();
    // To each beginning of the form, how much of its own beginning it ends with.
    let mut borders: Vec<usize> = Vec::with_capacity(form.len());
    for at in 0..form.len() {
        let length = if at == 0 { 0 } else { extended(borders[at - 1], form[at], &form, &borders) };
        borders.push(length);
    }
    text.iter().fold(0, |length, byte| extended(length, *byte, &form, &borders))
}

/// How long a match is with one byte more.
fn extended(mut length: usize, byte: u8, form: &[u8], borders: &[usize]) -> usize {
    while length > 0 && form.get(length) != Some(&byte) {
        length = borders[length - 1];
    }
    if form.get(length) == Some(&byte) { length + 1 } else { 0 }
}

/// Where something was left out of a text: the end of what is before, and the beginning of what is after. An output that became
/// part of a text says so in brackets.
fn cuts(text: &str, cut: Cut) -> Vec<(usize, usize)> {
    let mut cuts = Vec::new();
    if cut.at_start {
        cuts.push((0, 0));
    }
    if cut.at_end {
        cuts.push((text.len(), text.len()));
    }
    for (start, _) in text.match_indices("[… ") {
        let before = text[..start].trim_end_matches("\\n").trim_end_matches('\n').len();
        cuts.push((before, text.len()));
    }
    for (start, mark) in text.match_indices(" …]") {
        let after = &text[start + mark.len()..];
        let after = after.trim_start_matches("\\n").trim_start_matches('\n');
        cuts.push((0, text.len() - after.len()));
    }
    cuts
}

/// In order, with those that touch made one.
fn joined(mut places: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    places.sort_unstable();
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for (start, end) in places {
        match joined.last_mut() {
            Some((_, last_end)) if *last_end >= start => *last_end = end.max(*last_end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// A value, its lines, and each of them in lower and upper case, as JSON and as this program's own messages escape it.
fn forms(value: &str) -> HashSet<String> {
    let bases = value.lines().chain([value]).flat_map(|part| [part, part.trim()]);
    let cased = bases.flat_map(|base| [base.to_owned(), base.to_lowercase(), base.to_uppercase()]);
    let escaped = cased.flat_map(|text| {
        let json = serde_json::to_string(&text).unwrap_or_default();
        let debug = format!("{text:?}");
        let inner =
            |quoted: &str| quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned();
        [inner(&json), inner(&debug), text]
    });
    escaped.filter(|form| form.trim().chars().count() >= MIN_CHARS).collect()
}

//! When telemetry is due, each rule by a short story.

use crate::story::{START, Story, telemetry};
use keros_machine::Event;

#[test]
fn telemetry_is_sent_at_each_gateways_own_minute() {
    let mut phases = std::collections::BTreeSet::new();
    for number in 0..60 {
        let mut story = Story::with_eui(0x7076_FF00_5607_0000 + number);
        assert_eq!(telemetry(&story.connect()), 1, "at once on the first connection");
        story.answer();
        story.sleep();
        story.answer();
        phases.insert(story.now.unix_s % 3600 / 60);
        assert_eq!(story.sleep(), 3_600_000, "then every hour");
    }
    assert!(phases.len() > 30, "neighbouring gateways are spread: {phases:?}");
}

#[test]
fn unanswered_telemetry_is_sent_again_a_few_times_and_then_only_hourly() {
    let mut story = Story::new();
    let mut sent_at_s = Vec::new();
    story.connect();
    while story.now.unix_s < START + 5 * 3600 {
        let before = story.all.len();
        story.sleep();
        sent_at_s.extend((0..telemetry(&story.all[before..])).map(|_| story.now.unix_s - START));
    }
    assert_eq!(sent_at_s[..3], [60, 360, 1260], "after 1, 5 and 15 minutes");
    assert!(sent_at_s[3..].windows(2).all(|pair| pair[1] - pair[0] == 3600), "then hourly: {sent_at_s:?}");

    // An answer ends it; a new connection gives the center all the retries again.
    story.answer();
    assert!(story.sleep() > 900_000);
    story.answer();
    story.tell(Event::Disconnected);
    story.later(120_000);
    assert_eq!(telemetry(&story.connect()), 1);
    assert_eq!(story.sleep(), 60_000);
}

#[test]
fn telemetry_is_limited_whatever_asks_for_it() {
    let mut story = Story::new();
    story.connect();
    for _ in 0..600 {
        story.tell(Event::TelemetryWanted);
        story.tell(Event::Disconnected);
        story.connect();
        story.later(100);
    }
    assert_eq!(telemetry(&story.all), 2, "in one minute");
}

#[test]
fn telemetry_goes_on_when_the_clock_goes_back() {
    let mut story = Story::new();
    story.connect();
    story.answer();
    story.now.unix_s = 1000;
    let before = story.all.len();
    for _ in 0..62 {
        story.later(60_000);
        story.answer();
    }
    assert_eq!(
        telemetry(&story.all[before..]),
        2,
        "the time is asked for, then once an hour by the other clock"
    );
}

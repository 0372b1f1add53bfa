use keros_protocol::{Eui, KerosVersion};

use super::file;
use super::history::{self, Day, Point, Row};
use super::rule::{Facts, Rule, RuleError};
use super::search::{name_key, search_pattern, version_key};
use super::status::{ConnectionStatus, Moments, Signs, connection_status};

#[test]
fn the_status_follows_the_table() {
    use ConnectionStatus::{Operational, Unknown, Unreachable, Warning};
    const NOW: u64 = 1_000_000;
    for (age, online, warned, expected) in [
        (None, false, false, Unknown),
        (None, true, false, Unknown),
        (Some(0), true, false, Operational),
        (Some(0), false, false, Operational),
        (Some(0), true, true, Warning),
        (Some(3600), false, false, Operational),
        (Some(3900), true, false, Operational),
        (Some(3901), true, false, Warning),
        (Some(7500), false, false, Warning),
        (Some(7501), false, false, Unreachable),
        (Some(7501), false, true, Unreachable),
        (Some(7501), true, false, Warning),
        (Some(999_999), false, false, Unreachable),
    ] {
        let signs = Signs { last_telemetry_at: age.map(|age| NOW - age), online, warned };
        assert_eq!(connection_status(signs, Moments::at(NOW)), expected, "{signs:?}");
    }
}

#[test]
fn a_clock_that_went_back_makes_no_gateway_unreachable() {
    let signs = Signs { last_telemetry_at: Some(5000), online: false, warned: false };
    assert_eq!(connection_status(signs, Moments::at(10)), ConnectionStatus::Operational);
}

fn met(rule: &str, model: Option<&str>, keros: Option<&str>, labels: &[&str]) -> bool {
    let keros: Option<KerosVersion> = keros.map(|text| text.parse().unwrap());
    let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
    let rule: Rule = rule.parse().unwrap_or_else(|error| panic!("{rule}: {error}"));
    rule.is_met_by(Facts { model, keros: keros.as_ref(), labels: &labels })
}

#[test]
fn a_rule_is_met_as_it_reads() {
    let wiis = Some("wiis");
    for (rule, keros, labels, expected) in [
        ("model = wiis", None, &[][..], true),
        ("model=wiis", None, &[], true),
        ("MODEL = fevo,wiis", None, &[], true),
        ("model != fevo", None, &[], true),
        ("model != fevo, wiis", None, &[], false),
        ("model = WIIS", None, &[], false),
        ("keros = 6.3", Some("6.3.1"), &[], true),
        ("keros = 6.3", Some("6.4.0"), &[], false),
        ("keros = 6, 5.10", Some("5.10.1-0-gc7e2b007"), &[], true),
        ("keros >= 6.3", Some("6.3.0"), &[], true),
        ("keros >= 6.3", Some("6.2.9"), &[], false),
        ("keros > 6.3", Some("6.3.9"), &[], false),
        ("keros > 6.3", Some("6.4.0"), &[], true),
        ("keros <= 6.3", Some("6.3.9"), &[], true),
        ("keros < 6.3", Some("6.3.0"), &[], false),
        ("keros < 6.10", Some("6.9.0"), &[], true),
        ("keros != 6.3", Some("6.4"), &[], true),
        ("keros >= 5 and keros < 6", Some("5.10.1"), &[], true),
        ("label = site:north", None, &["site:north", "roof"], true),
        ("label = site:south, roof", None, &["site:north", "roof"], true),
        ("label != test", None, &["site:north"], true),
        ("label != test", None, &["test"], false),
        ("model = wiis and keros >= 6 and label != test", Some("6.3.1"), &[], true),
        ("model = wiis and keros >= 6 and label != test", Some("6.3.1"), &["test"], false),
    ] {
        assert_eq!(met(rule, wiis, keros, labels), expected, "{rule} on {keros:?} {labels:?}");
    }
}

#[test]
fn a_rule_takes_in_nothing_that_it_cannot_judge() {
    for rule in ["model != wiis", "model = wiis", "keros != 6.3", "keros < 6.3", "keros >= 0"] {
        assert!(!met(rule, None, None, &[]), "{rule}");
    }
}

#[test]
fn what_is_no_rule_says_where_and_why() {
    for (text, at, found) in [
        ("", 1, "the end"),
        ("   ", 4, "the end"),
        ("modl = wiis", 1, "\"modl\""),
        ("model wiis", 7, "\"wiis\""),
        ("model = ", 9, "the end"),
        ("model < wiis", 7, "\"<\""),
        ("model = wiis or keros = 6", 14, "\"or\""),
        ("model = wiis and", 17, "the end"),
        ("model = wiis,, fevo", 14, "\",\""),
        ("keros = six", 9, "\"six\""),
        ("keros = 6.3.1.4", 9, "\"6.3.1.4\""),
        ("keros = 4294967295", 9, "\"4294967295\""),
        ("keros =! 6", 7, "\"=!\""),
        ("label = 'north'", 9, "'\\''"),
        ("label = n\u{e4}h", 10, "'\u{e4}'"),
    ] {
        let error = text.parse::<Rule>().unwrap_err();
        let RuleError::Expected { at: place, found: what, .. } = &error else { panic!("{text}: {error}") };
        assert_eq!((*place, what.as_str()), (at, found), "{text}: {error}");
    }
    assert_eq!("model=a and ".repeat(43).parse::<Rule>(), Err(RuleError::TooLong));
    assert_eq!(format!("{}model=a", "model=a and ".repeat(16)).parse::<Rule>(), Err(RuleError::TooLong));
    assert_eq!(format!("model={}a", "a,".repeat(32)).parse::<Rule>(), Err(RuleError::TooLong));
}

#[test]
fn keys_sort_as_people_do() {
    let mut names = ["b", "A", "a2", "Ä", "", "zz", "Zy"];
    names.sort_by_key(|name| name_key(name));
    assert_eq!(names, ["", "A", "a2", "b", "Zy", "zz", "Ä"]);
    let mut versions = ["10.0", "6.10.0", "6.9.1", "4.1.6_20190829151113", "5.10.1-0-gc7e2b007"];
    versions.sort_by_key(|text| version_key(&text.parse().unwrap()));
    assert_eq!(versions, ["4.1.6_20190829151113", "5.10.1-0-gc7e2b007", "6.9.1", "6.10.0", "10.0"]);
}

#[test]
fn a_search_knows_every_spelling_of_an_eui_and_no_wildcard() {
    for (wanted, pattern) in [
        ("7076FF00", "%7076ff00%"),
        (" 70:76:FF:00:56:07:01:23 ", "%7076ff0056070123%"),
        ("7076-ff00", "%7076ff00%"),
        ("6.3.1", "%6.3.1%"),
        ("North roof", "%north roof%"),
        ("100%_!", "%100!%!_!!%"),
    ] {
        assert_eq!(search_pattern(wanted), pattern, "{wanted}");
    }
}

fn point(cpu: i32) -> Point {
    Point { cpu: Some(cpu), memory: None, temperature: Some(-12) }
}

#[test]
fn the_history_is_bounded_whatever_comes() {
    let mut hours = Row::default();
    let mut days = Row::default();
    let most = Point { cpu: Some(-999), memory: Some(9999), temperature: Some(-999) };
    for hour in 0..24 * 800 {
        for (number, day) in history::add(&mut hours, hour * 3600, most) {
            history::add_day(&mut days, number, day);
        }
    }
    assert_eq!((hours.slots.len(), days.slots.len()), (history::HOURS, history::DAYS));
    assert!(hours.to_text().len() < 2600, "{}", hours.to_text().len());
    assert!(days.to_text().len() < 11_100, "{}", days.to_text().len());
}

#[test]
fn a_day_that_ends_is_its_average_and_its_maximum() {
    let mut hours = Row::default();
    assert_eq!(history::add(&mut hours, 0, point(100)), []);
    assert_eq!(history::add(&mut hours, 7200, point(400)), []);
    // Twice in an hour: the last stands.
    assert_eq!(history::add(&mut hours, 7300, point(304)), []);
    let day = Day { cpu: Some((20, 30)), memory: None, temperature: Some((-1, -1)) };
    assert_eq!(history::add(&mut hours, 86_400 * 3, point(0)), [(0, day)]);
    assert_eq!(history::add(&mut hours, 86_400 * 3 + 3600, point(0)), []);
}

#[test]
fn the_history_survives_its_column() {
    let mut hours = Row::default();
    for (hour, cpu) in [(10, 1), (12, 22), (15, 333)] {
        history::add(&mut hours, hour * 3600, point(cpu));
    }
    let text = hours.to_text();
    assert_eq!(text, "10 1,,-12 - 22,,-12 - - 333,,-12");
    assert_eq!(Row::from_text(&text), hours);
    for damaged in ["", "x", "10 1,2", "10 1,2,3,4", "10 a,b,c", "10  1,2,3"] {
        assert_eq!(Row::<Point>::from_text(damaged), Row::default(), "{damaged:?}");
    }
    let day = Day { cpu: Some((1, 2)), memory: Some((3, 4)), temperature: None };
    let days = Row { first: 7, slots: vec![Some(day), None] };
    assert_eq!(Row::from_text(&days.to_text()), days);
}

#[test]
fn a_clock_that_goes_back_or_far_ahead_does_no_harm() {
    let mut hours = Row::default();
    history::add(&mut hours, 1_000_000_000, point(1));
    history::add(&mut hours, 5, point(2));
    assert_eq!(hours.slots.len(), 1);
    history::add(&mut hours, u64::MAX, point(3));
    assert_eq!((hours.slots.len(), hours.first), (1, u64::MAX / 3600));
}

fn no_check(_: Option<&str>, _: Option<&str>) -> Option<String> {
    None
}

#[test]
fn a_file_of_gateways_is_read() {
    let text = "\u{feff}EUI;Name;Labels\r\n70:76:ff:00:56:07:01:23;\"North; roof\";site:north roof\r\n7076FF0056070124;;\r\n";
    let (lines, errors) = file::read(text.as_bytes(), no_check);
    assert_eq!(errors, []);
    let of_line: Vec<_> = lines.iter().map(|line| (line.line, line.eui, line.name.as_deref())).collect();
    let eui = |last: u64| Eui::from_u64(0x7076_FF00_5607_0100 + last);
    assert_eq!(of_line, [(2, eui(0x23), Some("North; roof")), (3, eui(0x24), Some(""))]);
    assert_eq!(lines[0].labels.as_deref(), Some(&["site:north".to_owned(), "roof".to_owned()][..]));
    assert_eq!((lines[0].description.as_deref(), lines[1].labels.as_deref()), (None, Some(&[][..])));
}

#[test]
fn every_line_of_a_file_that_is_wrong_is_told() {
    let text = "eui,name\n7076FF0056070123,a\nnonsense,b\n7076ff0056070123,c\n7076FF0056070124,d,e\n7076FF0056070125,bad\n";
    let check = |name: Option<&str>, _: Option<&str>| (name == Some("bad")).then(|| "bad name".to_owned());
    let (lines, errors) = file::read(text.as_bytes(), check);
    assert_eq!(lines.len(), 1);
    let at: Vec<u64> = errors.iter().map(|error| error.line).collect();
    assert_eq!(at, [3, 4, 5, 6], "{errors:?}");
    for head in ["", "name\n", "eui,eui\n", "eui,colour\n", "eui\n"] {
        let (lines, errors) = file::read(head.as_bytes(), no_check);
        assert_eq!((lines.len(), errors.len()), (0, 1), "{head:?}: {errors:?}");
    }
    let (lines, errors) = file::read(b"eui,name\n7076FF0056070123,\xFF\n", no_check);
    assert!(lines.is_empty() && errors[0].message.contains("UTF-8"), "{errors:?}");
    assert_eq!(errors[0].line, 2);
    let open =
        "eui,description\n7076FF0056070123,\"two\nlines\"\n7076FF0056070124,\"open\n7076FF0056070125,x\n";
    let (lines, errors) = file::read(open.as_bytes(), no_check);
    assert!(lines.is_empty() && errors.len() == 1, "{lines:?} {errors:?}");
    assert_eq!((errors[0].line, errors[0].message.contains("quote")), (4, true), "{errors:?}");
    let many = format!("eui\n{}", "x\n".repeat(200));
    assert_eq!(file::read(many.as_bytes(), no_check).1.len(), file::MAX_ERRORS + 1);
}

#[test]
fn no_cell_is_a_formula_and_each_is_read_back() {
    for text in ["=1+1", "+1", "-1", "@x", "'=1", "'quoted'", "plain", "\t=1", "", "''=x"] {
        let cell = file::defused(text);
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{text:?} is {cell:?}");
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["eui", "name"]).unwrap();
        csv.write_record(["7076FF0056070123", &cell]).unwrap();
        let (lines, errors) = file::read(&csv.into_inner().unwrap(), no_check);
        assert_eq!(errors, [], "{text:?}");
        assert_eq!(lines[0].name.as_deref(), Some(text), "{cell:?}");
    }
}

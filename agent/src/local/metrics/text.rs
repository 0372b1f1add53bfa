//! The text: OpenMetrics 1.0, or the form of Prometheus before it (0.0.4), which has no units, no `info` and no end.

use std::fmt::{Display, Write as _};

use super::Told;
use super::accept::Format;
use super::families::{FAMILIES, Family, Kind};

/// All families with their samples.
pub(super) fn write(told: &Told<'_>, format: Format) -> String {
    let mut text = String::with_capacity(8192);
    for family in FAMILIES {
        head(&mut text, family, format);
        (family.samples)(told, &mut Samples { text: &mut text, family });
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

// Writing into a text cannot fail.
fn head(text: &mut String, family: &Family, format: Format) {
    let Family { name, kind, unit, help, .. } = family;
    let (name, kind) = match (format, kind) {
        (Format::OpenMetrics, kind) => (*name, kind.name()),
        (Format::Prometheus, Kind::Info) => (&*family.sample_name(), Kind::Gauge.name()),
        (Format::Prometheus, kind) => (&*family.sample_name(), kind.name()),
    };
    let _ = writeln!(text, "# TYPE {name} {kind}");
    if format == Format::OpenMetrics && !unit.is_empty() {
        let _ = writeln!(text, "# UNIT {name} {unit}");
    }
    let _ = writeln!(text, "# HELP {name} {help}");
}

/// Takes the samples of one family.
pub(super) struct Samples<'a> {
    text: &'a mut String,
    family: &'a Family,
}

impl Samples<'_> {
    /// The only one.
    pub(super) fn is(&mut self, value: impl Display) {
        self.with(&[], value);
    }

    /// The only one, when it is known.
    pub(super) fn maybe(&mut self, value: Option<impl Display>) {
        if let Some(value) = value {
            self.is(value);
        }
    }

    /// One of several.
    pub(super) fn with(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(&self.family.sample_name());
        for (index, (name, value)) in labels.iter().enumerate() {
            let begin = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{begin}{name}=\"{}\"", escaped(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

/// What a label's value may be made of.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

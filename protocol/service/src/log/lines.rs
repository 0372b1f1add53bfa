//! The layer under all log lines.

use std::io::{self, Write as _};

use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Style;
use super::line::Line;

/// The target of lines whose fields have the journal's names already.
pub(super) const JOBS: &str = "keros::jobs";

/// Writes each line, made harmless.
pub(super) struct Lines {
    to: To,
}

enum To {
    Journal { named: Box<tracing_journald::Layer>, other: Box<tracing_journald::Layer> },
    Text(Style),
}

impl Lines {
    pub(super) fn to_journal() -> io::Result<Self> {
        let named = Box::new(tracing_journald::layer()?.with_field_prefix(None));
        let other = Box::new(tracing_journald::layer()?.with_field_prefix(Some("KEROS".to_owned())));
        Ok(Self { to: To::Journal { named, other } })
    }

    pub(super) const fn to_text(style: Style) -> Self {
        Self { to: To::Text(style) }
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Lines {
    /// There are no spans: the journal's layer would want to be told of each.
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event()
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let (line, metadata) = (Line::of(event), event.metadata());
        match &self.to {
            To::Journal { named, other } => {
                let journal = if metadata.target() == JOBS { named } else { other };
                line.with_event(metadata, |event| journal.on_event(event, context));
            }
            To::Text(style) => {
                // That nobody listens there any more must not end what goes on.
                let _ = io::stderr().lock().write_all(text(*style, metadata, &line).as_bytes());
            }
        }
    }
}

fn text(style: Style, metadata: &Metadata<'_>, line: &Line) -> String {
    let mut text = String::new();
    match style {
        Style::Service => {
            // It can only fail where a string cannot be written to.
            let _ = SystemTime.format_time(&mut Writer::new(&mut text));
            text.push_str(&format!(" {:>5} ", metadata.level()));
        }
        Style::Program(name) => text.push_str(&format!("{name}: ")),
    }
    text.push_str(&line.text());
    text.push('\n');
    text
}

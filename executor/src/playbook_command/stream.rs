//! The events of a run as lines of JSON on the standard output.

use std::io::{self, Write as _};

use keros_playbook::Observer;
use keros_protocol::executor::Event;

/// One JSON object per line, each written out at once.
pub(super) struct JsonLines;

impl Observer for JsonLines {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()
    }
}

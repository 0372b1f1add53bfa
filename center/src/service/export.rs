//! Lists as CSV (RFC 4180), for spreadsheets.

use keros_protocol::{UnixSeconds, UpdateId};

use super::center::{Center, in_thread};
use super::order::OrderError;
use crate::access::Caller;
use crate::api::{DeliveryView, UpdateView};
use crate::cli::text::utc;
use crate::store::UpdatesOf;

/// Updates of one export.
const MAX_UPDATES: u32 = 10_000;

/// A text that no spreadsheet takes for a formula: those begin with one of these, and get an apostrophe before it.
pub(crate) fn defused(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '|', '%']) {
        return format!("'{text}");
    }
    text.to_owned()
}

/// A table as CSV, each cell defused.
pub(crate) fn table<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<String, OrderError> {
    let broke = |error: &dyn std::fmt::Display| {
        OrderError::Unavailable(format!("the table cannot be written: {error}"))
    };
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(head).map_err(|error| broke(&error))?;
    for row in rows {
        writer.write_record(row.iter().map(|cell| defused(cell))).map_err(|error| broke(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| broke(&error))?;
    String::from_utf8(bytes).map_err(|error| broke(&error))
}

impl Center {
    /// The updates that the caller may see, newest first.
    pub(crate) async fn updates_csv(&self, caller: &Caller, now: UnixSeconds) -> Result<String, OrderError> {
        let updates = self.updates(caller, UpdatesOf::All, None, MAX_UPDATES, now).await?;
        in_thread(move || {
            let head = [
                "update_id",
                "customer",
                "group",
                "gateway",
                "kind",
                "magic_link",
                "created_at",
                "created_by",
                "expires_at",
                "state",
                "ended",
                "deliveries",
                "outcomes",
                "overdue",
            ];
            table(head, updates.into_iter().map(update_row))
        })
        .await
    }

    /// The gateways of an update.
    pub(crate) async fn lines_csv(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        now: UnixSeconds,
    ) -> Result<String, OrderError> {
        let update = self.update(caller, update_id, now).await?;
        in_thread(move || {
            let head = [
                "gateway",
                "name",
                "command_id",
                "delivery",
                "outcome",
                "detail",
                "times_sent",
                "changed_at",
                "overdue",
                "waits_for",
            ];
            table(head, update.gateways.into_iter().map(line_row))
        })
        .await
    }
}

fn update_row(view: UpdateView) -> [String; 14] {
    let counts = |counts: &std::collections::BTreeMap<String, u32>| {
        let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        parts.join(", ")
    };
    [
        view.update_id.to_string(),
        view.customer,
        view.group,
        view.gateway.map(|eui| eui.to_string()).unwrap_or_default(),
        view.kind,
        view.magic_link.map(|digest| digest.to_string()).unwrap_or_default(),
        utc(view.created_at_unix_s),
        view.created_by,
        utc(view.expires_at_unix_s),
        view.state,
        view.ended.to_string(),
        counts(&view.deliveries),
        counts(&view.outcomes),
        view.overdue.to_string(),
    ]
}

fn line_row(view: DeliveryView) -> [String; 10] {
    [
        view.eui.to_string(),
        view.name,
        view.command_id.to_string(),
        view.delivery.to_string(),
        view.outcome.as_ref().map(|outcome| outcome.name().to_owned()).unwrap_or_default(),
        view.outcome.as_ref().map(ToString::to_string).unwrap_or_default(),
        view.times_sent.to_string(),
        utc(view.changed_at_unix_s),
        view.overdue.to_string(),
        view.waits_for.map(|line| line.text).unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_begins_as_a_formula_does() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "|x", "%x"] {
            assert_eq!(defused(text), format!("'{text}"));
        }
        for text in ["", "north", "7076FF0056070123", "a=1", "'x"] {
            assert_eq!(defused(text), text);
        }
    }

    #[test]
    fn cells_with_commas_quotes_and_lines_stay_one_cell() {
        let rows = [
            ["a,b".to_owned(), "say \"hi\"\nthere".to_owned()],
            ["=cmd|' /C calc'!A0".to_owned(), "é".to_owned()],
        ];
        let text = table(["x", "y"], rows.clone()).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let read: Vec<Vec<String>> =
            reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
        assert_eq!(read[0], rows[0]);
        assert_eq!(read[1], ["'=cmd|' /C calc'!A0", "é"]);
    }
}

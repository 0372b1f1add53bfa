//! Many gateways at once, from and to CSV.

use std::collections::BTreeMap;

use keros_protocol::{Eui, UnixSeconds};
use sqlx::AnyConnection;

use super::audit::{What, audit};
use super::center::{Center, in_thread};
use super::customers::customer_for;
use super::gateway_orders::check_texts;
use super::order::{OrderError, invalid};
use crate::access::{Action, Caller, CustomerId};
use crate::api::{GatewayView, ImportError, ImportView};
use crate::gateway::file::{self, Line, LineError};
use crate::store::{GatewayRow, StoreError, Transaction, gateways, labels};

/// Gateways that are looked up at once.
const AT_ONCE: usize = 500;

impl Center {
    /// Declares, names, describes, labels the gateways of a file: all of them, or none when one line is wrong or it was only asked.
    pub(crate) async fn import(
        &self,
        caller: &Caller,
        bytes: Vec<u8>,
        customer: Option<&str>,
        dry_run: bool,
        now: UnixSeconds,
    ) -> Result<ImportView, OrderError> {
        let check = |name: Option<&str>, description: Option<&str>| {
            check_texts(name, description).err().map(|error| error.to_string())
        };
        let (lines, mut errors) = in_thread(move || Ok(file::read(&bytes, check))).await?;
        let mut transaction = self.store.begin().await?;
        let customer = customer_for(&mut transaction, caller, customer, Action::EditGateways).await?.id;
        let mut import = Import { customer, now, view: empty(dry_run) };
        for part in lines.chunks(AT_ONCE) {
            import.take(&mut transaction, caller, part, &mut errors).await?;
        }
        errors.sort_by_key(|error| error.line);
        errors.truncate(file::MAX_ERRORS + 1);
        let told = |LineError { line, message }| ImportError { line, message };
        import.view.errors = errors.into_iter().map(told).collect();
        if dry_run {
            transaction.rollback().await.map_err(StoreError::from)?;
            return Ok(import.view);
        }
        if !import.view.errors.is_empty() {
            return Err(invalid(refusal(&import.view.errors)));
        }
        let detail = format!("imported: {} added, {} changed", import.view.added, import.view.changed);
        audit(
            &mut transaction,
            caller,
            Action::EditGateways,
            What::of(customer, "gateways from a file", detail),
        )
        .await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(import.view)
    }
}

/// The first errors in one sentence: all of them are told when it is only asked.
fn refusal(errors: &[ImportError]) -> String {
    const TOLD: usize = 5;
    let told: Vec<String> =
        errors.iter().take(TOLD).map(|error| format!("line {}: {}", error.line, error.message)).collect();
    let more = errors.len().saturating_sub(TOLD);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("nothing is changed: {}{more}", told.join("; "))
}

fn empty(dry_run: bool) -> ImportView {
    ImportView { dry_run, added: 0, changed: 0, unchanged: 0, errors: Vec::new() }
}

struct Import {
    /// Whose the gateways become that are not known yet.
    customer: CustomerId,
    now: UnixSeconds,
    view: ImportView,
}

impl Import {
    async fn take(
        &mut self,
        transaction: &mut Transaction,
        caller: &Caller,
        lines: &[Line],
        errors: &mut Vec<LineError>,
    ) -> Result<(), OrderError> {
        let euis: Vec<Eui> = lines.iter().map(|line| line.eui).collect();
        let known = known(transaction, &euis).await?;
        let labelled = labels::of(transaction, &euis).await?;
        for line in lines {
            let before = known.get(&line.eui);
            // What is another customer's cannot be told from what is not there by its answer: it is refused, as a line of a wrong file is.
            if before.is_some_and(|row| !caller.may(Action::EditGateways, &row.customer_id)) {
                let message = format!("gateway {} cannot be changed here", line.eui);
                errors.push(LineError { line: line.line, message });
                continue;
            }
            self.put(transaction, line, before, labelled.get(&line.eui)).await?;
        }
        Ok(())
    }

    async fn put(
        &mut self,
        transaction: &mut Transaction,
        line: &Line,
        before: Option<&GatewayRow>,
        labelled: Option<&Vec<String>>,
    ) -> Result<(), OrderError> {
        let name_before = before.and_then(|row| row.name.as_deref());
        let name = line.name.as_deref().or(name_before).filter(|name| !name.is_empty());
        let description_before = before.map_or("", |row| row.description.as_str());
        let description = line.description.as_deref().unwrap_or(description_before);
        let mut wanted = line.labels.clone();
        wanted.iter_mut().for_each(|list| {
            list.sort();
            list.dedup();
        });
        let same_labels =
            wanted.as_ref().is_none_or(|wanted| labelled.map_or(wanted.is_empty(), |is| is == wanted));
        let declared = before.is_some_and(|row| row.declared);
        let same = declared && name == name_before && description == description_before && same_labels;
        match (before, same) {
            (_, true) => {
                self.view.unchanged += 1;
                return Ok(());
            }
            (Some(_), false) => self.view.changed += 1,
            (None, false) => self.view.added += 1,
        }
        gateways::declare(transaction, line.eui, self.customer, name, description, self.now).await?;
        if let (Some(row), None) = (before, name) {
            gateways::rename(transaction, row, None, description).await?;
        }
        if let (Some(wanted), false) = (&wanted, same_labels) {
            labels::set(transaction, line.eui, wanted).await?;
        }
        Ok(())
    }
}

async fn known(
    connection: &mut AnyConnection,
    euis: &[Eui],
) -> Result<BTreeMap<Eui, GatewayRow>, OrderError> {
    let rows = gateways::these(connection, euis).await?;
    Ok(rows.into_iter().map(|row| (row.eui, row)).collect())
}

/// A line of an export, that no spreadsheet takes for formulas.
pub(crate) fn export_line(view: &GatewayView) -> [String; 13] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        view.eui.to_string(),
        view.given_name.clone().unwrap_or_default(),
        view.description.clone(),
        view.labels.join(" "),
        view.connection_status.status.as_str().to_owned(),
        view.last_telemetry_unix_s.map(|at| at.to_string()).unwrap_or_default(),
        text(&view.model),
        text(&view.keros_version),
        text(&view.agent_version),
        view.groups.join(", "),
        view.customer_id.to_string(),
        if view.retired_at_unix_s.is_some() { "yes" } else { "no" }.to_owned(),
        view.locations.first().map(ToString::to_string).unwrap_or_default(),
    ]
    .map(|cell| file::defused(&cell))
}

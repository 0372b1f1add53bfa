//! The other centers on the same database: who of them has gone, and what that means for gateways.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keros_protocol::UnixSeconds;

use super::center::Center;
use super::changes::Change;
use crate::bounds::{CENTER_SILENCE, CHANGES, NUDGED_AFTER_LOSS};
use crate::store::{CenterRow, StoreError, centers};

/// What a center must have to be one of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name at the broker.
    pub(crate) center_id: String,
    /// A digest of the settings that all must have alike.
    pub(crate) settings: String,
}

/// When each center's beat was first seen to be what it is. By this center's clock alone: those of others may be wrong.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    beats: BTreeMap<String, (u64, Duration)>,
}

impl Watch {
    /// Looks at all centers; gives those whose beat has stood still for too long. `now` never goes back.
    pub(crate) fn gone<'a>(&mut self, rows: &'a [CenterRow], own: &str, now: Duration) -> Vec<&'a CenterRow> {
        self.beats.retain(|id, _| rows.iter().any(|row| row.center_id == *id));
        let mut gone = Vec::new();
        for row in rows.iter().filter(|row| row.center_id != own) {
            let seen = self.beats.entry(row.center_id.clone()).or_insert((row.beat, now));
            if seen.0 != row.beat {
                *seen = (row.beat, now);
            }
            if now.saturating_sub(seen.1) > CENTER_SILENCE {
                gone.push(row);
            }
        }
        gone
    }
}

impl Center {
    /// Gives a sign of life, looks for those of others, and takes over from one that has gone: gateways that something is under way for are
    /// asked for telemetry, since their words, and the answers to them, may have gone with it.
    pub(crate) async fn beat(
        &self,
        member: &Member,
        watch: &mut Watch,
        elapsed: Duration,
        now: UnixSeconds,
    ) -> Result<(), StoreError> {
        let mut connection = self.store.read().await?;
        centers::beat(&mut connection, &member.center_id, &member.settings, now).await?;
        let rows = centers::list(&mut connection).await?;
        let gone = watch.gone(&rows, &member.center_id, elapsed);
        self.others.store((rows.len() - gone.len()).saturating_sub(1), Ordering::Relaxed);
        for other in &gone {
            if centers::remove(&mut connection, &other.center_id, other.beat).await? {
                let gateways = centers::gateways_under_way(&mut connection, NUDGED_AFTER_LOSS).await?;
                tracing::warn!(
                    center = other.center_id,
                    gateways = gateways.len(),
                    "another center has gone: the gateways that something is under way for are asked for telemetry"
                );
                self.nudge_some(gateways);
            }
        }
        for other in rows.iter().filter(|row| row.settings != member.settings && !gone.contains(row)) {
            tracing::warn!(
                center = other.center_id,
                "another center of this database has other keys, another topic prefix or another --registry-url: give all of them the same"
            );
        }
        Ok(())
    }

    /// How many other centers serve from the same database.
    pub(crate) fn others(&self) -> usize {
        self.others.load(Ordering::Relaxed)
    }

    /// Changes that were missed since then are told: for each update that something changed of.
    pub(crate) async fn tell_changed_since(&self, since: UnixSeconds) -> Result<(), StoreError> {
        let updates = centers::changed_since(&mut *self.store.read().await?, since, CHANGES / 2).await?;
        self.tell_from_others(&updates.into_iter().map(Change::Update).collect::<Vec<_>>());
        Ok(())
    }

    /// Whether presence may be forgotten at the start: nobody else has kept it up to date.
    pub(crate) async fn is_alone(&self, own: &str, now: UnixSeconds) -> Result<bool, StoreError> {
        let rows = centers::list(&mut *self.store.read().await?).await?;
        let recent = now.saturating_sub(3 * CENTER_SILENCE.as_secs());
        Ok(rows.iter().all(|row| row.center_id == own || row.seen_at < recent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, beat: u64) -> CenterRow {
        CenterRow { center_id: id.to_owned(), settings: String::new(), beat, seen_at: 0 }
    }

    #[test]
    fn a_center_has_gone_when_its_beat_stands_still_whatever_the_clocks_say() {
        let mut watch = Watch::default();
        let mut gone = |rows: &[CenterRow], s: u64| {
            let gone = watch.gone(rows, "own", Duration::from_secs(s));
            gone.into_iter().map(|row| row.center_id.clone()).collect::<Vec<_>>()
        };
        let silence = CENTER_SILENCE.as_secs();
        assert!(gone(&[row("own", 1), row("a", 7), row("b", 1)], 0).is_empty());
        assert!(gone(&[row("own", 1), row("a", 8), row("b", 1)], silence).is_empty(), "just in time");
        assert_eq!(gone(&[row("own", 1), row("a", 9), row("b", 1)], silence + 1), ["b"]);
        // It was removed, came back, and its time begins anew.
        assert!(gone(&[row("own", 1), row("a", 10)], silence + 2).is_empty());
        assert!(gone(&[row("own", 1), row("a", 11), row("b", 1)], silence + 3).is_empty());
    }
}

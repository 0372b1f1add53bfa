//! The other centers on the same database: who of them has gone, and what that means for gateways.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keros_protocol::UnixSeconds;
use sqlx::AnyConnection;

use super::center::{Center, unix_now};
use super::changes::Change;
use crate::bounds::{CENTER_SILENCE, CHANGES, DEADLINE_PERIOD, NUDGED_AFTER_LOSS};
use crate::store::{CenterRow, StoreError, centers};

/// How often it is looked for a center that is in the way.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What a center must have to be one of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name at the broker.
    pub(crate) center_id: String,
    /// A digest of the settings that all must have alike.
    pub(crate) settings: String,
    /// Gateways are connected to a broker of its own, and no other center hears them.
    pub(crate) own_broker: bool,
}

impl Member {
    /// The centers beside which this one cannot serve, if they live: only one broker may be anybody's own.
    fn in_the_way<'a>(&self, rows: &'a [CenterRow]) -> impl Iterator<Item = &'a CenterRow> {
        let (own, own_broker) = (self.center_id.clone(), self.own_broker);
        rows.iter().filter(move |row| row.center_id != own && (row.own_broker || own_broker))
    }
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
        sign(&mut connection, member, now).await?;
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

    /// Looks for a living center beside which this one cannot serve. It takes two rounds of signs of life where one may be there, by this
    /// center's clock alone, and no time where none is. Two that begin at the same time may find each other.
    pub(crate) async fn find_in_the_way(&self, member: &Member) -> Result<Option<CenterRow>, StoreError> {
        let begin = tokio::time::Instant::now();
        let mut first = None;
        loop {
            let mut connection = self.store.read().await?;
            sign(&mut connection, member, unix_now()).await?;
            let rows = centers::list(&mut connection).await?;
            let before: &Vec<CenterRow> = first.get_or_insert_with(|| rows.clone());
            // One that has come since, or has given a sign of life.
            let lives = |row: &&CenterRow| {
                !before.iter().any(|old| old.center_id == row.center_id && old.beat == row.beat)
            };
            if let Some(living) = member.in_the_way(&rows).find(lives) {
                centers::forget(&mut connection, &member.center_id).await?;
                return Ok(Some(living.clone()));
            }
            if member.in_the_way(&rows).next().is_none() || begin.elapsed() > 2 * DEADLINE_PERIOD {
                return Ok(None);
            }
            drop(connection);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
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

async fn sign(connection: &mut AnyConnection, member: &Member, now: UnixSeconds) -> Result<(), StoreError> {
    centers::beat(connection, &member.center_id, &member.settings, member.own_broker, now).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, beat: u64) -> CenterRow {
        let center_id = id.to_owned();
        CenterRow { center_id, settings: String::new(), own_broker: false, beat, seen_at: 0 }
    }

    #[test]
    fn only_centers_that_share_a_broker_serve_beside_each_other() {
        let member = |own_broker| Member { center_id: "own".to_owned(), settings: String::new(), own_broker };
        let with_own = CenterRow { own_broker: true, ..row("c", 1) };
        let rows = [row("own", 1), row("a", 1), with_own];
        let in_the_way = |member: Member| -> Vec<String> {
            member.in_the_way(&rows).map(|row| row.center_id.clone()).collect()
        };
        assert_eq!(in_the_way(member(false)), ["c"]);
        assert_eq!(in_the_way(member(true)), ["a", "c"]);
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

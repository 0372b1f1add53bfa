//! How a roll-out goes on: one pure function over what is known of the stage under way.

use keros_protocol::UnixSeconds;

use super::Rollout;

/// Of a stage with more gateways than this, the part that did not succeed is judged from this many on, and by those that have ended: three
/// bad ones among the first twenty stop a stage of ten thousand, when 10 % are allowed.
const JUDGED_FROM: u32 = 20;

/// Where a roll-out is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// The stage under way, from 0: the commands of this one and of those before it are handed out.
    pub(crate) stage: u32,
    /// The last stage.
    pub(crate) last: u32,
    /// When the stage under way began.
    pub(crate) since: UnixSeconds,
    /// It was stopped.
    pub(crate) halted: bool,
    /// Gateways of the stage under way that did not succeed and that an operator has gone on in spite of.
    pub(crate) forgiven: u32,
}

/// The gateways of the stage under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StageCounts {
    /// All of them.
    pub(crate) total: u32,
    /// From which nothing more is expected: a terminal outcome, or a command that will never be delivered.
    pub(crate) ended: u32,
    /// That succeeded.
    pub(crate) succeeded: u32,
    /// That did not succeed: any terminal outcome but `succeeded` and `cancelled`.
    pub(crate) failed: u32,
    /// That have not ended, and are late: each may be a gateway that was lost.
    pub(crate) overdue: u32,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing now.
    Wait,
    /// The next stage begins.
    Release,
    /// It stops, for this reason.
    Halt(String),
}

/// The next step of a roll-out.
pub(crate) fn step(rollout: &Rollout, progress: &Progress, counts: &StageCounts, now: UnixSeconds) -> Action {
    if progress.halted {
        return Action::Wait;
    }
    let bad = counts.failed.saturating_add(counts.overdue);
    let settled = counts.ended.saturating_add(counts.overdue);
    let judged = settled.max(counts.total.min(JUDGED_FROM));
    let new = bad.saturating_sub(progress.forgiven);
    if is_above(new, rollout.max_failed_percent, judged) {
        return Action::Halt(reason(rollout, progress, counts));
    }
    let is_enough = u64::from(settled) * 100 >= u64::from(counts.total) * u64::from(rollout.enough_percent);
    if progress.stage >= progress.last || !is_enough {
        return Action::Wait;
    }
    // Who cancels the one gateway on which it goes wrong must not send it to all others by that.
    let is_forgiven = progress.forgiven > 0 || (bad > 0 && rollout.max_failed_percent == 100);
    if counts.succeeded == 0 && !is_forgiven {
        return Action::Halt(nowhere(progress, counts));
    }
    let may_begin = now >= progress.since.saturating_add(rollout.min_wait_s.into());
    if may_begin { Action::Release } else { Action::Wait }
}

fn nowhere(progress: &Progress, counts: &StageCounts) -> String {
    format!(
        "of the {} gateways of stage {} of {} none succeeded: it was cancelled there, or did not come there in time",
        counts.total,
        progress.stage + 1,
        progress.last + 1
    )
}

/// Whether `part` is more than so many percent of `whole`.
fn is_above(part: u32, percent: u8, whole: u32) -> bool {
    u64::from(part) * 100 > u64::from(percent) * u64::from(whole)
}

fn reason(rollout: &Rollout, progress: &Progress, counts: &StageCounts) -> String {
    let silent = match counts.overdue {
        0 => String::new(),
        overdue => format!(" and {overdue} are overdue"),
    };
    let gateways = if counts.total == 1 { "gateway" } else { "gateways" };
    format!(
        "of the {} {gateways} of stage {} of {}, {} did not succeed{silent}: more than {} %",
        counts.total,
        progress.stage + 1,
        progress.last + 1,
        counts.failed,
        rollout.max_failed_percent
    )
}

/// What an operator's word to go on comes to: one that was stopped goes on where it is, with its failures so far forgiven; one that is
/// under way begins its next stage now. `None`: there is nothing to go on with.
pub(crate) fn go_on(progress: &Progress, counts: &StageCounts, now: UnixSeconds) -> Option<Progress> {
    if progress.halted {
        let forgiven = counts.failed.saturating_add(counts.overdue);
        let on = Progress { halted: false, forgiven, ..*progress };
        // Where nothing failed and nothing succeeded there is nothing to forgive, and nothing to wait for.
        let is_nowhere = forgiven == 0 && counts.succeeded == 0 && progress.stage < progress.last;
        return Some(if is_nowhere { on.released(now) } else { on });
    }
    (progress.stage < progress.last).then(|| progress.released(now))
}

impl Progress {
    /// The same roll-out with its next stage under way since `now`.
    pub(crate) fn released(&self, now: UnixSeconds) -> Self {
        Self { stage: self.stage + 1, since: now, forgiven: 0, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Progress = Progress { stage: 0, last: 2, since: 100, halted: false, forgiven: 0 };

    fn counts(total: u32, ended: u32, failed: u32, overdue: u32) -> StageCounts {
        StageCounts { total, ended, succeeded: ended - failed, failed, overdue }
    }

    fn cancelled(total: u32, ended: u32) -> StageCounts {
        StageCounts { succeeded: 0, ..counts(total, ended, 0, 0) }
    }

    fn name(action: &Action) -> &'static str {
        match action {
            Action::Wait => "wait",
            Action::Release => "release",
            Action::Halt(_) => "halt",
        }
    }

    #[test]
    fn each_state_of_a_stage_has_its_step() {
        let rollout = Rollout::default();
        let waiting = Rollout { min_wait_s: 600, ..Rollout::default() };
        let enough = Rollout { enough_percent: 80, ..Rollout::default() };
        let never = Rollout { max_failed_percent: 100, ..Rollout::default() };
        let none = Rollout { max_failed_percent: 0, ..Rollout::default() };
        let last = Progress { stage: 2, ..BEGIN };
        let halted = Progress { halted: true, ..BEGIN };
        let forgiven = Progress { forgiven: 1, ..BEGIN };
        for (what, rollout, progress, counts, now, expected) in [
            ("nothing came yet", &rollout, BEGIN, counts(1, 0, 0, 0), 200, "wait"),
            ("the first one succeeded", &rollout, BEGIN, counts(1, 1, 0, 0), 200, "release"),
            ("the first one failed", &rollout, BEGIN, counts(1, 1, 1, 0), 200, "halt"),
            ("the first one is silent", &rollout, BEGIN, counts(1, 0, 0, 1), 200, "halt"),
            ("it was cancelled", &rollout, BEGIN, cancelled(1, 1), 200, "halt"),
            ("it was cancelled too early", &waiting, BEGIN, cancelled(1, 1), 100, "halt"),
            ("one of two was cancelled", &rollout, BEGIN, cancelled(2, 1), 200, "wait"),
            ("one was cancelled, one succeeded", &rollout, BEGIN, counts(2, 2, 0, 0), 200, "release"),
            ("all may fail, and it was cancelled", &never, BEGIN, cancelled(1, 1), 200, "halt"),
            (
                "none succeeded, few enough failed",
                &rollout,
                BEGIN,
                StageCounts { failed: 2, ..cancelled(20, 20) },
                200,
                "halt",
            ),
            ("the last stage was cancelled", &rollout, last, cancelled(9, 9), 200, "wait"),
            ("too early", &waiting, BEGIN, counts(1, 1, 0, 0), 699, "wait"),
            ("late enough", &waiting, BEGIN, counts(1, 1, 0, 0), 700, "release"),
            ("a failure does not wait", &waiting, BEGIN, counts(1, 1, 1, 0), 100, "halt"),
            ("not enough", &enough, BEGIN, counts(10, 7, 0, 0), 200, "wait"),
            ("enough", &enough, BEGIN, counts(10, 8, 0, 0), 200, "release"),
            ("10 % of 25 is allowed", &rollout, BEGIN, counts(25, 25, 2, 0), 200, "release"),
            ("more is not", &rollout, BEGIN, counts(25, 25, 3, 0), 200, "halt"),
            ("two of the first three of many", &rollout, BEGIN, counts(9000, 3, 2, 0), 200, "wait"),
            ("three of the first three of many", &rollout, BEGIN, counts(9000, 3, 3, 0), 200, "halt"),
            ("11 % of those that ended", &rollout, BEGIN, counts(9000, 100, 11, 0), 200, "halt"),
            ("the silent count with the failed", &rollout, BEGIN, counts(25, 20, 2, 1), 200, "halt"),
            ("all may fail", &never, BEGIN, counts(5, 5, 5, 0), 200, "release"),
            ("none may fail", &none, BEGIN, counts(9000, 1, 1, 0), 200, "halt"),
            ("the last stage has ended", &rollout, last, counts(9, 9, 0, 0), 200, "wait"),
            ("the last stage fails", &rollout, last, counts(9, 3, 3, 0), 200, "halt"),
            ("what is stopped stays so", &rollout, halted, counts(1, 1, 0, 0), 200, "wait"),
            ("what was forgiven does not count", &rollout, forgiven, counts(1, 1, 1, 0), 200, "release"),
            ("one more does", &rollout, forgiven, counts(2, 2, 2, 0), 200, "halt"),
        ] {
            assert_eq!(name(&step(rollout, &progress, &counts, now)), expected, "{what}");
        }
    }

    #[test]
    fn the_reason_says_how_many_and_where() {
        let Action::Halt(reason) = step(&Rollout::default(), &BEGIN, &counts(25, 4, 3, 1), 200) else {
            panic!("it goes on")
        };
        assert_eq!(
            reason,
            "of the 25 gateways of stage 1 of 3, 3 did not succeed and 1 are overdue: more than 10 %"
        );
    }

    #[test]
    fn going_on_takes_up_what_was_stopped_and_begins_the_next_stage_of_what_was_not() {
        let halted = Progress { halted: true, ..BEGIN };
        let on = go_on(&halted, &counts(25, 4, 3, 1), 500).unwrap();
        assert_eq!(on, Progress { forgiven: 4, ..BEGIN });
        assert_eq!(step(&Rollout::default(), &on, &counts(25, 4, 3, 1), 500), Action::Wait);
        let next = go_on(&BEGIN, &counts(25, 4, 3, 1), 500).unwrap();
        assert_eq!(next, Progress { stage: 1, since: 500, ..BEGIN });
        assert_eq!(go_on(&Progress { stage: 2, ..BEGIN }, &counts(1, 0, 0, 0), 500), None);
        let next = go_on(&halted, &cancelled(1, 1), 500).unwrap();
        assert_eq!(next, Progress { stage: 1, since: 500, ..BEGIN }, "there is nothing to wait for");
    }

    /// A fleet in which every `bad`th gateway fails, told of in small pieces: invariants over whole histories.
    #[test]
    fn a_history_never_skips_a_stage_and_never_hands_out_after_it_stopped() {
        for bad in [0_u32, 1, 3, 7, 30, 1000] {
            for seed in 0..20_u32 {
                history(bad, seed);
            }
        }
    }

    fn history(bad: u32, seed: u32) {
        let rollout = Rollout { min_wait_s: 50, ..Rollout::default() };
        let sizes = rollout.sizes(400);
        let last = u32::try_from(sizes.len() - 1).unwrap();
        let mut progress = Progress { stage: 0, last, since: 0, halted: false, forgiven: 0 };
        let mut stage = StageCounts { total: u32::try_from(sizes[0]).unwrap(), ..StageCounts::default() };
        let (mut number, mut now, mut random) = (0_u32, 0_u64, seed.wrapping_mul(2_654_435_761).max(1));
        loop {
            now += 10;
            match step(&rollout, &progress, &stage, now) {
                Action::Release => {
                    assert_eq!(stage.ended, stage.total, "a stage begins when the one before it has ended");
                    assert!(now >= progress.since + 50, "and after the shortest wait");
                    assert!(stage.failed * 10 <= stage.total.max(stage.ended), "and when few enough failed");
                    progress = progress.released(now);
                    let total = u32::try_from(sizes[progress.stage as usize]).unwrap();
                    stage = StageCounts { total, ..StageCounts::default() };
                }
                Action::Halt(_) => {
                    let judged = stage.ended.max(stage.total.min(JUDGED_FROM));
                    assert!(stage.failed * 10 > judged, "it stops only when too many failed");
                    return;
                }
                Action::Wait => {}
            }
            if progress.stage == last && stage.ended == stage.total {
                return;
            }
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            for _ in 0..(random % 7).min(stage.total - stage.ended) {
                number += 1;
                stage.ended += 1;
                let failed = bad > 0 && number % bad == 0;
                stage.failed += u32::from(failed);
                stage.succeeded += u32::from(!failed);
            }
            assert!(now < 1_000_000, "every roll-out ends");
        }
    }
}

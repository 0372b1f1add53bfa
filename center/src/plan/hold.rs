//! Why a command is not handed out yet.

use keros_protocol::UnixSeconds;

use super::Window;

/// What an update lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Gate {
    /// Nothing before this.
    pub(crate) not_before: Option<UnixSeconds>,
    /// Nothing outside of this.
    pub(crate) window: Option<Window>,
    /// Up to which stage commands are handed out, from 0.
    pub(crate) stage: u32,
    /// The roll-out was stopped.
    pub(crate) halted: bool,
}

/// Why a command is not handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The roll-out was stopped: an operator lets it go on, or cancels it.
    Halted,
    /// It is too early.
    NotBefore(UnixSeconds),
    /// Its stage has not begun.
    Stage(u32),
    /// The window is closed until then.
    Window(UnixSeconds),
}

/// What holds back a command of the given stage; `None`: it may be handed out.
pub(crate) fn hold(gate: &Gate, stage: u32, now: UnixSeconds) -> Option<Hold> {
    if gate.halted {
        return Some(Hold::Halted);
    }
    if let Some(at) = gate.not_before.filter(|at| *at > now) {
        return Some(Hold::NotBefore(at));
    }
    if stage > gate.stage {
        return Some(Hold::Stage(stage));
    }
    let closed = gate.window.filter(|window| window.open_until(now).is_none());
    closed.map(|window| Hold::Window(window.next_opening(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_goes_out_when_nothing_holds_it() {
        // 1970 began at midnight.
        let window: Window = "01:00-02:00".parse().unwrap();
        let open = Gate { stage: 1, ..Gate::default() };
        for (gate, stage, now, expected) in [
            (Gate::default(), 0, 0, None),
            (Gate::default(), 1, 0, Some(Hold::Stage(1))),
            (open, 1, 0, None),
            (open, 2, 0, Some(Hold::Stage(2))),
            (Gate { halted: true, ..open }, 0, 0, Some(Hold::Halted)),
            (Gate { not_before: Some(50), ..open }, 0, 49, Some(Hold::NotBefore(50))),
            (Gate { not_before: Some(50), ..open }, 0, 50, None),
            (Gate { window: Some(window), ..open }, 0, 3599, Some(Hold::Window(3600))),
            (Gate { window: Some(window), ..open }, 0, 3600, None),
            (Gate { window: Some(window), ..open }, 0, 7200, Some(Hold::Window(3600 + 86_400))),
            (Gate { window: Some(window), ..open }, 2, 3600, Some(Hold::Stage(2))),
        ] {
            assert_eq!(hold(&gate, stage, now), expected, "{gate:?} {stage} {now}");
        }
    }
}

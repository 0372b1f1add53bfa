//! Processor, memory and uptime, from the texts of `/proc/stat`, `/proc/meminfo` and `/proc/uptime` (proc(5)).

use super::percent;

/// Ticks since boot, of all cores together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CpuTimes {
    busy: u64,
    total: u64,
}

impl CpuTimes {
    /// Reads the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. What follows is
    /// already counted in user and nice.
    pub(super) fn parse(stat: &str) -> Option<Self> {
        let numbers = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> =
            numbers.split_ascii_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        let total = ticks.iter().fold(0_u64, |sum, tick| sum.saturating_add(*tick));
        let idle = ticks.get(3)?.saturating_add(ticks.get(4).copied().unwrap_or(0));
        Some(Self { busy: total.saturating_sub(idle), total })
    }

    /// How busy it was between then and now. Where counters went backwards (iowait may), at least nothing absurd.
    pub(super) fn busy_percent_since(self, then: Self) -> Option<f32> {
        percent(self.busy.saturating_sub(then.busy), self.total.saturating_sub(then.total))
    }
}

/// Memory in use: total less what a new program could have without swapping.
pub(super) fn memory_percent(meminfo: &str) -> Option<f32> {
    let kib = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let total = kib("MemTotal")?;
    // Kernels before 3.14 have no MemAvailable.
    let available =
        kib("MemAvailable").or_else(|| Some(kib("MemFree")? + kib("Buffers")? + kib("Cached")?))?;
    percent(total.saturating_sub(available), total)
}

/// Whole seconds since boot.
pub(super) fn uptime_s(uptime: &str) -> Option<u64> {
    uptime.split(['.', ' ']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_time_is_not_counted_twice() {
        let times = CpuTimes::parse("cpu  10 0 0 80 10 0 0 0 10 0\n").unwrap();
        assert_eq!(times, CpuTimes { busy: 10, total: 100 });
    }

    #[test]
    fn counters_that_stand_or_go_back_give_no_nonsense() {
        let times = CpuTimes { busy: 10, total: 100 };
        assert_eq!(times.busy_percent_since(times), None);
        assert_eq!(times.busy_percent_since(CpuTimes { busy: 20, total: 90 }), Some(0.0));
    }

    #[test]
    fn old_kernels_state_no_available_memory() {
        let text = "MemTotal:  1000 kB\nMemFree:  100 kB\nBuffers:  100 kB\nCached:  300 kB\n";
        assert_eq!(memory_percent(text), Some(50.0));
    }

    #[test]
    fn damaged_texts_give_nothing() {
        for text in ["", "cpu", "cpu  x", "cpu  1 2 3", "intr 1 2 3 4 5"] {
            assert_eq!(CpuTimes::parse(text), None, "{text:?}");
        }
        assert_eq!(memory_percent("MemTotal: 1000 kB\n"), None);
        assert_eq!(memory_percent("MemTotal: 0 kB\nMemAvailable: 0 kB\n"), None);
        assert_eq!(uptime_s("x"), None);
    }
}

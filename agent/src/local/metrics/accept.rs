//! Which form the client wants (RFC 9110, section 12.5.1). Where none fits it gets OpenMetrics: a person with curl is better
//! served by text than by an error.

/// A form of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::local) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// What Prometheus had before it.
    Prometheus,
}

const OPEN_METRICS: [&str; 2] = ["application/openmetrics-text", "application/*"];
const PROMETHEUS: [&str; 2] = ["text/plain", "text/*"];

impl Format {
    /// What an `Accept` asks for.
    pub(in crate::local) fn of(accept: Option<&str>) -> Self {
        let Some(accept) = accept else { return Self::OpenMetrics };
        let quality = |names| quality(accept, names);
        if quality(PROMETHEUS) > quality(OPEN_METRICS) { Self::Prometheus } else { Self::OpenMetrics }
    }

    /// `Content-Type` of the answer.
    pub(in crate::local) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// In thousandths; the most specific range that names the type counts.
fn quality(accept: &str, [exact, group]: [&str; 2]) -> u32 {
    let of = |name: &str| {
        let named = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next().is_some_and(|found| found.eq_ignore_ascii_case(name));
            named.then(|| parts.find_map(weight).unwrap_or(1000))
        });
        named.max()
    };
    of(exact).or_else(|| of(group)).or_else(|| of("*/*")).unwrap_or(0)
}

fn weight(parameter: &str) -> Option<u32> {
    let (name, value) = parameter.split_once('=')?;
    let value: f32 = name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().ok())??;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1000")]
    let thousandths = (value.clamp(0.0, 1.0) * 1000.0) as u32;
    Some(thousandths)
}

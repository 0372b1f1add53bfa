//! The paths of both sockets. `docs/local-api.openapi.yaml` describes the same, which a test holds.

/// A path, and what may be done with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route<Page: 'static> {
    pub(super) page: Page,
    /// With at most one parameter, in braces.
    pub(super) path: &'static str,
    /// The methods, as in the header `Allow`.
    pub(super) allow: &'static str,
}

/// Of `status.sock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Metrics,
    Status,
    Jobs,
    Job,
    Config,
    Telemetry,
}

/// Of `control.sock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ordered {
    Blob,
    Command,
    Check,
    Cancel,
}

pub(super) const STATUS: &[Route<Seen>] = &[
    Route { page: Seen::Metrics, path: "/metrics", allow: "GET" },
    Route { page: Seen::Status, path: "/v1/status", allow: "GET" },
    Route { page: Seen::Jobs, path: "/v1/jobs", allow: "GET" },
    Route { page: Seen::Job, path: "/v1/jobs/{id}", allow: "GET" },
    Route { page: Seen::Config, path: "/v1/config", allow: "GET" },
    Route { page: Seen::Telemetry, path: "/v1/telemetry", allow: "POST" },
];

pub(super) const CONTROL: &[Route<Ordered>] = &[
    Route { page: Ordered::Blob, path: "/v1/blobs/{digest}", allow: "HEAD, PUT" },
    Route { page: Ordered::Command, path: "/v1/commands", allow: "POST" },
    Route { page: Ordered::Check, path: "/v1/commands/check", allow: "POST" },
    Route { page: Ordered::Cancel, path: "/v1/jobs/{id}/cancel", allow: "POST" },
];

/// The route of a path, and its parameter.
pub(super) fn find<'p, Page: Copy>(
    routes: &'static [Route<Page>],
    path: &'p str,
) -> Option<(Route<Page>, &'p str)> {
    routes.iter().find_map(|route| Some((*route, parameter(route.path, path)?)))
}

/// Why there is no such path, in words.
pub(super) fn listed<Page>(routes: &[Route<Page>]) -> String {
    let paths: Vec<_> = routes.iter().map(|route| route.path).collect();
    format!("the paths here are {}", paths.join(", "))
}

/// Paths are compared as they came: nothing is decoded, and no folder is left by `..`.
fn parameter<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let Some((before, rest)) = template.split_once('{') else {
        return (template == path).then_some("");
    };
    let (_, after) = rest.split_once('}')?;
    let found = path.strip_prefix(before)?.strip_suffix(after)?;
    (!found.is_empty() && !found.contains('/')).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_as_it_came() {
        let page = |path| find(STATUS, path).map(|(route, parameter)| (route.page, parameter));
        assert_eq!(page("/v1/jobs"), Some((Seen::Jobs, "")));
        assert_eq!(page("/v1/jobs/7"), Some((Seen::Job, "7")));
        assert_eq!(page("/v1/jobs/%2e%2e"), Some((Seen::Job, "%2e%2e")));
        for none in
            ["", "/", "/v1/jobs/", "/v1/jobs/../config", "/v1/jobs/7/", "/v1/Jobs", "//v1/jobs", "/v1/jobs?x"]
        {
            assert_eq!(page(none), None, "{none}");
        }
        assert_eq!(parameter("/a/{x}/b", "/a/1/b"), Some("1"));
        assert_eq!((parameter("/a/{x}/b", "/a/b"), parameter("/a/{x}/b", "/a//b")), (None, None));
    }
}

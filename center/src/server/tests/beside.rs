//! Centers on one PostgreSQL: which may serve beside each other.

use super::*;
use crate::store::testing;

/// A center on this database, with its own data folder and the Magic Links of all.
fn on(folder: &Path, all: &Path, url: &str, broker: BrokerChoice) -> ServeSettings {
    std::fs::create_dir_all(folder).unwrap();
    let mut settings = settings(folder, broker);
    settings.database_url = Some(url.to_owned());
    settings.registry.folder = Some(all.join("links"));
    settings
}

/// Why a center does not start.
async fn refused(settings: ServeSettings) -> String {
    let (_stop, stopped) = watch::channel(false);
    let (ready, _is_ready) = oneshot::channel();
    let ended = tokio::time::timeout(LIMIT, serve(settings, ready, stopped)).await;
    format!("{:#}", ended.expect("it serves").unwrap_err())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_of_ones_own_and_another_center_do_not_go_together_and_one_that_has_gone_is_not_in_the_way()
{
    let Some(server) = testing::server() else { return };
    let all = tempfile::tempdir().unwrap();
    let (url, folder) = (server.url("keros"), |name: &str| all.path().join(name));
    let own = |name: &str| {
        std::fs::create_dir_all(folder(name)).unwrap();
        on(&folder(name), all.path(), &url, embedded(&folder(name), EUI).0)
    };
    let shared = |name: &str| on(&folder(name), all.path(), &url, external(1));

    let first = Running::start_with(&folder("a"), own("a")).await;
    for settings in [own("b"), shared("c")] {
        let said = refused(settings).await;
        assert!(said.contains("--external-broker") && said.contains("keros-center-"), "{said}");
    }
    assert_eq!(first.ask("GET", "/health", Value::Null).await.0, 200, "the one that served goes on");
    first.stop().await;
    // It is looked for a sign of life, and there is none.
    let first = Running::start_with(&folder("b"), shared("b")).await;
    let second = Running::start_with(&folder("c"), shared("c")).await;
    let said = refused(own("a")).await;
    assert!(said.contains("this one would have a broker of its own"), "{said}");
    for center in [first, second] {
        center.stop().await;
    }
}

//! A gateway that nobody has told its center yet, as after the installation of the package: it waits for that, and does nothing
//! else. Ending instead would have the service manager start the agent again and again, and fill the log.

use std::path::Path;
use std::time::Duration;

use crate::config::{self, Loaded};
use keros_service::Notify;

/// How often the configuration is looked at meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Gives the configuration as soon as it names a center, or has a mistake; that may be at once.
pub(crate) fn wait(file: Option<&Path>) -> Loaded {
    let mut notify = Notify::new();
    let interval = notify.interval().unwrap_or(LOOK_INTERVAL).min(LOOK_INTERVAL);
    let mut is_told = false;
    loop {
        let loaded = config::load(file);
        if !loaded.lacks_only_the_center() {
            return loaded;
        }
        if !is_told {
            tracing::warn!(
                "no center is configured: `keros-agent enroll` does that, or `broker.host` in \
                 /etc/keros-agent/config.yaml; waiting for it"
            );
            notify.ready();
            notify.status("waits for its configuration: keros-agent enroll".to_owned());
            is_told = true;
        }
        notify.alive();
        std::thread::sleep(interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written into the configuration, and whether the agent waits.
    fn waits(text: Option<&str>) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        config::load(Some(&file)).lacks_only_the_center()
    }

    #[test]
    fn only_a_configuration_that_names_no_center_is_waited_for() {
        assert!(waits(Some(config::DEFAULT_TEXT)), "as the package installs it");
        assert!(waits(Some("")));
        assert!(waits(Some("broker: { prot: 1883 }\n")), "an unknown option is a warning");
        assert!(!waits(Some("broker: { host: center }\n")));
        assert!(!waits(Some("broker: { host: 'mqtt://center' }\n")), "a mistake is told, and the agent ends");
        assert!(!waits(Some("broker: { host: '' }\n")));
        assert!(!waits(Some("broker: { port: 99999 }\n")));
        assert!(!waits(Some("broker: [\n")));
        assert!(!waits(None), "a file that was named and is not there");
    }
}

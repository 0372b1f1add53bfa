//! What the center says to this gateway, believed only when it is signed.

use std::path::{Path, PathBuf};

use keros_platform::{Identity, IdentityError, IdentityOverride};
use keros_protocol::{Envelope, Statement};

use crate::trust;

/// Who this gateway is, by the executor's own reading.
///
/// # Errors
/// When it has no identity.
pub(crate) fn identity(platform_root: &Path) -> Result<Identity, IdentityError> {
    let environment_eui = std::env::var("EUI64").ok();
    Identity::read(platform_root, &IdentityOverride::default(), environment_eui.as_deref())
}

/// What it takes to believe a statement. Keys are read anew each time: a job may bring new ones.
#[derive(Debug, Clone)]
pub(crate) struct Verifier {
    /// Where the trusted keys are.
    pub(crate) trust_folder: PathBuf,
    /// Where the gateway's EUI is found.
    pub(crate) platform_root: PathBuf,
}

impl Verifier {
    /// The statement, when a trusted key has signed it for this gateway.
    ///
    /// # Errors
    /// Why it is not believed, in words.
    pub(crate) fn verify(&self, envelope: &Envelope) -> Result<Statement, String> {
        let keys = trust::statement_keys(&self.trust_folder)?;
        let payload = envelope
            .verify(Envelope::STATEMENT, &keys)
            .map_err(|error| format!("the statement is not believed: {error}"))?;
        let statement: Statement = serde_json::from_slice(&payload)
            .map_err(|error| format!("the statement cannot be read: {error}"))?;
        let identity = identity(&self.platform_root)
            .map_err(|error| format!("the executor does not know which gateway this is: {error}"))?;
        if statement.eui != identity.eui {
            return Err(format!("the statement is for {}, this gateway is {}", statement.eui, identity.eui));
        }
        Ok(statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keros_protocol::{Eui, SigningKey};

    fn gateway() -> (tempfile::TempDir, Verifier) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("root/run")).unwrap();
        std::fs::create_dir(path("trust")).unwrap();
        std::fs::write(path("root/run/boardinfo.env"), "export EUI64=\"7076FF0056070123\"\n").unwrap();
        for (name, seed) in [("statement", 2), ("command", 1)] {
            std::fs::write(path(&format!("trust/{name}-a.pem")), key(seed).public().to_pem()).unwrap();
        }
        let verifier = Verifier { trust_folder: path("trust"), platform_root: path("root") };
        (folder, verifier)
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_pem(&SigningKey::pem_from_seed(&[seed; 32])).unwrap()
    }

    fn signed(eui: u64, payload_type: &str, seed: u8) -> Envelope {
        let statement = Statement {
            eui: Eui::from_u64(eui),
            time_unix_s: 5,
            last_report: None,
            cancellations: Vec::new(),
            nonces: Vec::new(),
        };
        Envelope::sign(payload_type, &serde_json::to_vec(&statement).unwrap(), &key(seed))
    }

    #[test]
    fn only_a_statement_for_this_gateway_by_a_key_for_statements_is_believed() {
        let (_folder, verifier) = gateway();
        let ours = 0x7076_FF00_5607_0123;
        assert_eq!(verifier.verify(&signed(ours, Envelope::STATEMENT, 2)).unwrap().time_unix_s, 5);
        for (envelope, why) in [
            (signed(ours, Envelope::STATEMENT, 1), "unknown key"),
            (signed(ours, Envelope::COMMAND, 2), "payload type"),
            (signed(1, Envelope::STATEMENT, 2), "this gateway is"),
        ] {
            let error = verifier.verify(&envelope).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let mut altered = signed(ours, Envelope::STATEMENT, 2);
        altered.payload.replace_range(20..21, if &altered.payload[20..21] == "A" { "B" } else { "A" });
        assert!(verifier.verify(&altered).is_err());
    }

    #[test]
    fn keys_that_others_could_have_put_there_are_not_asked() {
        let (folder, verifier) = gateway();
        let path = folder.path().join("trust/statement-a.pem");
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let error = verifier.verify(&signed(0x7076_FF00_5607_0123, Envelope::STATEMENT, 2)).unwrap_err();
        assert!(error.contains("can be written by others"), "{error}");
    }
}

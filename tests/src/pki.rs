//! A small certificate authority, made by openssl.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{run_ok, system_program};

/// A folder with `ca.pem` and what it has signed.
#[derive(Debug)]
pub struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Makes an authority in this folder.
    ///
    /// # Errors
    /// When openssl fails.
    pub fn new(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let pki = Self { folder: folder.to_owned() };
        let (key, cert) = (pki.path("ca.key"), pki.path("ca.pem"));
        pki.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=test-ca \
             -addext basicConstraints=critical,CA:TRUE -keyout {} -out {}",
            key.display(),
            cert.display()
        ))?;
        Ok(pki)
    }

    /// A file of the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes `<name>.pem` and `<name>.key`, with this common name, good for localhost, 127.0.0.1 and the far end of a cable.
    ///
    /// # Errors
    /// When openssl fails.
    pub fn issue(&self, name: &str, common_name: &str) -> Result<(PathBuf, PathBuf)> {
        let (cert, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        let (request, extensions) = (self.path(&format!("{name}.csr")), self.path(&format!("{name}.ext")));
        let mut text = String::new();
        writeln!(text, "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:{}", crate::FAR)?;
        writeln!(text, "basicConstraints=critical,CA:FALSE")?;
        std::fs::write(&extensions, text)?;
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={common_name} -keyout {} -out {}",
            key.display(),
            request.display()
        ))?;
        self.openssl(&format!(
            "x509 -req -days 30 -in {} -CA {} -CAkey {} -CAcreateserial -extfile {} -out {}",
            request.display(),
            self.path("ca.pem").display(),
            self.path("ca.key").display(),
            extensions.display(),
            cert.display()
        ))?;
        Ok((cert, key))
    }

    fn openssl(&self, arguments: &str) -> Result<()> {
        run_ok(&system_program("openssl")?, arguments.split_whitespace()).map(drop)
    }
}

//! Trusted keys, and who may read and write the agent's files.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keros_platform::read_keyring;
use keros_protocol::KeyPurpose;
use nix::unistd::{Gid, Uid, User, getgrouplist};

use super::finding::Finding;
use super::patient::{Patient, SUDO, USER};
use crate::mqtt::chain;

pub(super) fn trust(patient: &Patient) -> Finding {
    let folder = &patient.settings.trust_folder;
    let mut counts = Vec::new();
    for purpose in KeyPurpose::ALL {
        let advice = format!(
            "copy the files {}-*.pem of the center's folder keys/trust into {}; enrolling does it: sudo keros-agent \
             enroll",
            purpose.as_str(),
            folder.display()
        );
        match read_keyring(folder, purpose) {
            Ok(ring) if ring.is_empty() => {
                let says = format!("no {} key of the center is trusted: no job can run", purpose.as_str());
                return Finding::failed("keys", says, advice);
            }
            Ok(ring) => counts.push(format!("{} {}", ring.ids().len(), purpose.as_str())),
            Err(error) => {
                let error = chain(&error);
                if error.contains("ermission denied") && !patient.is_root {
                    return Finding::not_checked("keys", SUDO);
                }
                return Finding::failed("keys", "the trusted keys cannot be read", advice).because(error);
            }
        }
    }
    Finding::ok("keys", format!("trusted keys: {}", counts.join(", ")))
}

/// The first file that others can read or change, or the agent cannot read.
pub(super) fn modes(patient: &Patient) -> Finding {
    let mut seen = 0;
    for (path, what) in secrets(patient) {
        match path.metadata() {
            Ok(metadata) => {
                if let Some(finding) = secret(patient, &path, what, &metadata) {
                    return finding;
                }
                seen += 1;
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Finding::not_checked("files", SUDO);
            }
            // A file that is not there is told of where it is used.
            Err(_) => {}
        }
    }
    for path in [&patient.settings.trust_folder, Path::new(keros_platform::paths::AGENT_CONFIG_FILE)] {
        if path.metadata().is_ok_and(|metadata| metadata.mode() & 0o002 != 0) {
            let says = format!("everybody may change {}", path.display());
            let advice = format!("sudo chmod o-w {}; see who changed what: ls -la {0}", path.display());
            return Finding::failed("files", says, advice);
        }
    }
    match seen {
        0 => Finding::ok("files", "no secret files are set"),
        1 => Finding::ok("files", "the one secret file is for the agent alone"),
        _ => Finding::ok("files", format!("the {seen} secret files are for the agent alone")),
    }
}

fn secrets(patient: &Patient) -> Vec<(PathBuf, &'static str)> {
    let broker = &patient.settings.broker;
    let key = broker.tls.as_ref().and_then(|tls| tls.client.as_ref()).map(|(_, key)| key.clone());
    let login = patient.settings.magic_links.registry_login.as_ref();
    let files = [
        (key, "the private key"),
        (broker.password_file.clone(), "the password file"),
        (login.map(|login| login.password_file.clone()), "the registry's password file"),
    ];
    files.into_iter().filter_map(|(path, what)| Some((path?, what))).collect()
}

fn secret(patient: &Patient, path: &Path, what: &str, metadata: &Metadata) -> Option<Finding> {
    let path = path.display();
    let put_right = format!("sudo chown root:{USER} {path}; sudo chmod 640 {path}");
    if metadata.mode() & 0o007 != 0 {
        let says =
            format!("everybody on this gateway can use {what} {path} (mode {:o})", metadata.mode() & 0o777);
        let advice = format!("{put_right}. Others may have read it: have a new one made at the center");
        return Some(Finding::failed("files", says, advice));
    }
    let user = User::from_uid(Uid::from_raw(patient.agent_uid()?)).ok().flatten()?;
    (!may_read(&user, metadata)).then(|| {
        let says = format!("the agent's user {} may not read {what} {path}", user.name);
        Finding::failed("files", says, put_right)
    })
}

fn may_read(user: &User, metadata: &Metadata) -> bool {
    let (uid, mode) = (user.uid.as_raw(), metadata.mode());
    if uid == 0 || metadata.uid() == uid {
        return uid == 0 || mode & 0o400 != 0;
    }
    let name = std::ffi::CString::new(user.name.clone()).unwrap_or_default();
    let groups = getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]);
    groups.contains(&Gid::from_raw(metadata.gid())) && mode & 0o040 != 0
}

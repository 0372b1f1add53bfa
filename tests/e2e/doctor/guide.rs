//! `docs/technician.md` has the words that the doctor prints: its table is made of `golden/`.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use keros_tests::project_root;

const BEGIN: &str = "<!-- made of tests/e2e/doctor/golden by tests/e2e/doctor/guide.rs: begin -->\n";
const END: &str = "<!-- end -->\n";

/// What a technician or the center sees, and the file with the doctor's words for it.
const SYMPTOMS: [(&str, &str); 20] = [
    ("the center calls the gateway silent; no cable, no coverage", "no_route"),
    ("the same; the other end of the cable is dead", "pulled_cable"),
    ("the same; names are not found", "no_dns"),
    ("the same; a firewall drops what the gateway sends", "firewall"),
    ("a new gateway does not appear at the center; it has a password", "unknown_eui"),
    ("a gateway that worked is refused; it has a password", "wrong_password"),
    ("a gateway is refused; it has a certificate of another authority", "client_certificate_refused"),
    ("a gateway is refused; it has no certificate", "client_certificate_wanted"),
    ("the broker's authority has changed", "unknown_authority"),
    ("TLS is set, and the port is the one without", "no_tls_there"),
    ("TLS is not set, and the port wants it", "tls_forgotten"),
    ("the clock begins at 1970", "wrong_time"),
    ("the gateway does not know who it is", "no_eui"),
    ("nothing can be stored", "full_disk"),
    ("nothing can be stored, the flash is damaged", "read_only_disk"),
    ("jobs stay `accepted`", "missing_executor"),
    ("the agent was stopped by hand", "stopped_service"),
    ("the agent does not stay up", "wrong_configuration"),
    ("scripts are refused as `not_keros_6`", "old_keros"),
    ("a technician is refused", "no_group"),
];

#[test]
fn the_table_has_what_the_doctor_prints() -> Result<()> {
    let path = project_root().join("docs/technician.md");
    let guide = std::fs::read_to_string(&path)?;
    let (before, rest) = guide.split_once(BEGIN).context("the guide has a mark where its table begins")?;
    let (_, after) = rest.split_once(END).context("and where it ends")?;
    let expected = format!("{before}{BEGIN}{}{END}{after}", table()?);
    if std::env::var_os("KEROS_BLESS").is_some() {
        std::fs::write(&path, &expected)?;
    }
    assert_eq!(std::fs::read_to_string(&path)?, expected, "KEROS_BLESS=1 writes it anew");
    Ok(())
}

#[test]
fn every_text_is_in_the_table() -> Result<()> {
    for entry in std::fs::read_dir(project_root().join("tests/e2e/doctor/golden"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let name = name.trim_end_matches(".txt");
        assert!(SYMPTOMS.iter().any(|(_, known)| *known == name), "{name} has no symptom");
    }
    Ok(())
}

fn table() -> Result<String> {
    let mut table =
        "| symptom | `keros-agent doctor` prints | what to do |\n| --- | --- | --- |\n".to_owned();
    for (symptom, name) in SYMPTOMS {
        let path = project_root().join(format!("tests/e2e/doctor/golden/{name}.txt"));
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut symptom = symptom;
        for line in text.lines() {
            let line = line.replace('|', "\\|").replace('<', "&lt;");
            match line.strip_prefix("do: ") {
                Some(advice) => writeln!(table, " | {advice} |")?,
                None if line.starts_with('(') => write!(table, " {line}")?,
                None => {
                    write!(table, "| {symptom} | {line}")?;
                    symptom = "";
                }
            }
        }
    }
    Ok(table)
}

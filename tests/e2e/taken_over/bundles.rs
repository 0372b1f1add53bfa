//! Bundles that the hostile side offers with a command that the center did sign: links, pipes, holes, files that change while they are read.

use anyhow::{Result, ensure};
use keros_protocol::executor::Request;
use keros_protocol::{Command, Job};
use keros_tests::Bundle;

use crate::signed::{COMMAND, EUI, line, signed, with_job};
use crate::site::Site;

const GENUINE: &str = "- name: x\n  groups: [all]\n  tasks:\n    - !shell { cmd: 'echo ran >> /var/link' }\n";
const OTHER: &str = "- name: x\n  groups: [all]\n  tasks:\n    - !shell { cmd: 'touch /var/owned-bund' }\n";
/// Where the agent keeps bundles; all of it is the hostile side's.
const FOLDER: &str = "/var/lib/keros-agent/planted";

/// What is done to a bundle in `$D`, whose playbook is the blob `$B`; and the folder that is offered.
const HARMS: [(&str, &str, &str); 13] = [
    ("link", "rm $B; ln -s /etc/shadow $B", FOLDER),
    ("link-to-itself", "mv $B $B.x; ln -s $B.x $B", FOLDER),
    ("hard-link", "rm $B; ln /etc/shadow $B || true", FOLDER),
    ("pipe", "rm $B; mkfifo $B", FOLDER),
    ("folder", "rm $B; mkdir $B", FOLDER),
    ("hole", "truncate -s 1T $B", FOLDER),
    ("longer", "echo more >> $B", FOLDER),
    ("gone", "rm $B", FOLDER),
    ("linked-blobs", "mv $D/blobs $D/x; ln -s x $D/blobs", FOLDER),
    ("linked-folder", "mv $D $D.x; ln -s $D.x $D", FOLDER),
    ("elsewhere", "true", "/etc"),
    ("upwards", "true", "/var/lib/keros-agent/planted/../planted"),
    ("relative", "true", "var/lib/keros-agent/planted"),
];

pub(crate) fn what_is_offered_as_a_bundle_is_only_bytes(site: &Site) -> Result<()> {
    let bundle =
        Bundle::write(&site.debian.path("/opt/bundle"), &[EUI], &[("site.yml", GENUINE.as_bytes())])?;
    let playbook = bundle.file("site.yml");
    let name = playbook.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let blob = format!("{FOLDER}/blobs/sha256/{name}");
    let job = Job::MagicLink { digest: bundle.digest, source: String::new(), token: None };
    let genuine = with_job(30, job);
    site.forget_refusals()?;
    let before = site.refusals()?.len();
    for (name, harm, offered) in HARMS {
        plant(site)?;
        shell(site, &format!("D={FOLDER}; B={blob}; {harm}"))?;
        let answers = site.ask(&[(name.to_owned(), offer(&genuine, offered))])?;
        let answer = &answers[name];
        ensure!(answer.contains("\"refused\""), "{name}: {answer}");
        ensure!(!answer.contains("root:"), "what is in the file of another is not told: {name}: {answer}");
    }
    let told = &site.refusals()?[before..];
    ensure!(told.len() == HARMS.len(), "one line for each: {told:#?}");
    let copies = site.root(&["sh", "-c", "ls -A /var/lib/keros-executor/bundles 2>/dev/null; true"])?;
    ensure!(copies.is_empty(), "nothing is left of them: {copies}");

    // Two files that take each other's place all the time: either the genuine bytes are copied, or nothing runs.
    plant(site)?;
    ensure!(OTHER.len() == GENUINE.len(), "as long as the genuine one, so that only its bytes tell");
    std::fs::write(site.debian.path("/opt/other"), OTHER)?;
    std::fs::write(site.debian.path("/opt/swapping"), "")?;
    shell(site, &format!("cat /opt/other > {blob}.other"))?;
    site.hostile_beside("swap", &["swap", &blob, &format!("{blob}.other"), "/opt/swapping"])?;
    site.forget_refusals()?;
    let mut refused = 0;
    for round in 0..12 {
        let answers = site.ask(&[(format!("swap-{round}"), offer(&genuine, FOLDER))])?;
        let answer = answers.into_values().next().unwrap_or_default();
        if answer.contains("\"succeeded\"") {
            break;
        }
        ensure!(answer.contains("\"refused\""), "{answer}");
        refused += 1;
    }
    std::fs::remove_file(site.debian.path("/opt/swapping"))?;
    println!("a bundle whose files were swapped was refused {refused} times");
    site.nothing_owned()?;

    plant(site)?;
    let answers = site.ask(&[("whole".to_owned(), offer(&genuine, FOLDER))])?;
    ensure!(answers["whole"].contains("\"succeeded\""), "{answers:?}");
    ensure!(site.root(&["cat", "/var/link"])? == "ran\n", "it ran once");
    site.nothing_owned()
}

fn offer(command: &Command, folder: &str) -> Vec<u8> {
    let bundle = Some(folder.into());
    line(&Request::Run { envelope: signed(command, COMMAND), statement: None, bundle })
}

/// A whole bundle, in the hostile side's folder.
fn plant(site: &Site) -> Result<()> {
    shell(site, &format!("rm -rf {FOLDER} {FOLDER}.x; cp -r /opt/bundle {FOLDER}"))
}

fn shell(site: &Site, script: &str) -> Result<()> {
    let (done, told) = site.as_user("keros-agent", &["sh", "-ec", script])?;
    ensure!(done, "{script}: {told}");
    Ok(())
}

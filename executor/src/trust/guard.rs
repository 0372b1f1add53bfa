//! Whether a job may stay as far as the trusted keys go: pure. A gateway that believes nobody any more is lost, and so is one that believes
//! only a key that the center does not have. So the key that signed the job must still be trusted after it: who removes an old key
//! orders that with the new one.

use keros_protocol::{Envelope, KeyPurpose, KeyRing};

use nix::unistd::geteuid;

use super::kept::Kept;

/// Why the job may not stay; `None`: it may. `before` is absent when nothing was kept from before the job; `after` when the folder
/// cannot be read any more; the command when it is not readable any more.
pub(crate) fn lost(
    command: Option<&Envelope>,
    before: Option<&Kept>,
    after: Option<&Kept>,
) -> Option<String> {
    lost_for(command, before, after, geteuid().as_raw())
}

fn lost_for(
    command: Option<&Envelope>,
    before: Option<&Kept>,
    after: Option<&Kept>,
    this_user: u32,
) -> Option<String> {
    let ring = |kept: Option<&Kept>, purpose| {
        kept.map_or_else(KeyRing::default, |kept| super::usable(kept, purpose, this_user))
    };
    let is_believed = |commands: &KeyRing| match command {
        Some(envelope) => envelope.verify(Envelope::COMMAND, commands).is_ok(),
        None => !commands.is_empty(),
    };
    // What was so before the job is not the job's fault, and undoing it mends nothing.
    let (had_command, had_statement) = match before {
        Some(_) => {
            (is_believed(&ring(before, KeyPurpose::Command)), !ring(before, KeyPurpose::Statement).is_empty())
        }
        None => (false, false),
    };
    if had_command && !is_believed(&ring(after, KeyPurpose::Command)) {
        let signers: Vec<&str> = command
            .map_or(&[][..], |envelope| &envelope.signatures)
            .iter()
            .map(|signature| signature.keyid.0.as_str())
            .collect();
        return Some(format!(
            "after it the key that signed the job ({}) was not trusted any more: remove a key by a job that the new key has signed",
            signers.join(", ")
        ));
    }
    if had_statement && ring(after, KeyPurpose::Statement).is_empty() {
        return Some("after it no key was trusted that may speak for the center".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::kept::{Access, KeyFile};
    use super::*;
    use keros_protocol::SigningKey;

    const OPEN: Access = Access { mode: 0o644, user: 0, group: 0 };

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_pem(&SigningKey::pem_from_seed(&[seed; 32])).unwrap()
    }

    fn file(name: &str, seed: u8) -> KeyFile {
        KeyFile { name: format!("{name}.pem"), access: OPEN, text: Some(key(seed).public().to_pem()) }
    }

    fn kept(files: &[KeyFile]) -> Kept {
        Kept { folder: Access { mode: 0o755, user: 0, group: 0 }, files: files.to_vec() }
    }

    fn with(file: KeyFile, change: impl FnOnce(&mut KeyFile)) -> KeyFile {
        let mut file = file;
        change(&mut file);
        file
    }

    #[test]
    fn the_signer_and_one_voice_of_the_center_must_stay() {
        let (old, new, voice) = (file("command-old", 1), file("command-new", 2), file("statement-a", 3));
        let other_voice = file("statement-b", 4);
        let before = kept(&[old.clone(), voice.clone()]);
        let envelope = Envelope::sign(Envelope::COMMAND, b"{}", &key(1));
        let table: [(&str, Vec<KeyFile>, Option<&str>); 14] = [
            ("nothing changes", vec![old.clone(), voice.clone()], None),
            ("a key is added", vec![old.clone(), new.clone(), voice.clone()], None),
            ("a voice is switched", vec![old.clone(), other_voice], None),
            ("the same key under another name", vec![file("command-z", 1), voice.clone()], None),
            ("the signer is removed", vec![voice.clone()], Some("signed the job")),
            ("the signer is switched", vec![new, voice.clone()], Some("signed the job")),
            (
                "the signer is only a voice now",
                vec![file("statement-x", 1), voice.clone()],
                Some("signed the job"),
            ),
            ("no voice", vec![old.clone()], Some("speak for the center")),
            ("nothing at all", vec![], Some("signed the job")),
            (
                "malformed",
                vec![with(old.clone(), |file| file.text = Some("x".to_owned())), voice.clone()],
                Some("signed the job"),
            ),
            (
                "unreadable",
                vec![with(old.clone(), |file| file.text = None), voice.clone()],
                Some("signed the job"),
            ),
            (
                "the agent cannot read it",
                vec![old.clone(), with(voice.clone(), |file| file.access.mode = 0o600)],
                Some("speak for the center"),
            ),
            (
                "others can write it",
                vec![with(old.clone(), |file| file.access.mode = 0o666), voice.clone()],
                Some("signed the job"),
            ),
            (
                "it belongs to another",
                vec![old, with(voice, |file| file.access.user = 1000)],
                Some("speak for the center"),
            ),
        ];
        for (case, after, why) in table {
            let found = lost_for(Some(&envelope), Some(&before), Some(&kept(&after)), 0);
            assert_eq!(found.is_some(), why.is_some(), "{case}: {found:?}");
            assert!(found.unwrap_or_default().contains(why.unwrap_or_default()), "{case}");
        }
        assert!(lost_for(Some(&envelope), Some(&before), None, 0).is_some(), "the folder is gone");
        let mut open = before.clone();
        open.folder.mode = 0o777;
        assert!(
            lost_for(Some(&envelope), Some(&before), Some(&open), 0).is_some(),
            "others can write the folder"
        );
    }

    #[test]
    fn what_was_so_before_is_not_the_jobs_fault() {
        let (command, voice) = (file("command-a", 1), file("statement-a", 3));
        let envelope = Envelope::sign(Envelope::COMMAND, b"{}", &key(1));
        let without_voice = kept(std::slice::from_ref(&command));
        assert_eq!(lost_for(Some(&envelope), Some(&without_voice), Some(&without_voice), 0), None);
        assert_eq!(lost_for(Some(&envelope), None, Some(&kept(&[])), 0), None);
        // A command that is damaged by now: any key that can order the next one will do.
        let both = kept(&[command, voice.clone()]);
        assert_eq!(lost_for(None, Some(&both), Some(&both), 0), None);
        assert!(lost_for(None, Some(&both), Some(&kept(&[voice])), 0).is_some());
    }
}

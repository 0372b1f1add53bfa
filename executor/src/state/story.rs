//! Reads a journal whole, to know what became of a job whose process is gone.

use std::io;
use std::path::Path;

use keros_platform::{Disk, Open};
use keros_protocol::executor::{Event, interruption_of};
use keros_protocol::{Interruption, Outcome};

use super::journal::without_details;
use super::lines::{self, Splitter};
use crate::life::Life;

/// What a journal says.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Where the job stands.
    pub(crate) life: Life,
    /// The end, when it was recorded.
    pub(crate) ended: Option<Outcome>,
    /// What was under way, when it was not.
    pub(crate) interruption: Interruption,
    /// The job's beginning is there.
    pub(crate) begun: bool,
    /// Lines that are not as they were written, and that no power cut explains.
    pub(crate) damaged_lines: u32,
    /// The last line is complete.
    pub(crate) terminated: bool,
    /// It is not, and it says nothing: its writer was lost in the middle of it.
    pub(crate) torn: bool,
}

impl Story {
    /// Reads it. Memory grows with the number of tasks, not with what they printed. An absent file is an empty story.
    pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let mut file = match disk.open(path, Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { terminated: true, ..Self::default() });
            }
            result => result?,
        };
        let mut story = Self::default();
        let mut tasks = Vec::new();
        let mut splitter = Splitter::default();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            splitter.push(&chunk[..count], |line| story.take(line, &mut tasks));
        }
        story.terminated = splitter.pending().is_empty();
        match decode_tail(splitter.pending()) {
            Some(json) => story.take_event(&json, &mut tasks),
            None => story.torn = !story.terminated,
        }
        story.interruption = interruption_of(&tasks);
        Ok(story)
    }

    fn take(&mut self, line: &[u8], tasks: &mut Vec<Event>) {
        match lines::decode(line) {
            Some(json) => self.take_event(&json, tasks),
            // An empty line is what settling leaves after one whose line feed was lost.
            None if line.is_empty() || lines::looks_torn(line) => {}
            None => {
                self.damaged_lines += 1;
                self.life.take_damage();
            }
        }
    }

    /// An event that this version does not know is no damage: a newer version wrote it.
    fn take_event(&mut self, json: &str, tasks: &mut Vec<Event>) {
        let Ok(event) = serde_json::from_str(json) else { return };
        self.life.take(&event);
        match event {
            Event::Started { .. } => self.begun = true,
            Event::Ended { outcome } => self.ended = self.ended.take().or(Some(outcome)),
            Event::TaskStarted { .. } | Event::TaskEnded { .. } | Event::Durable { .. } => {
                tasks.push(without_details(&event))
            }
            _ => {}
        }
    }
}

/// The last line without a line feed: whole when only that is missing, or when the line feed was turned into something else.
fn decode_tail(tail: &[u8]) -> Option<String> {
    lines::decode(tail).or_else(|| lines::decode(tail.split_last()?.1))
}

#[cfg(test)]
mod tests {
    use super::super::journal::Journal;
    use super::*;
    use keros_platform::RealDisk;
    use keros_protocol::{Summary, TaskRef};

    fn task_started(number: u32) -> Event {
        let task = TaskRef { number, count: 2, name: format!("task {number}") };
        Event::TaskStarted {
            task,
            module: "shell".to_owned(),
            role: None,
            handler: false,
            file: None,
            line: number,
            grouped: false,
        }
    }

    fn ended() -> Event {
        Event::Ended {
            outcome: Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None },
        }
    }

    fn journal(events: &[Event]) -> Vec<u8> {
        events.iter().flat_map(|event| lines::encode(&serde_json::to_string(event).unwrap())).collect()
    }

    fn read(bytes: &[u8]) -> Story {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(&path, bytes).unwrap();
        Story::read(&keros_platform::RealDisk, &path).unwrap()
    }

    fn number(story: &Story) -> Option<u32> {
        story.interruption.task.as_ref().map(|task| task.number)
    }

    #[test]
    fn a_journal_cut_anywhere_is_read_as_far_as_it_goes() {
        let bytes = journal(&[task_started(1), task_started(2), ended()]);
        let ends: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i] == b'\n').collect();
        for cut in 0..=bytes.len() {
            let story = read(&bytes[..cut]);
            assert_eq!(story.damaged_lines, 0, "cut at {cut}");
            assert_eq!(story.ended.is_some(), cut >= ends[2], "cut at {cut}");
            let whole = u32::from(cut >= ends[0]) + u32::from(cut >= ends[1]);
            assert_eq!(number(&story).unwrap_or(0), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_process_lost_while_it_took_a_torn_journal_over_leaves_no_damage() {
        let bytes = journal(&[task_started(1), task_started(2)]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let story = Story::read(&RealDisk, &path).unwrap();
            Journal::append_to(&RealDisk, &path, &story).unwrap().append_synced(&ended()).unwrap();
            // The line that was to follow is torn, too.
            let taken_over = std::fs::read(&path).unwrap();
            let torn_again = taken_over.iter().rposition(|byte| *byte == b'{').unwrap();
            std::fs::write(&path, &taken_over[..torn_again]).unwrap();
            let again = Story::read(&RealDisk, &path).unwrap();
            assert_eq!((again.damaged_lines, number(&again)), (0, number(&story)), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_never_makes_another_outcome() {
        let bytes = journal(&[task_started(1), ended()]);
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let story = read(&altered);
            let outcome = story.ended.map(|outcome| Event::Ended { outcome });
            assert!(outcome.is_none() || outcome == Some(ended()), "bit {bit}");
            assert!(outcome.is_some() || story.damaged_lines > 0 || altered.contains(&0), "bit {bit}");
        }
    }

    #[test]
    fn zeros_after_a_power_cut_are_no_damage() {
        let mut bytes = journal(&[task_started(1)]);
        bytes.extend([0; 100]);
        let story = read(&bytes);
        assert_eq!((number(&story), story.damaged_lines, story.terminated), (Some(1), 0, false));
    }

    #[test]
    fn events_of_a_newer_version_are_no_damage() {
        let mut bytes = lines::encode(r#"{"event":"part_ended","boot":2}"#);
        bytes.extend(journal(&[ended()]));
        let story = read(&bytes);
        assert_eq!((story.damaged_lines, story.ended.is_some()), (0, true));
    }
}

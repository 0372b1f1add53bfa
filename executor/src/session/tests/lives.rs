//! Lives of jobs beyond their tasks, with processes that are lost in the middle and journals that are damaged.

use std::time::Duration;

use super::*;
use crate::follow::take_locks;
use crate::state::asked;

/// Where the bench's gateway says which boot it is.
fn boot(bench: &Bench, boot_id: &str) {
    let path = bench.folder.path().join("root/proc/sys/kernel/random/boot_id");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, boot_id).unwrap();
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.settings.reboot_command = Some("true".to_owned());
    boot(&bench, "first");
    bench
}

fn provisional(number: u16, window_s: u32) -> Command {
    let mut command = command(number, 0);
    command.options.confirm_window_s = window_s;
    command
}

fn changing() -> FakeEngine {
    FakeEngine { has_changed: true, ..FakeEngine::default() }
}

/// Runs a job that asks for a reboot, boots, goes on, is not confirmed, and is undone but for one thing: all that there is.
fn whole_life(bench: &Bench) -> (FakeEngine, Command, Vec<Event>) {
    let engine = FakeEngine {
        reboots_behind: Some(1),
        remains: vec!["task 2".to_owned()],
        has_changed: true,
        ..FakeEngine::default()
    };
    let command = provisional(1, 1);
    let mut settings = bench.settings.clone();
    // The process is lost while it waits for the reboot.
    settings.bounds.reboot_patience_s = 600;
    begin_only(bench, &settings, &engine, &command);
    boot(bench, "second");
    let events = bench.ask(&engine, &Request::Attach { command_id: command.command_id });
    (engine, command, events)
}

/// Begins a job and carries it to the first point at which it waits. Then its process is gone.
fn begin_only(bench: &Bench, settings: &Settings, engine: &FakeEngine, command: &Command) {
    let state = State::open_for(settings).unwrap();
    let admitted =
        admit(settings.platform_root(), &settings.trust_folder, engine, &bench.envelope(command), None, 0);
    let Ok(Answer::Run(_lock, mut drive)) =
        begin(&state, settings, engine, &bench.envelope(command), admitted.unwrap())
    else {
        panic!("it is not begun")
    };
    drive.go(false).unwrap();
}

fn count(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| wanted(event)).count()
}

#[test]
fn a_whole_life_is_told_in_its_order() {
    let bench = bench();
    // Reboots that never come: that is asked for again, and then given up.
    let (engine, _, events) = whole_life(&bench);
    let names: Vec<String> = events
        .iter()
        .map(|event| serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned())
        .collect();
    let expected = [
        "started",
        "task_started",
        "task_ended",
        "part_ended",
        "resumed",
        "task_started",
        "task_ended",
        "task_started",
        "task_ended",
        "confirming",
        "rolling_back",
        "undo_step",
        "undone",
        "rebooting",
        "rebooting",
        "rebooting",
        "ended",
    ];
    assert_eq!(names, expected);
    let Outcome::RolledBack { complete: false, remains, .. } = outcome(&events) else {
        panic!("{events:#?}")
    };
    assert!(remains[1].contains("asked for 3 times"), "{remains:?}");
    assert_eq!((engine.runs.load(Ordering::SeqCst), engine.undone.load(Ordering::SeqCst)), (2, 1));
}

/// Each line of a whole life as the last one that reached the disk, and each byte of it altered: one end, nothing is run that
/// may have run before, and nothing is both confirmed and undone.
#[test]
fn a_life_cut_off_anywhere_and_damaged_at_its_last_line_has_one_end_and_no_second_run() {
    let bench = bench();
    let (_, command, _) = whole_life(&bench);
    let id = command.command_id;
    let path = |name: &str| bench.state_file(&format!("jobs/{id}/{name}"));
    let whole = std::fs::read(path("journal.jsonl")).unwrap();
    let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
    let mut settings = bench.settings.clone();
    settings.bounds.reboot_patience_s = 0;
    let mut lives = 0;
    let mut begun_at = 0;
    for end in &ends {
        let line = begun_at..*end;
        begun_at = *end;
        let intact = std::iter::once(None);
        for altered in intact.chain(line.step_by(13).map(Some)) {
            let mut bytes = whole[..*end].to_vec();
            if let Some(at) = altered {
                bytes[at] ^= 1 << (at % 7);
            }
            std::fs::write(path("journal.jsonl"), &bytes).unwrap();
            let _ = std::fs::remove_file(path("outcome.json"));
            let engine = FakeEngine { has_changed: true, ..FakeEngine::default() };
            // A third boot, so that what waits for one goes on, and no window takes its time.
            boot(&bench, "third");
            let told = finish(&bench, &settings, &engine, id);
            outcome(&told);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let last_part = text.rfind("\"event\":\"part_ended\"");
            let may_resume = altered.is_none()
                && last_part.is_some_and(|at| !text[at..].contains("\"event\":\"task_started\""))
                && !text.contains("\"event\":\"confirming\"");
            let runs = engine.runs.load(Ordering::SeqCst);
            assert!(runs <= u32::from(may_resume), "{runs} runs at {end}, altered {altered:?}: {told:#?}");
            let confirmed = count(&told, |event| matches!(event, Event::Confirmed {}));
            let undone = count(&told, |event| matches!(event, Event::RollingBack { .. }));
            assert!(confirmed == 0 || undone == 0, "{told:#?}");
            assert_eq!(bench.attach(id), told, "it stays so");
            lives += 1;
        }
    }
    assert!(lives > 150, "only {lives}");
}

/// Carries a job to its end, through windows that end by boots instead of by time.
fn finish(bench: &Bench, settings: &Settings, engine: &FakeEngine, id: CommandId) -> Vec<Event> {
    let state = State::open_for(settings).unwrap();
    for boot_id in ["fourth", "fifth", "sixth", "seventh"] {
        let job = state.job(id).unwrap().unwrap();
        if job.has_outcome() {
            break;
        }
        // A process that another test begins has them as well until it becomes its own program.
        let take = |_| {
            let taken = take_locks(&state, &job).unwrap();
            state.host().sleep(Duration::from_millis(if taken.is_none() { 5 } else { 0 }));
            taken
        };
        let (_lock, locked) = (0..2000).find_map(take).unwrap();
        let mut drive = Drive::take_over(settings, engine, locked).unwrap();
        drive.go(false).unwrap();
        boot(bench, boot_id);
    }
    bench.attach(id)
}

#[test]
fn a_process_lost_while_it_undoes_is_followed_by_one_that_undoes_again() {
    let bench = bench();
    let losing = FakeEngine { has_changed: true, lost_while_undoing: true, ..FakeEngine::default() };
    let lost = catch_unwind(AssertUnwindSafe(|| bench.run(&losing, &provisional(1, 1))));
    assert!(lost.is_err());
    let engine = changing();
    let told = bench.ask(&engine, &Request::Attach { command_id: provisional(1, 1).command_id });
    assert!(matches!(outcome(&told), Outcome::RolledBack { complete: true, .. }), "{told:#?}");
    assert_eq!(count(&told, |event| matches!(event, Event::RollingBack { .. })), 2);
    assert_eq!(engine.undone.load(Ordering::SeqCst), 1);
    assert_eq!(engine.runs.load(Ordering::SeqCst), 0);
}

#[test]
fn undoing_that_always_takes_the_process_with_it_is_given_up_by_name() {
    let bench = bench();
    let losing = || FakeEngine { has_changed: true, lost_while_undoing: true, ..FakeEngine::default() };
    let id = provisional(1, 1).command_id;
    let _ = catch_unwind(AssertUnwindSafe(|| bench.run(&losing(), &provisional(1, 1))));
    for _ in 0..4 {
        let lost =
            catch_unwind(AssertUnwindSafe(|| bench.ask(&losing(), &Request::Attach { command_id: id })));
        assert!(lost.is_err());
    }
    let told = bench.ask(&losing(), &Request::Attach { command_id: id });
    let Outcome::RolledBack { complete: false, remains, .. } = outcome(&told) else { panic!("{told:#?}") };
    assert!(remains[0].contains("5 times"), "{remains:?}");
}

#[test]
fn a_journal_of_the_version_before_is_settled_as_before() {
    let bench = bench();
    let engine = FakeEngine { lost_at_step: Some(3), has_changed: true, ..FakeEngine::default() };
    let _ = catch_unwind(AssertUnwindSafe(|| bench.run(&engine, &command(1, 0))));
    let told = bench.attach(command(1, 0).command_id);
    assert!(matches!(outcome(&told), Outcome::Interrupted { .. }));
    assert_eq!(count(&told, |event| matches!(event, Event::Confirming { .. })), 0);
}

#[test]
fn events_of_a_newer_version_are_passed_on_and_do_not_hide_what_is_known() {
    let bench = bench();
    let command = provisional(1, 600);
    begin_only(&bench, &bench.settings, &changing(), &command);
    let journal = bench.state_file(&format!("jobs/{}/journal.jsonl", command.command_id));
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes.extend(crate::state::lines::encode(r#"{"event":"looked_at","by":"somebody"}"#));
    std::fs::write(&journal, bytes).unwrap();
    let Event::CancelAnswered { answer, .. } =
        &bench.ask(&changing(), &Request::Cancel { command_id: command.command_id, statement: None })[0]
    else {
        panic!()
    };
    assert_eq!(*answer, keros_protocol::executor::CancelAnswer::RollingBack);
    assert!(matches!(
        outcome(&bench.attach_raw(command.command_id)),
        Outcome::RolledBack { complete: true, .. }
    ));
}

#[test]
fn an_end_that_is_damaged_in_the_journal_is_found_beside_it_and_nothing_is_undone() {
    let bench = bench();
    let command = provisional(1, 0);
    let told = bench.run(&changing(), &command);
    let journal = bench.state_file(&format!("jobs/{}/journal.jsonl", command.command_id));
    let mut bytes = std::fs::read(&journal).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    let engine = changing();
    let again = bench.ask(&engine, &Request::Attach { command_id: command.command_id });
    assert_eq!(outcome(&again), outcome(&told));
    assert_eq!(engine.undone.load(Ordering::SeqCst), 0);
}

#[test]
fn a_signed_time_raises_the_floor_and_expiry_is_judged_by_it() {
    let bench = bench();
    let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[9; 32])).unwrap();
    std::fs::write(bench.folder.path().join("trust/statement-a.pem"), key.public().to_pem()).unwrap();
    let day_s = 86_400;
    let now = crate::clock::now_unix_s();
    let statement = |eui, time_unix_s, key: &SigningKey| {
        let statement = keros_protocol::Statement {
            eui: Eui::from_u64(eui),
            time_unix_s,
            last_report: None,
            cancellations: Vec::new(),
            nonces: Vec::new(),
        };
        Some(Envelope::sign(Envelope::STATEMENT, &serde_json::to_vec(&statement).unwrap(), key))
    };
    let run = |number, statement| {
        let envelope = bench.envelope(&command(number, 0));
        outcome(&bench.ask(&FakeEngine::default(), &Request::Run { envelope, statement, bundle: None }))
            .clone()
    };
    let gateway = 0x7076_FF00_5607_0123;
    // Neither another gateway's statement nor one by another key says anything.
    let other_key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[8; 32])).unwrap();
    for unbelieved in [statement(1, now + day_s, &key), statement(gateway, now + day_s, &other_key)] {
        assert!(matches!(run(1, unbelieved), Outcome::Succeeded { .. }));
    }
    // The gateway's clock is a day behind what the center signs, and the command is valid for an hour.
    let Outcome::Refused { reason, .. } = run(2, statement(gateway, now + day_s, &key)) else { panic!() };
    assert_eq!(reason, RefusalReason::Expired);
    // And it stays so without the statement.
    let Outcome::Refused { reason, detail } = run(2, None) else { panic!() };
    assert_eq!(reason, RefusalReason::Expired);
    assert!(detail.contains("the center has signed"), "{detail}");
    // A damaged floor is set aside, and never a reason not to serve.
    std::fs::write(bench.state_file("floor"), "nonsense").unwrap();
    assert!(matches!(run(2, None), Outcome::Succeeded { .. }));
}

/// Every byte of what is asked of a runner, and of where a job goes on, altered: it is as if it were not there.
#[test]
fn a_request_or_a_resumption_with_one_wrong_byte_is_none() {
    let bench = bench();
    let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[9; 32])).unwrap();
    std::fs::write(bench.folder.path().join("trust/statement-a.pem"), key.public().to_pem()).unwrap();
    let (_, command, _) = whole_life(&bench);
    let id = command.command_id;
    let state = State::open_for(&bench.settings).unwrap();
    let job = state.job(id).unwrap().unwrap();
    let statement = keros_protocol::Statement {
        eui: command.eui,
        time_unix_s: 5,
        last_report: None,
        cancellations: vec![keros_protocol::Cancellation { command_id: id }],
        nonces: vec!["n".to_owned()],
    };
    let envelope = Envelope::sign(Envelope::STATEMENT, &serde_json::to_vec(&statement).unwrap(), &key);
    asked::leave_cancellation(&job, crate::life::CancelledBy::Center, Some(envelope.clone())).unwrap();
    asked::leave_confirmation(&job, &envelope).unwrap();
    let look = || asked::Asked::of(job.clone(), bench.settings.verifier());
    let is_cancelled = || look().cancelled().is_some();
    let is_confirmed = || look().signed_nonces() == ["n"];
    let is_resumed = || crate::resume::find(&job).is_some();
    let checks: [(&str, &dyn Fn() -> bool); 4] = [
        ("cancel.json", &is_cancelled),
        ("confirm.json", &is_confirmed),
        ("resume.json", &is_resumed),
        ("command.json", &is_resumed),
    ];
    for (name, is_there) in checks {
        let path = job.file(name);
        let bytes = std::fs::read(&path).unwrap();
        assert!(is_there(), "{name}");
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << (at % 7);
            std::fs::write(&path, altered).unwrap();
            assert!(!is_there(), "{name}, byte {at}");
        }
        std::fs::write(&path, &bytes).unwrap();
    }
}

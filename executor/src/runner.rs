//! Runs a job that was begun. The runner writes the journal and nothing else; a follower tells the session's peer. So no peer,
//! slow, blocked or gone, has any effect on the job.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use keros_protocol::executor::Event;

use crate::engine::Plan;
use crate::events::EventSink;
use crate::exit::Failure;
use crate::follow::follow;
use crate::state::RunLock;
use crate::state::job::LockedJob;
use crate::state::journal::Journal;

/// How long the process stays for a peer that reads slowly, after the job's end. A peer that misses the end attaches again.
const FAREWELL: Duration = Duration::from_secs(10);

/// A job that counts as started and waits for its first task.
pub(crate) struct Begun {
    pub(crate) run_lock: RunLock,
    pub(crate) locked: LockedJob,
    pub(crate) journal: Journal,
    pub(crate) plan: Plan,
}

/// Runs it to its end.
pub(crate) fn run(begun: Begun, sink: EventSink) -> Result<(), Failure> {
    let Begun { run_lock, locked, mut journal, plan } = begun;
    let job = locked.job.clone();
    let (wake, woken) = sync_channel(1);
    journal.wake(wake);
    let follower = start_follower(job.clone(), sink, woken);

    let outcome = (plan.work)(&mut journal);
    let ended = Event::Ended { outcome };
    let result = journal.append_synced(&ended);
    journal.release_reserve();
    // The journal has the end; without this file the next session writes it.
    let _ = job.keep_outcome(&ended);
    drop(locked);
    drop(run_lock);

    let doing = format!("write the end of job {} into its journal", job.id());
    let result = result.map_err(Failure::io(doing));
    drop(journal);
    if let Some(follower) = follower {
        let _ = follower.recv_timeout(FAREWELL);
    }
    result
}

/// A thread that tells the peer; its receiver hears when it is done. Without a thread the job runs all the same, unheard.
fn start_follower(
    job: crate::state::job::Job,
    mut sink: EventSink,
    woken: Receiver<()>,
) -> Option<Receiver<()>> {
    let (done, hears) = sync_channel(1);
    let body = move || {
        if let Err(failure) = follow(&job, &mut sink, &woken) {
            eprintln!("keros-executor: {}", failure.chain());
        }
        let _ = done.send(());
    };
    thread::Builder::new().name("follower".to_owned()).spawn(body).ok().map(|_| hears)
}

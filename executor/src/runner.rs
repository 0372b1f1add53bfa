//! Carries a job on and tells a peer of it. The runner writes the journal and nothing else; a follower tells the peer. So no
//! peer, slow, blocked or gone, has any effect on the job.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use keros_service::log::Subject;

use crate::drive::Drive;
use crate::exit::Failure;
use crate::follow::Teller;
use crate::state::RunLock;
use crate::state::job::Job;
use crate::telling;

/// How long the process stays for a peer that reads slowly, after the job's end. A peer that misses the end attaches again.
const FAREWELL: Duration = Duration::from_secs(10);

/// Carries it to its end.
pub(crate) fn run(run_lock: RunLock, mut drive: Drive<'_>, teller: Teller) -> Result<(), Failure> {
    let (wake, woken) = sync_channel(1);
    drive.journal().wake(wake);
    let job = drive.job().clone();
    let told = start_telling(&job, drive.subject(), teller, woken);
    let result = drive.go(true);
    // The job's lock first: who holds the other one may take it for free.
    drop(drive);
    drop(run_lock);
    if let Some(told) = told {
        job.host().wait(&told, FAREWELL);
    }
    result.map(drop)
}

/// A thread that tells the peer; its receiver hears when it is done. Without a thread the job runs all the same, unheard.
fn start_telling(
    job: &Job,
    subject: Subject,
    mut teller: Teller,
    woken: Receiver<()>,
) -> Option<Receiver<()>> {
    let (done, hears) = sync_channel(1);
    let body = move || {
        if let Err(failure) = teller.accompany(&woken) {
            telling::failed(Some(subject), &failure.chain());
        }
        let _ = done.send(());
    };
    job.host().start_thread(Box::new(body)).then_some(hears)
}

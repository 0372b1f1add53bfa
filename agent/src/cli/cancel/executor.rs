//! Root's own session with the executor. It is the agent's way to it too, so that a job which is undone goes on in the
//! executor's unit, and not in the terminal of somebody who leaves.

use std::io;
use std::time::Duration;

use keros_protocol::executor::{CancelAnswer, Event, Request};
use keros_protocol::{CommandId, limits};
use tokio::sync::mpsc;

use crate::config::ExecutorAccess;
use crate::executor_client::{self, SessionWhat};

/// The executor waits up to ten seconds for the job's runner to decide.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Why the executor has not answered.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum NoAnswer {
    #[error("the executor says: {0}")]
    Refused(String),
    #[error("the executor has not answered: {0}")]
    Closed(String),
    #[error("the executor has not answered within {} s", ANSWER_LIMIT.as_secs())]
    Slow,
    #[error("the executor cannot be asked")]
    Io(#[from] io::Error),
}

/// Cancels a job that the executor may have. It checks that root asks.
pub(super) fn cancel(access: ExecutorAccess, command_id: CommandId) -> Result<CancelAnswer, NoAnswer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answered = runtime.block_on(async {
        let (sender, mut events) = mpsc::channel(8);
        let request = Request::Cancel { command_id, statement: None };
        let _session = executor_client::open(access, 1, request, sender);
        let answer = async {
            while let Some(event) = events.recv().await {
                match event.what {
                    SessionWhat::Event(event) => match *event {
                        Event::CancelAnswered { answer, .. } => return Ok(answer),
                        Event::RequestFailed { message, .. } => {
                            return Err(NoAnswer::Refused(limits::shorten(&message, limits::MAX_TEXT_BYTES)));
                        }
                        _ => {}
                    },
                    SessionWhat::Closed { message, .. } => return Err(NoAnswer::Closed(message)),
                }
            }
            Err(NoAnswer::Closed("the session is over".to_owned()))
        };
        tokio::time::timeout(ANSWER_LIMIT, answer).await.unwrap_or(Err(NoAnswer::Slow))
    });
    runtime.shutdown_background();
    answered
}

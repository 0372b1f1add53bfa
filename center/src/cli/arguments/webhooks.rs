//! `webhooks …`.

use clap::Subcommand;

use crate::store::WebhookId;
use crate::webhooks::EventKind;

pub(super) const WEBHOOKS_EXAMPLES: &str = "\
Tell an address when updates end, fail or stop; try it; see what became of the messages:
  keros-center webhooks create https://hooks.example/keros
  keros-center webhooks test 01920000-0000-7000-8000-000000000002
  keros-center webhooks messages 01920000-0000-7000-8000-000000000002

Messages are signed as https://www.standardwebhooks.com/ says, with the secret that `create` prints once.";

/// `webhooks …`.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// List all webhooks (also without a word)
    List,
    /// Make one and print its secret, once
    Create {
        /// Where messages go
        url: String,
        /// What it is told of: update.ended, update.failed, update.halted, gateway.unreachable, gateway.back [default: all]
        #[arg(long, value_name = "EVENT,EVENT…", value_delimiter = ',')]
        events: Vec<EventKind>,
        /// Whose updates, by name or id
        #[arg(long, value_name = "CUSTOMER")]
        customer: Option<String>,
    },
    /// Send a test message
    Test {
        /// The webhook
        id: WebhookId,
    },
    /// Show what became of the newest messages
    Messages {
        /// The webhook
        id: WebhookId,
    },
    /// Use it no more, or again
    Enable {
        /// The webhook
        id: WebhookId,
        /// Use it no more: what waits goes on waiting
        #[arg(long)]
        off: bool,
    },
    /// Make a new secret and print it, once; the old one is no longer good
    NewSecret {
        /// The webhook
        id: WebhookId,
    },
    /// Remove it, with what waits
    Delete {
        /// The webhook
        id: WebhookId,
    },
}

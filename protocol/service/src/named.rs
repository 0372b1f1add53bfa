//! The events that have a name in the journal: each has an id, by which the catalog (`systemd/keros.catalog`, shown by `journalctl -x`)
//! explains it and says what to do. An id never changes its meaning.

use tracing::Level;

/// An event with an entry in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the catalog says what each one means, in a file that a test holds equal to this list"
)]
pub enum Named {
    CommandReceived,
    CommandAccepted,
    CommandRefused,
    CommandDuplicate,
    CommandNotBelieved,
    CommandNotTaken,
    FetchStarted,
    FetchFailed,
    FetchEnded,
    JobStarted,
    JobTakenOver,
    TaskFailed,
    JobRebooting,
    JobConfirming,
    JobConfirmed,
    JobRollingBack,
    CancelAsked,
    JobSucceeded,
    JobFailed,
    JobTimedOut,
    JobInterrupted,
    JobCancelled,
    JobRolledBack,
    OutcomeReported,
    LinkUp,
    LinkDown,
    StateDamaged,
    StateNotStored,
    ClockNotBelieved,
    ExecutorNotReached,
    LocalRefused,
    RequestRefused,
    TrustLacking,
}

impl Named {
    /// All of them, in the order of the catalog.
    pub const ALL: [Self; 33] = [
        Self::CommandReceived,
        Self::CommandAccepted,
        Self::CommandRefused,
        Self::CommandDuplicate,
        Self::CommandNotBelieved,
        Self::CommandNotTaken,
        Self::FetchStarted,
        Self::FetchFailed,
        Self::FetchEnded,
        Self::JobStarted,
        Self::JobTakenOver,
        Self::TaskFailed,
        Self::JobRebooting,
        Self::JobConfirming,
        Self::JobConfirmed,
        Self::JobRollingBack,
        Self::CancelAsked,
        Self::JobSucceeded,
        Self::JobFailed,
        Self::JobTimedOut,
        Self::JobInterrupted,
        Self::JobCancelled,
        Self::JobRolledBack,
        Self::OutcomeReported,
        Self::LinkUp,
        Self::LinkDown,
        Self::StateDamaged,
        Self::StateNotStored,
        Self::ClockNotBelieved,
        Self::ExecutorNotReached,
        Self::LocalRefused,
        Self::RequestRefused,
        Self::TrustLacking,
    ];

    /// Its `MESSAGE_ID` (systemd.journal-fields(7)).
    #[must_use]
    pub const fn message_id(self) -> &'static str {
        match self {
            Self::CommandReceived => "00e86f77c1304dd888ee1a9fc4ebef44",
            Self::CommandAccepted => "de3e17c5194b4d1ea90c3e91cd55d89c",
            Self::CommandRefused => "b7660b4936304c0792f8477a98c1351c",
            Self::CommandDuplicate => "8f02135c29094294a9c43f717957f0d5",
            Self::CommandNotBelieved => "100a7a4c380244e5a76902452fbb619b",
            Self::CommandNotTaken => "73600293859c48f29c5639474f70fb26",
            Self::FetchStarted => "48a006b440864f0ca85d09c07672899a",
            Self::FetchFailed => "bd1a6f7ca9ad49a1b42642b404490e4e",
            Self::FetchEnded => "dd20c6c945d244c197b637716a9f2ef8",
            Self::JobStarted => "592661f5ef04485d86fd17b01cfef46e",
            Self::JobTakenOver => "ff5ac5b857774c8eba11b0ea371d6209",
            Self::TaskFailed => "72e162c0dd264523a6f6d67fc89454f1",
            Self::JobRebooting => "3497f6055fae47c2bc586f543ddc19d6",
            Self::JobConfirming => "01286b6d109242c187340c8f03c841d4",
            Self::JobConfirmed => "14f3da2445f740129f937c442fb54559",
            Self::JobRollingBack => "24a36f09bfc74107b8469f257bf4b186",
            Self::CancelAsked => "f273788b2f004148a5b02c424ca86136",
            Self::JobSucceeded => "1fa34111cd284c3e9c57d52b96257f9c",
            Self::JobFailed => "4b524f1a0dd245e18efa33854aa832a0",
            Self::JobTimedOut => "5676e91855f14bbfb91101941cf3e37d",
            Self::JobInterrupted => "cb14b305aaea4fb38b861b299bc933a0",
            Self::JobCancelled => "4a5bf99b0cb84bd79a3f4f4e75db945f",
            Self::JobRolledBack => "29f51c2260894aba8d2ae9f3e1437ebe",
            Self::OutcomeReported => "3350026dd4914a9ab57259ff1d6289ef",
            Self::LinkUp => "79b8aead8c5a450b8db039f5b185fedd",
            Self::LinkDown => "b3e8ab601c0a41d0810be372610f2ffa",
            Self::StateDamaged => "4d67add1d6f3442e8cf7d2644c6831ce",
            Self::StateNotStored => "8273188ad4f84ec0904f95dcdba53783",
            Self::ClockNotBelieved => "9dd26711392d48938594715c4dcde52b",
            Self::ExecutorNotReached => "f48f6d75542f44a38c94e2c3ce516941",
            Self::LocalRefused => "600dcddbd30c476abf378a5fa323c4d4",
            Self::RequestRefused => "418cdfdb1d7c43e9ae392a782ad8c153",
            Self::TrustLacking => "ded8eb13f6514f38b11b5a49fdf93d06",
        }
    }

    /// How much it matters: a warning is something that somebody should look at, an error something that they must.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::StateDamaged | Self::StateNotStored => Level::ERROR,
            Self::CommandRefused
            | Self::CommandNotBelieved
            | Self::CommandNotTaken
            | Self::FetchFailed
            | Self::JobTakenOver
            | Self::TaskFailed
            | Self::JobRollingBack
            | Self::JobFailed
            | Self::JobTimedOut
            | Self::JobInterrupted
            | Self::JobRolledBack
            | Self::LinkDown
            | Self::ClockNotBelieved
            | Self::ExecutorNotReached
            | Self::LocalRefused
            | Self::RequestRefused
            | Self::TrustLacking => Level::WARN,
            Self::CommandReceived
            | Self::CommandAccepted
            | Self::CommandDuplicate
            | Self::FetchStarted
            | Self::FetchEnded
            | Self::JobStarted
            | Self::JobRebooting
            | Self::JobConfirming
            | Self::JobConfirmed
            | Self::CancelAsked
            | Self::JobSucceeded
            | Self::JobCancelled
            | Self::OutcomeReported
            | Self::LinkUp => Level::INFO,
        }
    }
}

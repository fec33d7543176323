//! One call of a verb: its name for all logs and records, and who hears of its progress.

use convoy_units::Bytes;
use std::fmt;
use uuid::Uuid;

/// What a long verb is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Making a filesystem.
    Formatting,
    /// Flushing and holding the volume to take a snapshot.
    Snapshotting,
    /// Finding out which blocks changed.
    Comparing,
    /// Reading, storing and publishing chunks.
    BackingUp,
    /// The backup is published and durable.
    Committed,
    /// Writing a backup into a volume.
    Restoring,
    /// Zeroing what a volume has and its backup has not.
    Clearing,
    /// Reading a backup back.
    Verifying,
    /// Giving space back to the pool.
    Discarding,
}

impl Phase {
    /// One lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Formatting => "formatting",
            Self::Snapshotting => "snapshotting",
            Self::Comparing => "comparing",
            Self::BackingUp => "backing-up",
            Self::Committed => "committed",
            Self::Restoring => "restoring",
            Self::Clearing => "clearing",
            Self::Verifying => "verifying",
            Self::Discarding => "discarding",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that happened during a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A phase began.
    Phase(Phase),
    /// So much of the present phase is done.
    Progress {
        /// Bytes done.
        done: Bytes,
        /// Bytes in all.
        total: Bytes,
    },
    /// It waits for this operation to end; for none any more.
    Waiting(Option<Uuid>),
    /// It is on record as a job: whoever asks for it finds it.
    Recorded,
}

/// Who hears of events; called from whichever thread does the work, so it must be quick.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event);

    /// Whether the caller wants the verb to stop; asked between chunks, answered with
    /// [`convoy_fault::Kind::Interrupted`].
    fn cancelled(&self) -> bool {
        false
    }
}

/// An observer that does not listen.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event) {}
}

/// One call of a verb.
#[derive(Clone, Copy)]
pub struct Operation<'a> {
    /// UUID v7: in the answer, the intent, the log span and the commit record.
    pub id: Uuid,
    /// Who hears of its progress.
    pub observer: &'a dyn Observer,
}

impl Operation<'static> {
    /// A new operation that nobody listens to.
    pub fn silent() -> Self {
        Self::new(&Silent)
    }
}

impl<'a> Operation<'a> {
    /// A new operation with an id of its own.
    pub fn new(observer: &'a dyn Observer) -> Self {
        Self {
            id: Uuid::now_v7(),
            observer,
        }
    }

    pub(crate) fn phase(&self, phase: Phase) {
        tracing::debug!(%phase, "phase");
        self.observer.event(Event::Phase(phase));
    }
}

impl fmt::Debug for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operation({})", self.id)
    }
}

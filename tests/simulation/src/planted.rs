//! Mistakes that are planted to see them found: what a test can miss is worth no more than its teeth.

use convoy_engine::Mistake;

/// A mistake, and so a simulation that must fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// The engine itself errs.
    Engine(Mistake),
    /// Recovery takes the pool's transaction id for moved on, whatever it is.
    TransactionIgnored,
    /// The origin of a snapshot is not resumed.
    ResumeForgotten,
    /// A snapshot is taken of an origin that runs.
    SuspendForgotten,
    /// The metadata snapshot stays reserved.
    MetadataSnapshotKept,
    /// What an undone creation made stays in the pool.
    DeleteForgotten,
    /// Packs are not made durable before the commit that names them.
    SyncForgotten,
    /// A log entry is put without looking whether the slot is free.
    AppendWithoutLooking,
    /// A restored volume is not flushed before it is told to be ready.
    RestoreNotFlushed,
    /// A volume that should be mounted after a restart is not.
    MountForgotten,
}

impl Planted {
    /// All of them, with their names in words.
    pub const ALL: [(&'static str, Self); 14] = [
        ("skip the intent", Self::Engine(Mistake::NoIntent)),
        ("pin forgotten", Self::Engine(Mistake::NoPin)),
        ("reuse of a device id", Self::Engine(Mistake::UsedDeviceId)),
        ("base chosen by name", Self::Engine(Mistake::BaseByName)),
        ("intents not settled", Self::Engine(Mistake::NoSettling)),
        ("transaction id ignored", Self::TransactionIgnored),
        ("resume forgotten", Self::ResumeForgotten),
        ("suspend forgotten", Self::SuspendForgotten),
        ("metadata snapshot not released", Self::MetadataSnapshotKept),
        ("undo leaves the device", Self::DeleteForgotten),
        ("commit before packs are durable", Self::SyncForgotten),
        ("append without looking first", Self::AppendWithoutLooking),
        ("restore not flushed", Self::RestoreNotFlushed),
        ("mount forgotten at a restart", Self::MountForgotten),
    ];
}

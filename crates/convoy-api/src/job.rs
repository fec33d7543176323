//! Jobs: long operations, running or ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A long operation. Amounts are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The operation's id.
    pub id: Uuid,
    /// `backup create`, `backup restore`, `backup verify` or `create`; more may come.
    pub verb: String,
    /// The snapshot, volume or backup it is about, as the caller named it.
    pub subject: String,
    /// Where to or from: a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// `waiting`, `running`, `done`, `failed`, `cancelled` or `interrupted`; more may come.
    pub state: String,
    /// Nothing more will come of it.
    pub over: bool,
    /// What it is doing, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The job it waits for, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<Uuid>,
    /// So much of the phase is done.
    pub done: u64,
    /// So much there is in the phase; 0 while that is not known.
    pub total: u64,
    /// When it began.
    pub since: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// What came of it: a URL, a name, or what was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What to do about one that did not get to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Body of `POST /v1/backups/restore`: a volume that exists becomes what a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The backup.
    pub url: String,
    /// The volume.
    pub volume: String,
}

/// The result of `POST /v1/backups/restore`. Amounts are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredBackup {
    /// The volume.
    pub volume: crate::Volume,
    /// The name of the snapshot that holds what was there before.
    pub safety: String,
    /// What differed, and was written.
    pub written: u64,
    /// What was there already, as the backup has it.
    pub unchanged: u64,
}

/// `GET /v1/jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Jobs {
    /// Those that run and those that ended lately, the oldest first.
    pub jobs: Vec<Job>,
}

/// Query of `GET /v1/jobs/{name}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitFor {
    /// Answer when it is over, or after so many milliseconds; 20000 at most. At once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_milliseconds: Option<u64>,
}

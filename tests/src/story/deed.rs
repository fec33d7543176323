//! One deed: a verb and the words it is done with, as it is told.

use std::fmt;
use std::str::FromStr;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named after the commands")]
pub enum Verb {
    /// The first opening, which makes the pool.
    Open,
    /// Everything taken down, and opened again.
    Restart,
    Create,
    Restore,
    Delete,
    Mount,
    Unmount,
    Write,
    Snapshot,
    DeleteSnapshot,
    Backup,
    DeleteBackup,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Open,
        Self::Restart,
        Self::Create,
        Self::Restore,
        Self::Delete,
        Self::Mount,
        Self::Unmount,
        Self::Write,
        Self::Snapshot,
        Self::DeleteSnapshot,
        Self::Backup,
        Self::DeleteBackup,
    ];

    /// Its name in what is told.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Restart => "restart",
            Self::Create => "create",
            Self::Restore => "restore",
            Self::Delete => "delete",
            Self::Mount => "mount",
            Self::Unmount => "umount",
            Self::Write => "write",
            Self::Snapshot => "snapshot",
            Self::DeleteSnapshot => "snapshot-delete",
            Self::Backup => "backup",
            Self::DeleteBackup => "backup-delete",
        }
    }
}

impl FromStr for Verb {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|verb| verb.word() == word);
        found.ok_or_else(|| format!("no verb is called {word}"))
    }
}

/// A verb, what it is done to, and with what: a restore's backup, a snapshot's volume, a write's generation.
/// A backup goes by the name of its snapshot. A word that a verb does not need is `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// What is done.
    pub verb: Verb,
    /// To what.
    pub what: String,
    /// With what.
    pub with: String,
}

impl Deed {
    /// A deed of these words.
    pub fn new(verb: Verb, what: &str, with: &str) -> Self {
        let [what, with] = [what, with].map(str::to_owned);
        Self { verb, what, with }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.verb.word(), self.what, self.with)
    }
}

impl FromStr for Deed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let [verb, what, with] = words[..] else {
            return Err(format!("no deed: {text:?}"));
        };
        Ok(Self::new(verb.parse()?, what, with))
    }
}

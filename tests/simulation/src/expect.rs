//! What must hold: told by the verbs that were acknowledged, never by the engine or the model kernel.

use crate::content::Content;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A block of a volume: what it holds, and what a power cut may bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) now: Content,
    /// What it held since the last flush that was acknowledged, oldest first.
    pub(crate) before: Vec<Content>,
}

impl Block {
    pub(crate) fn durable(content: Content) -> Self {
        Self {
            now: content,
            before: Vec::new(),
        }
    }

    fn write(&mut self, content: Content) {
        self.before.push(self.now);
        self.now = content;
    }
}

/// Whether something exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It was acknowledged.
    There,
    /// The verb that would make it, or delete it, has not answered.
    Unknown,
}

/// A volume.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) uuid: Option<Uuid>,
    pub(crate) known: Known,
    pub(crate) blocks: Vec<Block>,
    /// Whether it is mounted; `None` while that is not known.
    pub(crate) mounted: Option<bool>,
    /// The first block of a volume made anew is its own, and its identity is not known before it answers.
    pub(crate) own_head: bool,
}

impl Volume {
    pub(crate) fn write(&mut self, block: usize, content: Content) {
        if let Some(block) = self.blocks.get_mut(block) {
            block.write(content);
        }
    }

    pub(crate) fn flushed(&mut self) {
        for block in &mut self.blocks {
            block.before.clear();
        }
    }

    pub(crate) fn contents(&self) -> Vec<Content> {
        self.blocks.iter().map(|block| block.now).collect()
    }
}

/// A snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) volume: String,
    pub(crate) known: Known,
    /// What it must hold; `None` until its message was sent.
    pub(crate) contents: Option<Vec<Content>>,
}

/// A host's volumes and snapshots, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(crate) volumes: BTreeMap<String, Volume>,
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
}

/// Backups, whoever made them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backups {
    /// Acknowledged, by URL.
    pub(crate) there: BTreeMap<String, Uuid>,
    /// Their deletion was begun.
    pub(crate) doubtful: BTreeSet<String>,
    /// Their deletion was acknowledged.
    pub(crate) gone: BTreeSet<String>,
    /// What every snapshot that was ever seen holds, by its identity.
    pub(crate) contents: BTreeMap<Uuid, Vec<Content>>,
}

impl Volume {
    /// Its identity became known, and with it what mkfs wrote.
    pub(crate) fn identified(&mut self) {
        if let (Some(uuid), true, Some(block)) = (self.uuid, self.own_head, self.blocks.first_mut())
        {
            *block = Block::durable(Content::Head(uuid));
        }
    }
}

//! The names of packs and segments: used once, for ever (format §2).

use crate::id::{ObjectHash, SessionId};
use crate::run_set::PackId;
use convoy_objectstore::Key;

/// Session, sequence number and hash of a pack or segment: its name, used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Who made it.
    pub session: SessionId,
    /// Its number in the session, packs and segments each from 0.
    pub seq: u32,
    /// Of its bytes.
    pub hash: ObjectHash,
}

impl ObjectName {
    /// The key of the pack of this name.
    pub fn pack_key(&self) -> Key {
        let hash = self.hash.to_string();
        let folder: String = hash.chars().take(2).collect();
        key(format!("packs/{folder}/{self}"))
    }

    /// The key of the segment of this name.
    pub fn segment_key(&self) -> Key {
        key(format!("index/{self}"))
    }

    /// What the log calls the pack.
    pub fn pack(&self) -> PackId {
        PackId {
            session: self.session,
            seq: self.seq,
        }
    }

    /// Read from `<session>-<seq>-<hash>`, strictly.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let session = SessionId::parse(parts.next()?)?;
        let seq = u32::from_be_bytes(crate::id::from_hex(parts.next()?)?);
        let hash = ObjectHash::parse(parts.next()?)?;
        parts
            .next()
            .is_none()
            .then_some(Self { session, seq, hash })
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{:08x}-{}", self.session, self.seq, self.hash)
    }
}

/// A key of our own making.
pub(crate) fn key(text: String) -> Key {
    Key::new(text).expect("made of lower-case hex and our own words, well below 200 bytes")
}

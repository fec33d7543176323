//! The four keys that come from the repository's secret (format §3).

use crate::id::BlobId;

/// The secret bytes `K` of a repository.
#[derive(Clone)]
pub struct Secret(pub [u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a blob is: chunks and tree nodes have ids under different keys, so that a chunk whose content
/// looks like a node can never be taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobKind {
    /// A chunk of a volume.
    Chunk,
    /// A node of a backup's tree.
    Node,
}

impl BlobKind {
    /// Its byte in pack and blob headers.
    pub const fn code(self) -> u8 {
        match self {
            Self::Chunk => 0,
            Self::Node => 1,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Chunk),
            1 => Some(Self::Node),
            _ => None,
        }
    }
}

impl std::fmt::Display for BlobKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Chunk => "chunk",
            Self::Node => "tree node",
        })
    }
}

/// The derived keys.
#[derive(Clone)]
pub struct Keys {
    pub(crate) chunk: [u8; 32],
    pub(crate) node: [u8; 32],
    pub(crate) log: [u8; 32],
    pub(crate) collector: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    /// By BLAKE3's key derivation with the contexts of format §3.
    pub fn derive(secret: &Secret) -> Self {
        Self {
            chunk: blake3::derive_key("convoy repository v1 chunk id", &secret.0),
            node: blake3::derive_key("convoy repository v1 tree node id", &secret.0),
            log: blake3::derive_key("convoy repository v1 log mac", &secret.0),
            collector: blake3::derive_key("convoy repository v1 collector mac", &secret.0),
        }
    }

    /// The id of a blob's plain bytes.
    pub fn id(&self, kind: BlobKind, plain: &[u8]) -> BlobId {
        let key = match kind {
            BlobKind::Chunk => &self.chunk,
            BlobKind::Node => &self.node,
        };
        BlobId(*blake3::keyed_hash(key, plain).as_bytes())
    }

    /// The MAC of an entry's header and body; `collector` chooses the key.
    pub(crate) fn mac(&self, collector: bool, header: &[u8], body: &[u8]) -> [u8; 32] {
        let key = if collector {
            &self.collector
        } else {
            &self.log
        };
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(header);
        hasher.update(body);
        *hasher.finalize().as_bytes()
    }
}

//! Tree nodes of the base read ahead: those that belong together lie together.
//!
//! A backup wrote its nodes in one go, so the next one finds them in few packs; one request for each node
//! would be most of the requests of a small backup.

use crate::id::BlobId;
use crate::keys::BlobKind;
use crate::pack::ObjectName;
use crate::repository::Inner;
use std::ops::Range;

/// A pack up to this long is read whole.
const WHOLE: u64 = 512 << 10;
/// Of a longer one this much is read: four full leaves.
const AHEAD: u64 = 128 << 10;

/// A part of a pack of nodes.
#[derive(Debug, Default)]
pub(super) struct Ahead(Option<(ObjectName, u64, Vec<u8>)>);

impl Ahead {
    /// A node, verified, from what was read ahead or is now. `None` if anything is amiss: then it is to
    /// be read with all care.
    pub(super) fn node(&mut self, inner: &Inner, id: &BlobId) -> Option<Vec<u8>> {
        let location = *inner.locate(id).ok()?.first()?;
        let pack = location.pack.name;
        let start = u64::from(location.offset);
        let place = start..start + crate::codec::BLOB_HEADER as u64 + u64::from(location.stored);
        if self.part(&pack, &place).is_none() {
            let length = u64::from(location.pack.length);
            let range = if length <= WHOLE {
                0..length
            } else {
                start..length.min(place.end.max(start + AHEAD))
            };
            let bytes = inner.get_blobs(&pack, range.clone()).ok()?;
            self.0 = Some((pack, range.start, bytes));
        }
        let mut plain = Vec::new();
        inner
            .open_blob(BlobKind::Node, id, self.part(&pack, &place)?, &mut plain)
            .ok()?;
        Some(plain)
    }

    fn part(&self, pack: &ObjectName, place: &Range<u64>) -> Option<&[u8]> {
        let (held, start, bytes) = self.0.as_ref()?;
        let from = usize::try_from(place.start.checked_sub(*start)?).ok()?;
        let to = usize::try_from(place.end.checked_sub(*start)?).ok()?;
        (held == pack).then(|| bytes.get(from..to))?
    }
}

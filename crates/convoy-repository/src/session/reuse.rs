//! What a session need not send: blobs in packs of earlier sessions, where those are still there.

use super::Session;
use crate::error::Error;
use crate::id::BlobId;
use crate::segment::PackEntry;
use convoy_objectstore::ErrorKind;
use std::sync::PoisonError;

impl Session {
    /// Whether the repository, or this session, has the blob in a pack that is neither dead nor
    /// warned. If so the pack is noted: the commit names it, and counts only if it still lives.
    ///
    /// What the index holds is looked at: a miss costs an upload at most. The first time an earlier
    /// session's pack is met, the store is asked for its size, one request: a pack that vanished or was
    /// cut off must not be named by yet another backup. One known to be damaged is passed over.
    pub fn reuse(&self, id: &BlobId) -> Result<bool, Error> {
        if self.adopted.contains(id) || self.state().own.contains(id) {
            return Ok(true);
        }
        let inner = &self.repository.inner;
        // Brings the index up to the fold; places in cold segments are not asked for.
        inner.follow_index()?;
        loop {
            let found = inner.log.with_fold(|fold| {
                let usable = |entry: &PackEntry| {
                    let pack = entry.name.pack();
                    !fold.dead().contains(pack)
                        && !fold.warned().contains(pack)
                        && !inner.distrust.contains(&entry.name)
                };
                inner.index().find(id, usable)
            });
            let Some(location) = found else {
                return Ok(false);
            };
            // If it is not, it is distrusted, and the next look passes it over.
            if self.is_whole(&location.pack)? {
                self.state().uses.insert(location.pack.name.pack());
                return Ok(true);
            }
        }
    }

    /// Whether the store has this pack at its full length; asked once for each pack.
    fn is_whole(&self, pack: &PackEntry) -> Result<bool, Error> {
        let distrust = &self.repository.inner.distrust;
        // Held over the request, so that threads which meet the same pack ask once.
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if whole.contains(&pack.name) {
            return Ok(true);
        }
        if distrust.contains(&pack.name) {
            return Ok(false);
        }
        let size = match self.repository.pack_size(&pack.name) {
            Ok(size) => size,
            Err(Error::Store { source, .. }) if source.kind == ErrorKind::Damaged => None,
            Err(error) => return Err(error),
        };
        if size == Some(u64::from(pack.length)) {
            return Ok(whole.insert(pack.name));
        }
        distrust.add(&pack.name);
        Ok(false)
    }
}

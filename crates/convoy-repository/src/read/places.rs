//! Where blobs lie by the log as far as it was read.

use crate::error::Error;
use crate::id::BlobId;
use crate::index::Location;
use crate::repository::Inner;

impl Inner {
    /// Places of a blob by the current fold.
    pub(crate) fn locate(&self, id: &BlobId) -> Result<Vec<Location>, Error> {
        self.places(id, false)
    }

    /// `everywhere`: also in cold segments, though a held one knows it.
    pub(super) fn places(&self, id: &BlobId, everywhere: bool) -> Result<Vec<Location>, Error> {
        self.follow_index()?;
        self.log
            .with_fold(|fold| self.index().find_all(id, fold.dead(), everywhere, self))
    }

    /// Brings the index up to the fold, if that went on.
    pub(crate) fn follow_index(&self) -> Result<(), Error> {
        let followed = self.index().followed();
        let news = self.log.with_fold(|fold| {
            (Some(fold.slots()) > followed).then(|| (fold.slots(), fold.segments().to_vec()))
        });
        let Some((slots, segments)) = news else {
            return Ok(());
        };
        let mut index = self.index();
        // Another thread may have come further meanwhile: an index never goes back.
        if Some(slots) > index.followed() {
            index.follow(&segments, self)?;
            if let Some(cache) = &self.cache {
                for (name, _) in index.broken() {
                    cache.set_aside(name);
                }
            }
            index.set_followed(slots);
        }
        Ok(())
    }
}

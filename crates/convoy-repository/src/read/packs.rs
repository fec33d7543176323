//! Packs as objects: their size, and what they say themselves that they hold.

use super::blob::of_object;
use crate::error::Error;
use crate::pack::{HEADER, ObjectName, Placed, read_table, tail_len};
use crate::patience::patiently;
use crate::repository::{Inner, Repository};
use crate::segment::PackEntry;

/// Bytes of a pack's end that a first request asks for: a table of 1023 blobs, and more seldom are.
const TAIL: u64 = 64 << 10;

impl Repository {
    /// The size of a pack in the store, `None` if it is gone. One request.
    pub fn pack_size(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        let key = name.pack_key();
        let inner = &self.inner;
        patiently(
            &*inner.patience,
            || format!("look at {key}"),
            || inner.store.size(&key),
        )
    }

    /// The blobs of a pack in order, by its own header and table: what an index is rebuilt from, and
    /// reads never need. Both are checked against the hash at the pack's end.
    ///
    /// One request for a pack of up to 64 KiB, else two, three if it has more than 1023 blobs; twice as
    /// many if they show damage. `Damaged` names the pack.
    pub fn pack_table(&self, pack: &PackEntry) -> Result<Vec<Placed>, Error> {
        match self.inner.pack_table(pack) {
            // Wrong once may be the way here.
            Err(Error::Damaged { .. }) => self.inner.pack_table(pack),
            answer => answer,
        }
    }
}

impl Inner {
    fn pack_table(&self, pack: &PackEntry) -> Result<Vec<Placed>, Error> {
        let length = u64::from(pack.length);
        let damaged = |what| Error::damaged(pack.name.pack_key().as_str(), what);
        let get = |range| {
            let what = "its header and table";
            self.get_blobs(&pack.name, range)
                .map_err(|error| of_object(error, pack.name.pack_key().as_str(), what))
        };
        let tail_at = length.saturating_sub(TAIL);
        let mut tail = get(tail_at..length)?;
        let header = if tail_at == 0 {
            tail.get(..HEADER).unwrap_or_default().to_vec()
        } else {
            get(0..HEADER as u64)?
        };
        let wanted = tail_len(&tail, length).map_err(damaged)?;
        if let Some(before) = tail.len().checked_sub(wanted) {
            tail.drain(..before);
        } else {
            tail = get(length - wanted as u64..length)?;
        }
        let (content, placed) =
            read_table(self.config.id, &header, &tail, length).map_err(damaged)?;
        if content == pack.content {
            Ok(placed)
        } else {
            let what = format!(
                "its header says {content}s, its index segment {}s",
                pack.content
            );
            Err(damaged(what))
        }
    }
}

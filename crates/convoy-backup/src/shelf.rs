//! Tree nodes kept from a first walk of a backup's tree for the second.
//!
//! What a restore or verification has to read is known only from the whole tree, and progress that is
//! measured against anything else says nothing (a volume is mostly holes). So the tree is walked twice;
//! what fits on the shelf is requested once.

use crate::observer::Observer;
use crate::restore::byte_range;
use convoy_repository::{BackupRecord, BlobId, Found, Repository, Visit, chunks_of, walk};
use convoy_units::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// Bytes of nodes kept: the tree of 128 GiB of stored chunks of the usual size.
const ROOM: usize = 16 << 20;

/// Verified nodes, each handed out once.
#[derive(Default)]
pub(crate) struct Shelf {
    nodes: RefCell<HashMap<BlobId, (Vec<u8>, Found)>>,
}

impl Shelf {
    /// The bytes of the volume in stored chunks, as far as nodes can be read; keeps the nodes. Ends early
    /// when the store fails or the observer asks to stop: the second walk says so.
    pub(crate) fn measure(
        &self,
        repository: &Repository,
        backup: &BackupRecord,
        observer: &dyn Observer,
    ) -> Bytes {
        let chunks = chunks_of(backup.volume_size.0, repository.chunk_size().0);
        let room = Cell::new(ROOM);
        let read = |id: &BlobId| {
            let (node, found) = repository.find_node(id)?;
            if let Some(left) = room.get().checked_sub(node.len()) {
                room.set(left);
                self.nodes.borrow_mut().insert(*id, (node.clone(), found));
            }
            Ok(node)
        };
        let mut stored = Bytes(0);
        let ended = walk(&read, &backup.root, chunks, &mut |visit| {
            match visit {
                _ if observer.cancelled() => return Err(()),
                Visit::Leaf(first, ids) => stored.0 += used(repository, backup, first, ids),
                Visit::Broken(_, _, error) if error.is_of_one_object() => {}
                Visit::Broken(..) => return Err(()),
            }
            Ok(())
        });
        if ended.is_err() {
            tracing::debug!(backup = %backup.name, "its stored chunks could not all be counted");
        }
        stored
    }

    /// A node, from the shelf if it is there, and where it was read.
    pub(crate) fn read(
        &self,
        repository: &Repository,
        id: &BlobId,
    ) -> Result<(Vec<u8>, Found), convoy_repository::Error> {
        match self.nodes.borrow_mut().remove(id) {
            Some(node) => Ok(node),
            None => repository.find_node(id),
        }
    }
}

/// Bytes of the volume in the used slots of a leaf.
fn used(repository: &Repository, backup: &BackupRecord, first: u64, ids: &[Option<BlobId>]) -> u64 {
    let used = (first..).zip(ids).filter(|(_, id)| id.is_some());
    used.map(|(number, _)| {
        byte_range(repository, backup, &(number..number + 1))
            .len()
            .0
    })
    .sum()
}

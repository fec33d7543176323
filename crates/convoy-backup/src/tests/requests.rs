//! What an incremental backup asks of the store, request by request.

use super::world::{Volatile, block_size, facts, make};
use crate::{BlockReader, CreateOptions, create};
use convoy_blockdiff::{Change, ChangeList};
use convoy_objectstore::Verb;
use convoy_repository::{Impatient, OpenOptions, Repository};
use convoy_units::{Bytes, ThinBlock, ThinRange};
use std::sync::Arc;
use uuid::Uuid;

const MIB: u64 = 1 << 20;

/// 2 GiB in which every chunk tells its place and generation.
struct Chunks(u64);

impl BlockReader for Chunks {
    fn len(&self) -> Bytes {
        Bytes(2048 * MIB)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        for (number, chunk) in (offset / (256 << 10)..).zip(into.chunks_mut(256 << 10)) {
            let mark = (number * 8 + self.0).to_le_bytes();
            chunk
                .chunks_mut(8)
                .for_each(|word| word.copy_from_slice(&mark[..word.len()]));
        }
        Ok(())
    }
}

fn blocks(step: usize) -> ChangeList {
    let mut changes = ChangeList::new();
    for at in (0..1024).step_by(step) {
        changes.push(Change::Copy(ThinRange {
            begin: ThinBlock(at),
            end: ThinBlock(at + 1),
        }));
    }
    changes
}

/// One per cent of 2 GiB, all over it, so that every leaf of the tree changes.
#[test]
fn an_incremental_backup_takes_twelve() {
    incremental(&Volatile::new(), (Verb::List, "packs"));
}

/// A bucket asks a price for listings: one pack is asked for by name.
#[test]
fn an_incremental_backup_lists_nothing_where_listings_are_dear() {
    incremental(&Volatile::with_dear_listings(), (Verb::Size, "packs"));
}

/// `look` is how the packs of earlier backups are looked for.
#[track_caller]
fn incremental(store: &Arc<Volatile>, look: (Verb, &str)) {
    let cache = tempfile::tempdir().unwrap();
    let block = block_size(2048);
    make(store, Bytes::kib(256)).unwrap();
    let open = || {
        let options = OpenOptions {
            cache_dir: Some(cache.path().to_owned()),
            patience: Arc::new(Impatient),
            ..OpenOptions::default()
        };
        Repository::open(store.clone(), &options).unwrap()
    };
    let back_up = |repository: &Repository, generation, changes: &ChangeList, base| {
        let facts = facts(2048 * MIB, Uuid::new_v4());
        let source = Chunks(generation);
        let options = CreateOptions::default();
        create(
            repository,
            &source,
            changes,
            block,
            base,
            &facts,
            &options,
            &(),
        )
        .unwrap()
    };
    let first = back_up(&open(), 1, &blocks(16), None).backup;
    // The day's look, if there is one.
    let first = back_up(&open(), 1, &blocks(512), Some(&first)).backup;
    let before = store.faults.operations();
    let summary = back_up(&open(), 2, &blocks(100), Some(&first));
    assert_eq!(summary.read_bytes, Bytes(22 * MIB));
    let log = store.faults.log().split_off(before);
    let asked: Vec<_> = log
        .iter()
        .map(|request| {
            (
                request.verb,
                request.object.split('/').next().unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        // Opening: the config, whether it can be created again, the last entry known, and the next.
        (Verb::Get, "config"),
        (Verb::Put, "config"),
        (Verb::Get, "log"),
        (Verb::Get, "log"),
        // Are the packs of earlier backups still there?
        look,
        // The base's tree, all nodes at once.
        (Verb::GetRange, "packs"),
        // Chunks, nodes, where they are; nothing is sent for the sync of most stores.
        (Verb::PutDeferred, "packs"),
        (Verb::PutDeferred, "packs"),
        (Verb::PutDeferred, "index"),
        (Verb::Sync, ""),
        // The commit, whether it is what we wrote, and whether anybody stood there.
        (Verb::Put, "log"),
        (Verb::Get, "log"),
        (Verb::Get, "log"),
    ];
    assert_eq!(asked, expected, "{log:#?}");
}

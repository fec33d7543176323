//! An image file backed up to a directory and brought back: what the engine does with a snapshot, without a pool.
//!
//! `image_backup create IMAGE DIRECTORY [BEGIN:COUNT..]` backs up blocks of 2 MiB: all, or with ranges (none: `-`) those
//! that changed since the latest backup there. `image_backup restore DIRECTORY IMAGE` writes the latest backup to a new
//! file. Prints bytes read, bytes stored and requests. For `cargo xtask bench backup`.

#![expect(clippy::print_stdout, reason = "its figures are its answer")]

use convoy_backup::{BlockReader, CreateOptions, FileReader, FileWriter, create, restore};
use convoy_blockdiff::{Change, ChangeList};
use convoy_objectstore::VfsStore;
use convoy_repository::{
    BackupFacts, BackupRecord, OpenOptions, PoolFacts, Repository, SnapshotFacts, VolumeRecord,
};
use convoy_units::{Bytes, DataBlockSize, ThinBlock, ThinRange};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["create", image, directory, ref ranges @ ..] => back_up(image, directory, ranges),
        ["restore", directory, image] => bring_back(directory, image),
        _ => Err(
            "usage: image_backup create IMAGE DIRECTORY [BEGIN:COUNT..] | restore DIRECTORY IMAGE"
                .into(),
        ),
    }
}

fn back_up(image: &str, directory: &str, ranges: &[&str]) -> Outcome<()> {
    let store = Arc::new(VfsStore::open(directory.as_ref())?);
    let (repository, base) = if ranges.is_empty() {
        let options = convoy_repository::CreateOptions::default();
        (Repository::create(store, &options)?, None)
    } else {
        let repository = Repository::open(store, &OpenOptions::default())?;
        let base = latest(&repository)?;
        (repository, Some(base))
    };
    let source = FileReader::open_direct(image)?;
    let size = source.len();
    let block = DataBlockSize::DEFAULT;
    let mut changes = ChangeList::new();
    if ranges.is_empty() {
        changes.push(copy(0, size.0.div_ceil(block.bytes().0)));
    }
    for range in ranges.iter().filter(|range| **range != "-") {
        let (begin, count) = range.split_once(':').ok_or("a range is BEGIN:COUNT")?;
        changes.push(copy(begin.parse()?, count.parse()?));
    }
    let made = create(
        &repository,
        &source,
        &changes,
        block,
        base.as_ref(),
        &facts(size, block),
        &CreateOptions::default(),
        &(),
    )?;
    println!(
        "{} {} {}",
        made.read_bytes.0, made.stored_bytes.0, made.requests
    );
    Ok(())
}

fn bring_back(directory: &str, image: &str) -> Outcome<()> {
    let store = Arc::new(VfsStore::open(directory.as_ref())?);
    let repository = Repository::open(store, &OpenOptions::default())?;
    let backup = latest(&repository)?;
    let sink = FileWriter::create(image, backup.volume_size)?;
    let done = restore(&repository, &backup, &sink, &())?;
    println!("{} 0 {}", done.written.0, done.requests);
    Ok(())
}

fn latest(repository: &Repository) -> Outcome<BackupRecord> {
    Ok(repository.backups().pop().ok_or("there is no backup")?)
}

fn copy(begin: u64, count: u64) -> Change {
    Change::Copy(ThinRange {
        begin: ThinBlock(begin),
        end: ThinBlock(begin + count),
    })
}

/// One volume, whatever its content.
fn facts(volume_size: Bytes, block_size: DataBlockSize) -> BackupFacts {
    let time = jiff::Timestamp::UNIX_EPOCH;
    BackupFacts {
        op: Uuid::now_v7(),
        volume: VolumeRecord {
            id: Uuid::from_u128(1),
            name: "image".to_owned(),
        },
        volume_size,
        volume_created: time,
        snapshot: SnapshotFacts {
            id: Uuid::now_v7(),
            name: "image".to_owned(),
            created: time,
        },
        filesystem: String::new(),
        driver: "devicemapper".to_owned(),
        host: Uuid::from_u128(2),
        pool: PoolFacts {
            id: Uuid::from_u128(3),
            dev_id: 1,
            transaction: 1,
            block_size: block_size.bytes(),
        },
        labels: BTreeMap::new(),
    }
}

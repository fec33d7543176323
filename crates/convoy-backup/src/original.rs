//! Backups of the original Convoy: brought back and verified, block by block.
//!
//! Blocks are requested, unpacked and hashed by a few threads, each its own block to its end: their order does
//! not matter, and one request at a time would leave a bucket waiting for us most of the time.

use crate::error::Error;
use crate::io::BlockWriter;
use crate::observer::{Observer, Phase};
use crate::restore::RestoreSummary;
use crate::verify::{Problem, VerifyReport};
use convoy_repository::{ORIGINAL_BLOCK, Original, OriginalBackup, OriginalBlock};
use convoy_units::{ByteRange, Bytes};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Threads at most; each holds one block as it is stored and as it is.
const THREADS: usize = 4;

/// Writes a backup of the original's into `sink`, which must read as zeros: what no block holds is not written,
/// and neither is a block of zeros.
///
/// Every block is verified before it is written, and all is durable when this returns. What is written is what the
/// original itself would restore, its mistakes included. On any error the sink is incomplete: do not use it.
/// Errors: `Invalid` for a sink that is too small and for a backup that has no blocks but a file; `Damaged`;
/// `Repository`; `Write`, `Flush`; `Cancelled`. Memory: 16 MiB.
pub fn restore_original(
    original: &Original,
    backup: &OriginalBackup,
    sink: &dyn BlockWriter,
    observer: &dyn Observer,
) -> Result<RestoreSummary, Error> {
    let start = Instant::now();
    let requests = original.counters().requests();
    refuse_file(backup)?;
    if sink.len() < backup.end() {
        return Err(Error::Invalid(format!(
            "the target has {}, and the backup's blocks go up to {}",
            sink.len(),
            backup.end()
        )));
    }
    observer.phase(Phase::Restoring);
    let blocks: Vec<OriginalBlock> = backup
        .blocks
        .iter()
        .filter(|block| !block.is_zero())
        .copied()
        .collect();
    each(original, backup, &blocks, observer, &|block, read| {
        let range = range_of(block);
        let bytes = read.map_err(|source| {
            if source.is_of_one_object() {
                let backup = backup.facts.name.clone();
                Error::Damaged {
                    backup,
                    range,
                    source,
                }
            } else {
                unreachable_store(source)
            }
        })?;
        sink.write_at(range.begin, bytes)
            .map_err(|source| Error::Write { range, source })
    })?;
    sink.flush().map_err(Error::Flush)?;
    Ok(RestoreSummary {
        written: Bytes(blocks.len() as u64 * ORIGINAL_BLOCK),
        chunks: blocks.len() as u64,
        requests: original.counters().requests().saturating_sub(requests),
        duration: start.elapsed(),
    })
}

/// Reads every block of a backup of the original's and checks it. What does not verify is in the report, also
/// that the volume's size is not known; an error means that the check itself could not be done.
pub fn verify_original(
    original: &Original,
    backup: &OriginalBackup,
    observer: &dyn Observer,
) -> Result<VerifyReport, Error> {
    refuse_file(backup)?;
    observer.phase(Phase::Verifying);
    let problems = Mutex::new(Vec::new());
    each(
        original,
        backup,
        &backup.blocks,
        observer,
        &|block, read| {
            let (object, what) = match read {
                Ok(_) => return Ok(()),
                Err(convoy_repository::Error::Damaged { object, what }) => (object, what),
                Err(convoy_repository::Error::Unreadable { object, source }) => {
                    (object, convoy_fault::chain(&source))
                }
                Err(source) => return Err(unreachable_store(source)),
            };
            let range = Some(range_of(block));
            let mut problems = problems.lock().unwrap_or_else(PoisonError::into_inner);
            problems.push(Problem {
                object,
                range,
                what,
            });
            Ok(())
        },
    )?;
    let mut problems = problems
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    problems.sort_by_key(|problem| problem.range.map(|range| range.begin));
    let bad = problems.len() as u64;
    if let Some(what) = &backup.facts.problem {
        problems.insert(
            0,
            Problem {
                object: format!("backup {}", backup.facts.name),
                range: None,
                what: what.clone(),
            },
        );
    }
    let more_problems = problems.len().saturating_sub(crate::verify::KEPT) as u64;
    problems.truncate(crate::verify::KEPT);
    let good = backup.blocks.len() as u64 - bad;
    Ok(VerifyReport {
        problems,
        more_problems,
        chunks: good,
        bytes: Bytes(good * ORIGINAL_BLOCK),
    })
}

/// A backup in one file would be restored as a volume of zeros.
fn refuse_file(backup: &OriginalBackup) -> Result<(), Error> {
    if backup.facts.is_single_file {
        return Err(Error::Invalid(format!(
            "backup {} is one file of driver {:?}, not blocks",
            backup.facts.name, backup.facts.driver
        )));
    }
    Ok(())
}

fn range_of(block: &OriginalBlock) -> ByteRange {
    ByteRange {
        begin: block.offset,
        end: block.end(),
    }
}

fn unreachable_store(source: convoy_repository::Error) -> Error {
    Error::Repository {
        doing: "read from the original's repository",
        source,
    }
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    done: u64,
    failure: Option<Error>,
}

type Read<'a> = Result<&'a [u8], convoy_repository::Error>;

/// Reads each block and hands it on, from several threads at once; ends with the first failure.
fn each(
    original: &Original,
    backup: &OriginalBackup,
    blocks: &[OriginalBlock],
    observer: &dyn Observer,
    deliver: &(dyn Fn(&OriginalBlock, Read<'_>) -> Result<(), Error> + Sync),
) -> Result<(), Error> {
    let total = Bytes(blocks.len() as u64 * ORIGINAL_BLOCK);
    let next = AtomicUsize::new(0);
    let shared = Mutex::new(Shared::default());
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    observer.progress(Bytes(0), total);
    let goes_on = || {
        let mut shared = lock();
        if shared.failure.is_none() && observer.cancelled() {
            shared.failure = Some(Error::Cancelled);
        }
        shared.failure.is_none()
    };
    let work = || {
        let mut plain = Vec::new();
        while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !goes_on() {
                return;
            }
            let read = original.read_block(&backup.facts, block, &mut plain);
            let delivered = deliver(block, read.map(|()| &*plain));
            let mut shared = lock();
            match delivered {
                Ok(()) => {
                    shared.done += ORIGINAL_BLOCK;
                    observer.progress(Bytes(shared.done), total);
                }
                // The first is the one that is told.
                Err(error) => drop(shared.failure.get_or_insert(error)),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..threads.min(THREADS).min(blocks.len()) {
            let started = std::thread::Builder::new().spawn_scoped(scope, work);
            if let Err(error) = started {
                tracing::debug!(%error, "reading with fewer threads");
                break;
            }
        }
        work();
    });
    match shared
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .failure
    {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;

//! The first stage: reads what changed, each byte once.

use super::spares::Spares;
use super::{Done, Span, Task};
use crate::error::Error;
use crate::select::Work;
use convoy_units::ByteRange;
use std::sync::mpsc::{Receiver, Sender, SyncSender};

/// Bytes read at once, if chunks are not larger.
const SPAN: u64 = 1 << 20;

/// Reads what is to be read, each byte once. Ends early, without an error of its own, when the stages
/// after it are gone.
pub(super) fn read(
    task: &Task<'_>,
    work: impl Iterator<Item = Work>,
    tokens: &Receiver<()>,
    spans: &SyncSender<Span>,
    done: &Sender<(u64, Done)>,
    spares: &Spares,
) -> Result<(), Error> {
    let chunk_size = task.repository.chunk_size().0;
    let step = (SPAN / chunk_size).max(1);
    let mut seq = 0;
    for item in work {
        let chunks = match item {
            Work::Hole(chunks) => {
                if tokens.recv().is_err() || done.send((seq, Done::Holes(chunks))).is_err() {
                    return Ok(());
                }
                seq += 1;
                continue;
            }
            Work::Read(chunks) => chunks,
        };
        let mut first = chunks.start;
        while first < chunks.end {
            let end = (first + step).min(chunks.end);
            if tokens.recv().is_err() {
                return Ok(());
            }
            let span = read_span(task, seq, first, end, spares.take())?;
            if spans.send(span).is_err() {
                return Ok(());
            }
            seq += 1;
            first = end;
        }
    }
    Ok(())
}

fn read_span(
    task: &Task<'_>,
    seq: u64,
    first: u64,
    end: u64,
    spare: Vec<u8>,
) -> Result<Span, Error> {
    let chunk_size = task.repository.chunk_size().0;
    let range = ByteRange {
        begin: first * chunk_size,
        end: (end * chunk_size).min(task.size.0),
    };
    let failed = |source| Error::Read { range, source };
    let length = usize::try_from((end - first) * chunk_size)
        .map_err(|e| failed(std::io::Error::other(e)))?;
    let read = range.len().0;
    let mut bytes = spare;
    bytes.resize(length, 0);
    let wanted = usize::try_from(read).unwrap_or(length);
    let (inside, filling) = bytes
        .split_at_mut_checked(wanted)
        .expect("a range is not longer than its chunks");
    // The buffer may have been used before.
    filling.fill(0);
    task.source.read_at(range.begin, inside).map_err(failed)?;
    Ok(Span {
        seq,
        first,
        read,
        bytes,
    })
}

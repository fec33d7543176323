//! What a pack says that it holds: its header and the table at its end (format §6).
//!
//! Reads need neither, since an index says where blobs are; but an index is rebuilt from them.

use super::{END, End, HEADER, Header, Placed};
use crate::codec::{BLOB_HEADER, BlobHeader, read_header};
use crate::keys::BlobKind;
use uuid::Uuid;
use zerocopy::FromBytes;

/// What a whole pack holds, by its table; `Err` names the broken rule.
///
/// Rebuilds an index from packs alone.
pub fn contents(repository: Uuid, bytes: &[u8]) -> Result<(BlobKind, Vec<Placed>), String> {
    let length = bytes.len() as u64;
    let tail = bytes.len().checked_sub(tail_len(bytes, length)?);
    let tail = tail
        .and_then(|at| bytes.get(at..))
        .ok_or("its table does not fit")?;
    read_table(repository, bytes, tail, length)
}

/// How many bytes the table and the end take in a pack of `length` bytes whose last ones these are.
pub(crate) fn tail_len(bytes: &[u8], length: u64) -> Result<usize, String> {
    let (_, end) = End::read_from_suffix(bytes).map_err(|_| "it is shorter than its end")?;
    if end.magic != *b"CNVYPEND" || end.length.get() != length {
        return Err("it does not end like a pack".to_owned());
    }
    if end.reserved.get() != 0 || end.zeros != [0; 8] {
        return Err("bytes of its end that must be zero are not".to_owned());
    }
    let count = usize::try_from(end.count.get()).unwrap_or(usize::MAX);
    count
        .checked_mul(BLOB_HEADER)
        .and_then(|table| table.checked_add(END))
        .filter(|tail| HEADER as u64 + *tail as u64 <= length)
        .ok_or_else(|| "its table does not fit".to_owned())
}

/// What a pack of `length` bytes holds, by at least its header, and exactly its table and end.
pub(crate) fn read_table(
    repository: Uuid,
    header: &[u8],
    tail: &[u8],
    length: u64,
) -> Result<(BlobKind, Vec<Placed>), String> {
    let content = read_content(repository, header)?;
    let (table, end) = End::read_from_suffix(tail).map_err(|_| "it is shorter than its end")?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(header.get(..HEADER).unwrap_or_default());
    hasher.update(table);
    if *hasher.finalize().as_bytes() != end.hash {
        return Err("its header and table do not match their hash".to_owned());
    }
    let table_at = length.saturating_sub(tail.len() as u64);
    place(table, table_at, content).map(|placed| (content, placed))
}

/// What the header says that is in it.
fn read_content(repository: Uuid, bytes: &[u8]) -> Result<BlobKind, String> {
    let (header, _) =
        Header::read_from_prefix(bytes).map_err(|_| "it is shorter than its header")?;
    if header.magic != *b"CNVYPACK" || header.version.get() != 1 || header.cipher != 0 {
        return Err("it does not begin like a pack of a known version".to_owned());
    }
    if header.flags.get() != 0 || header.salt != [0; 32] {
        return Err("bytes of its header that must be zero are not".to_owned());
    }
    if header.repository != *repository.as_bytes() {
        return Err("it belongs to another repository".to_owned());
    }
    BlobKind::from_code(header.content).ok_or_else(|| "its content is of no known kind".to_owned())
}

fn place(table: &[u8], table_at: u64, content: BlobKind) -> Result<Vec<Placed>, String> {
    let mut at = HEADER as u64;
    let mut placed = Vec::new();
    for (number, raw) in (0..).zip(table.chunks_exact(BLOB_HEADER)) {
        let header: BlobHeader = read_header(raw)?;
        if header.kind != content.code() || header.number() != number {
            return Err(format!(
                "blob {number} in its table is of another kind or number"
            ));
        }
        placed.push(Placed {
            id: crate::id::BlobId(header.id),
            offset: u32::try_from(at).map_err(|_| "its blobs reach past 4 GiB")?,
            stored: header.stored.get(),
        });
        at += BLOB_HEADER as u64 + u64::from(header.stored.get());
    }
    if at == table_at {
        Ok(placed)
    } else {
        Err("its blobs do not fill it".to_owned())
    }
}

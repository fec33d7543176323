//! Index segments: which pack holds each id, as sorted fixed records (format §7).

use crate::id::{BlobId, ObjectHash, SessionId};
use crate::keys::BlobKind;
use crate::pack::{MAX_PACK, MIN_PACK, ObjectName};
use uuid::Uuid;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Records of one segment, at most.
pub(crate) const MAX_RECORDS: usize = 1 << 20;
/// Packs of one segment, at most.
pub(crate) const MAX_PACKS: usize = 1 << 16;
pub(crate) const HEADER: usize = 64;
/// Bytes of a segment, at most: 49 MB.
pub(crate) const MAX_LEN: u64 =
    (HEADER + MAX_PACKS * PACK_ENTRY + FANOUT + MAX_RECORDS * RECORD) as u64;
pub(crate) const PACK_ENTRY: usize = 44;
pub(crate) const FANOUT: usize = 256 * 4;
pub(crate) const RECORD: usize = 44;

/// A pack as a segment describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackEntry {
    /// Its name.
    pub name: ObjectName,
    /// Its length in bytes.
    pub length: u32,
    /// What it holds.
    pub content: BlobKind,
}

/// One record: `pack` is a number in the segment's own pack table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// The id.
    pub id: BlobId,
    /// Which pack.
    pub pack: u32,
    /// Offset of the blob's header in it.
    pub offset: u32,
    /// Bytes of its payload.
    pub stored: u32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    version: U16,
    reserved: U16,
    packs: U32,
    records: U32,
    zeros: [u8; 12],
    repository: [u8; 16],
    session: [u8; 16],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawPack {
    session: [u8; 16],
    seq: U32,
    length: U32,
    content: U32,
    hash: [u8; 16],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawRecord {
    id: [u8; 32],
    pack: U32,
    offset: U32,
    stored: U32,
}

/// The bytes of a segment. `records` need not be sorted, and are afterwards.
pub(crate) fn encode(
    repository: Uuid,
    session: SessionId,
    packs: &[PackEntry],
    records: &mut [Record],
) -> Vec<u8> {
    assert!(
        packs.len() <= MAX_PACKS && records.len() <= MAX_RECORDS,
        "sessions close a segment long before readers refuse it"
    );
    records.sort_unstable();
    let count =
        |n: usize| U32::new(u32::try_from(n).expect("bounded by MAX_RECORDS and MAX_PACKS"));
    let header = RawHeader {
        magic: *b"CNVYINDX",
        version: U16::new(1),
        reserved: U16::new(0),
        packs: count(packs.len()),
        records: count(records.len()),
        zeros: [0; 12],
        repository: *repository.as_bytes(),
        session: session.0,
    };
    let length = HEADER + packs.len() * PACK_ENTRY + FANOUT + records.len() * RECORD;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(header.as_bytes());
    for pack in packs {
        let raw = RawPack {
            session: pack.name.session.0,
            seq: U32::new(pack.name.seq),
            length: U32::new(pack.length),
            content: U32::new(u32::from(pack.content.code())),
            hash: pack.name.hash.0,
        };
        bytes.extend_from_slice(raw.as_bytes());
    }
    for below in fanout(records) {
        bytes.extend_from_slice(&below.to_le_bytes());
    }
    for record in &*records {
        bytes.extend_from_slice(raw_record(record).as_bytes());
    }
    bytes
}

/// How many of the sorted records have a first byte at most 0, 1 … 255.
fn fanout(records: &[Record]) -> Vec<u32> {
    let below = |first| records.partition_point(|record| record.id.0[0] <= first);
    (0..=255)
        .map(|first| u32::try_from(below(first)).expect("bounded by MAX_RECORDS"))
        .collect()
}

fn raw_record(record: &Record) -> RawRecord {
    RawRecord {
        id: record.id.0,
        pack: U32::new(record.pack),
        offset: U32::new(record.offset),
        stored: U32::new(record.stored),
    }
}

/// The parts before the records: enough to find a record by a few range reads.
#[derive(Debug, Clone)]
pub struct Head {
    /// Who made it.
    pub session: SessionId,
    /// The pack table.
    pub packs: Vec<PackEntry>,
    /// How many records have a first byte at most this.
    pub fanout: Vec<u32>,
    /// How many records there are.
    pub records: u32,
}

impl Head {
    /// Where the records begin.
    pub(crate) fn records_at(&self) -> u64 {
        (HEADER + self.packs.len() * PACK_ENTRY + FANOUT) as u64
    }

    /// The bytes of the records that may hold `id`.
    pub(crate) fn bucket(&self, id: &BlobId) -> std::ops::Range<u64> {
        let first = usize::from(id.0[0]);
        let at = |n: usize| self.fanout.get(n).copied().unwrap_or(0);
        let from = if first == 0 { 0 } else { at(first - 1) };
        let start = self.records_at();
        start + u64::from(from) * RECORD as u64..start + u64::from(at(first)) * RECORD as u64
    }
}

/// How many bytes the parts before the records take, from the first 64.
pub(crate) fn head_len(header: &[u8]) -> Result<usize, String> {
    let (raw, _) =
        RawHeader::read_from_prefix(header).map_err(|_| "it is shorter than its header")?;
    let packs = usize::try_from(raw.packs.get()).unwrap_or(usize::MAX);
    if raw.magic != *b"CNVYINDX" || raw.version.get() != 1 {
        return Err("it does not begin like an index segment of a known version".to_owned());
    }
    if raw.reserved.get() != 0 || raw.zeros != [0; 12] {
        return Err("bytes of its header that must be zero are not".to_owned());
    }
    if packs > MAX_PACKS || raw.records.get() as usize > MAX_RECORDS {
        return Err("it is larger than a segment may be".to_owned());
    }
    Ok(HEADER + packs * PACK_ENTRY + FANOUT)
}

/// The head of a segment, from at least its first `head_len` bytes.
pub(crate) fn decode_head(repository: Uuid, bytes: &[u8]) -> Result<Head, String> {
    let length = head_len(bytes)?;
    let head = bytes.get(..length).ok_or("it ends within its pack table")?;
    let (raw, rest) =
        RawHeader::read_from_prefix(head).map_err(|_| "it is shorter than its header")?;
    if raw.repository != *repository.as_bytes() {
        return Err("it belongs to another repository".to_owned());
    }
    let (table, fanout) = rest
        .split_at_checked(length - HEADER - FANOUT)
        .ok_or("it is too short")?;
    let packs = table
        .chunks_exact(PACK_ENTRY)
        .map(pack_entry)
        .collect::<Result<Vec<_>, _>>()?;
    let fanout: Vec<u32> = fanout
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes))
        .collect();
    if !fanout.is_sorted() || fanout.last() != Some(&raw.records.get()) {
        return Err("its fan-out does not match its records".to_owned());
    }
    Ok(Head {
        session: SessionId(raw.session),
        packs,
        fanout,
        records: raw.records.get(),
    })
}

fn pack_entry(bytes: &[u8]) -> Result<PackEntry, String> {
    let raw = RawPack::read_from_bytes(bytes).map_err(|_| "its pack table is cut short")?;
    let content = u8::try_from(raw.content.get())
        .ok()
        .and_then(BlobKind::from_code);
    if !(MIN_PACK..=MAX_PACK).contains(&(raw.length.get() as usize)) {
        return Err("it names a pack of a length that no pack has".to_owned());
    }
    Ok(PackEntry {
        name: ObjectName {
            session: SessionId(raw.session),
            seq: raw.seq.get(),
            hash: ObjectHash(raw.hash),
        },
        length: raw.length.get(),
        content: content.ok_or("it names a pack of no known content")?,
    })
}

/// The records in `bytes`, which hold whole ones only; each must lie inside its pack.
pub(crate) fn decode_records<'a>(
    head: &'a Head,
    bytes: &'a [u8],
) -> impl Iterator<Item = Result<Record, String>> + 'a {
    bytes.chunks_exact(RECORD).map(move |raw| {
        let raw = RawRecord::read_from_bytes(raw).map_err(|_| "a record is cut short")?;
        let record = Record {
            id: BlobId(raw.id),
            pack: raw.pack.get(),
            offset: raw.offset.get(),
            stored: raw.stored.get(),
        };
        let pack = usize::try_from(record.pack)
            .ok()
            .and_then(|n| head.packs.get(n));
        let pack = pack.ok_or("a record names a pack that is not in its table")?;
        // Its header in the table and the pack's end come after it.
        let end = u64::from(record.offset) + 64 + u64::from(record.stored) + 128;
        if record.offset < 64 || end > u64::from(pack.length) {
            return Err("a record points outside its pack".to_owned());
        }
        Ok(record)
    })
}

/// A whole segment: its head and its records, in order.
pub fn decode(repository: Uuid, bytes: &[u8]) -> Result<(Head, Vec<Record>), String> {
    let head = decode_head(repository, bytes)?;
    let at = usize::try_from(head.records_at()).unwrap_or(usize::MAX);
    let body = bytes.get(at..).ok_or("it is too short")?;
    if body.len() != head.records as usize * RECORD {
        return Err("it is not as long as its header says".to_owned());
    }
    let records = decode_records(&head, body).collect::<Result<Vec<_>, _>>()?;
    if !records.is_sorted_by(|a, b| (a.id, a.pack) <= (b.id, b.pack)) {
        return Err("its records are not in order".to_owned());
    }
    if head.fanout != fanout(&records) {
        return Err("its fan-out does not match its records".to_owned());
    }
    Ok((head, records))
}

#[cfg(test)]
mod tests {
    //! Segments come back as written, and every truncation is seen.

    use super::*;

    fn sample() -> (Vec<PackEntry>, Vec<Record>) {
        let name = ObjectName {
            session: SessionId([5; 16]),
            seq: 2,
            hash: ObjectHash([6; 16]),
        };
        let packs = vec![PackEntry {
            name,
            length: 1 << 20,
            content: BlobKind::Chunk,
        }];
        let records = (0..200u8)
            .map(|n| Record {
                id: BlobId(*blake3::hash(&[n]).as_bytes()),
                pack: 0,
                offset: 64 + u32::from(n),
                stored: 9,
            })
            .collect();
        (packs, records)
    }

    #[test]
    fn there_and_back() {
        let (packs, mut records) = sample();
        let repository = Uuid::from_bytes([1; 16]);
        let bytes = encode(repository, SessionId([5; 16]), &packs, &mut records.clone());
        let (head, read) = decode(repository, &bytes).unwrap();
        records.sort_unstable();
        assert_eq!((head.packs.clone(), read), (packs, records.clone()));
        for record in &records {
            let bucket = head.bucket(&record.id);
            let at = |n: u64| usize::try_from(n).unwrap();
            let bytes = &bytes[at(bucket.start)..at(bucket.end)];
            assert!(decode_records(&head, bytes).any(|found| found.as_ref() == Ok(record)));
        }
        for cut in 0..bytes.len() {
            assert!(decode(repository, &bytes[..cut]).is_err());
        }
        assert!(decode(Uuid::nil(), &bytes).is_err());
    }

    #[test]
    fn records_outside_their_pack_are_refused() {
        let (packs, mut records) = sample();
        records[0].offset = 1 << 20;
        let bytes = encode(
            Uuid::nil(),
            SessionId([5; 16]),
            &packs,
            &mut records.clone(),
        );
        assert!(
            decode(Uuid::nil(), &bytes)
                .unwrap_err()
                .contains("outside its pack")
        );
    }
}

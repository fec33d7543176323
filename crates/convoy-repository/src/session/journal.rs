//! What a session has sent, on this host's disk: so that who comes after a crash need not send it again.
//!
//! Only packs that the store has made durable are in it. It is a help and no authority: lost, torn or too old
//! it costs an upload, and what it says is compared with the log and the store before it is believed
//! (protocol §4: a crashed session is gone on with under its own name). Layout: a header of 64 bytes (`CNVYJRNL`,
//! version, repository, session, slot it began at, hash of all that), then frames: length, first pack number that
//! is free after it, hash of that number and the segment, and an index segment of the packs (format §7).

use crate::id::{ObjectHash, SessionId};
use crate::pack::ObjectName;
use crate::segment::{self, PackEntry, Record};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const MAGIC: [u8; 8] = *b"CNVYJRNL";
const HEADER: usize = 64;
const FRAME: usize = 24;
/// Packs in one frame. Each frame costs a sync of the store.
const FRAME_PACKS: usize = 8;
/// Pack numbers that are taken for used since the last frame: more than any session uses, since frames stop where the
/// store cannot make packs durable and at [`MOST_RECORDS`]. No number may ever be used twice; there are 4,096 times
/// so many, for as many crashes of one session.
pub(super) const MARGIN: u32 = 1 << 20;
/// Records of all frames: 256 GiB of new chunks. What is sent beyond that is sent again after a crash.
const MOST_RECORDS: usize = 1 << 20;

/// A journal being written.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    repository: Uuid,
    session: SessionId,
    began: u64,
    file: Option<File>,
    closed: Vec<Packed>,
    sent: Vec<Packed>,
    records: usize,
}

/// A pack and what is in it; the records' own pack number is of no account.
pub(super) type Packed = (PackEntry, Vec<Record>);

/// What a journal tells of a session that did not come to its end.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) session: SessionId,
    pub(super) began: u64,
    /// The first pack number that was never used.
    pub(super) next: u32,
    pub(super) packs: Vec<Packed>,
    /// Bytes of the file that are whole.
    length: u64,
}

impl Journal {
    /// Of a session; nothing is written before the first frame.
    pub(super) fn new(path: &Path, repository: Uuid, session: SessionId, began: u64) -> Self {
        Self {
            path: path.to_owned(),
            repository,
            session,
            began,
            file: None,
            closed: Vec::new(),
            sent: Vec::new(),
            records: 0,
        }
    }

    /// Goes on with one that was read.
    pub(super) fn go_on(path: &Path, repository: Uuid, told: &Told) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(path)?;
        // What was torn is cut off, or nobody would read what comes after it.
        file.set_len(told.length)?;
        let records = told.packs.iter().map(|(_, records)| records.len()).sum();
        Ok(Self {
            file: Some(file),
            records,
            ..Self::new(path, repository, told.session, told.began)
        })
    }

    /// A pack is full; it is not in the store yet.
    pub(super) fn closed(&mut self, pack: PackEntry, records: Vec<Record>) {
        if self.records + records.len() <= MOST_RECORDS {
            self.records += records.len();
            self.closed.push((pack, records));
        }
    }

    /// A pack is in the store. Whether a frame is full.
    pub(super) fn sent(&mut self, pack: &ObjectName) -> bool {
        if let Some(at) = self
            .closed
            .iter()
            .position(|(entry, _)| entry.name == *pack)
        {
            self.sent.push(self.closed.swap_remove(at));
        }
        self.sent.len() >= FRAME_PACKS
    }

    /// What is to be made durable, and then written.
    pub(super) fn take(&mut self) -> Vec<Packed> {
        std::mem::take(&mut self.sent)
    }

    /// Writes a frame of packs that are durable; `packs` is how many the session has closed.
    pub(super) fn write(&mut self, frame: Vec<Packed>, packs: u32) -> io::Result<()> {
        if frame.is_empty() {
            return Ok(());
        }
        let mut entries = Vec::with_capacity(frame.len());
        let mut records = Vec::new();
        for (number, (entry, of_pack)) in (0..).zip(frame) {
            entries.push(entry);
            records.extend(of_pack.into_iter().map(|record| Record {
                pack: number,
                ..record
            }));
        }
        let segment = segment::encode(self.repository, self.session, &entries, &mut records);
        let next = packs.saturating_add(MARGIN).to_le_bytes();
        let length = u32::try_from(segment.len()).map_err(io::Error::other)?;
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(next);
        bytes.extend(ObjectHash::of(&[&next[..], &segment].concat()).0);
        bytes.extend(segment);
        let file = self.open()?;
        file.write_all(&bytes)?;
        file.sync_data()
    }

    fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let mut file = OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&self.path)?;
            file.write_all(&header(self.repository, self.session, self.began))?;
            self.file = Some(file);
        }
        Ok(self.file.as_mut().expect("it was opened above"))
    }

    /// There is nothing to go on with any more.
    pub(super) fn remove(self) {
        // A leftover is found to be of a session that has committed.
        drop(std::fs::remove_file(self.path));
    }
}

fn header(repository: Uuid, session: SessionId, began: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(repository.as_bytes());
    bytes.extend(session.0);
    bytes.extend(began.to_le_bytes());
    let hash = ObjectHash::of(&bytes);
    bytes.extend(hash.0);
    bytes
}

/// What a journal of this repository tells, as far as it is whole. `None` if it tells nothing.
pub(super) fn read(path: &Path, repository: Uuid) -> Option<Told> {
    /// No journal of ours is longer: its records, and a frame's overhead for each pack.
    const LONGEST: u64 = 256 << 20;
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    let (head, mut rest) = bytes.split_at_checked(HEADER)?;
    let session = SessionId(*head.get(24..)?.first_chunk()?);
    let began = u64::from_le_bytes(*head.get(40..)?.first_chunk()?);
    if head != header(repository, session, began) {
        return None;
    }
    let mut told = Told {
        session,
        began,
        next: 0,
        packs: Vec::new(),
        length: HEADER as u64,
    };
    while let Some((next, packs, after)) = frame(repository, session, rest) {
        told.next = told.next.max(next);
        told.packs.extend(packs);
        told.length += (rest.len() - after.len()) as u64;
        rest = after;
    }
    (!told.packs.is_empty()).then_some(told)
}

/// The first frame and what comes after it, if it is whole.
fn frame(repository: Uuid, session: SessionId, bytes: &[u8]) -> Option<(u32, Vec<Packed>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(FRAME)?;
    let length = usize::try_from(u32::from_le_bytes(*head.first_chunk()?)).ok()?;
    let next: [u8; 4] = *head.get(4..)?.first_chunk()?;
    let (segment, after) = rest.split_at_checked(length)?;
    if head.get(8..)? != ObjectHash::of(&[&next[..], segment].concat()).0 {
        return None;
    }
    let (head, records) = segment::decode(repository, segment).ok()?;
    if head.session != session || head.packs.iter().any(|pack| pack.name.session != session) {
        return None;
    }
    let mut packs: Vec<Packed> = head
        .packs
        .into_iter()
        .map(|pack| (pack, Vec::new()))
        .collect();
    for record in records {
        let number = usize::try_from(record.pack).ok()?;
        packs.get_mut(number)?.1.push(record);
    }
    Some((u32::from_le_bytes(next), packs, after))
}

#[cfg(test)]
mod tests {
    //! What was written is read; what is torn or another's is not.

    use super::*;
    use crate::id::BlobId;
    use crate::keys::BlobKind;

    fn packed(session: SessionId, seq: u32) -> Packed {
        let name = ObjectName {
            session,
            seq,
            hash: ObjectHash([seq.to_le_bytes()[0]; 16]),
        };
        let entry = PackEntry {
            name,
            length: 4096,
            content: BlobKind::Chunk,
        };
        let record = Record {
            id: BlobId([seq.to_le_bytes()[0]; 32]),
            pack: 0,
            offset: 64,
            stored: 100,
        };
        (entry, vec![record])
    }

    fn written(path: &Path, repository: Uuid, frames: u32) -> SessionId {
        let session = SessionId([7; 16]);
        let mut journal = Journal::new(path, repository, session, 5);
        for seq in 0..frames {
            let (entry, records) = packed(session, seq);
            journal.closed(entry, records);
            assert!(!journal.sent(&entry.name));
            let frame = journal.take();
            journal.write(frame, seq + 1).unwrap();
        }
        session
    }

    #[test]
    fn what_is_whole_is_told_and_a_torn_end_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let repository = Uuid::from_u128(1);
        let session = written(&path, repository, 3);
        let whole = std::fs::read(&path).unwrap();
        let told = read(&path, repository).unwrap();
        assert_eq!(
            (told.session, told.began, told.next),
            (session, 5, 3 + MARGIN)
        );
        assert_eq!(told.packs, [0, 1, 2].map(|seq| packed(session, seq)));
        let mut counts = std::collections::BTreeSet::new();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            counts.insert(read(&path, repository).map_or(0, |told| told.packs.len()));
        }
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
        // Any byte that is another ends what is told there.
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let count = read(&path, repository).map_or(0, |told| told.packs.len());
            assert!(count < 3, "byte {at}");
        }
    }

    #[test]
    fn another_repositorys_is_not_ours_and_one_that_was_torn_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let repository = Uuid::from_u128(1);
        let session = written(&path, repository, 2);
        assert!(read(&path, Uuid::from_u128(2)).is_none());
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let told = read(&path, repository).unwrap();
        assert_eq!(told.packs.len(), 1);
        let mut journal = Journal::go_on(&path, repository, &told).unwrap();
        journal.write(vec![packed(session, 80)], 81).unwrap();
        let told = read(&path, repository).unwrap();
        assert_eq!(told.packs, [packed(session, 0), packed(session, 80)]);
        assert_eq!(told.next, 81 + MARGIN);
        journal.remove();
        assert!(read(&path, repository).is_none());
    }
}

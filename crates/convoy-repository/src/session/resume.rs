//! Going on where a session was cut short.

use super::journal::{Journal, MARGIN, Told, read};
use super::{SEGMENT_RECORDS, Session};
use crate::error::Error;
use crate::pack::ObjectName;
use crate::repository::Repository;
use crate::segment::{PackEntry, Record};
use std::collections::HashSet;
use std::path::Path;
use uuid::Uuid;

impl Repository {
    /// [`Repository::begin`], with a journal at `path` of what is sent. If one is there of a session that did not
    /// come to its end, that session is gone on with: what it had sent is not sent again.
    ///
    /// One writer at a time may have this journal. It is a file of this host; losing it costs an upload.
    pub fn begin_journaled(&self, base: Option<Uuid>, path: &Path) -> Result<Session, Error> {
        let fresh = self.begin(base)?;
        let told = read(path, self.id()).filter(|told| !self.has_committed(told));
        if let Some(told) = told
            && let Some(session) = self.go_on(base, path, told)?
        {
            return Ok(session);
        }
        let journal = Journal::new(path, self.id(), fresh.id, fresh.began);
        fresh.state().journal = Some(journal);
        Ok(fresh)
    }

    fn has_committed(&self, told: &Told) -> bool {
        let log = &self.inner.log;
        log.with_fold(|fold| fold.has_committed(told.session))
    }

    /// `None` if nothing is left of it.
    fn go_on(
        &self,
        base: Option<Uuid>,
        path: &Path,
        mut told: Told,
    ) -> Result<Option<Session>, Error> {
        let Ok(journal) = Journal::go_on(path, self.id(), &told) else {
            return Ok(None);
        };
        let log = &self.inner.log;
        log.with_fold(|fold| {
            told.packs
                .retain(|(pack, _)| !fold.dead().contains(pack.name.pack()));
        });
        let mut kept = Vec::new();
        for (pack, records) in told.packs {
            // Asked for each: one that vanished must not be named by a backup.
            if self.pack_size(&pack.name)? == Some(u64::from(pack.length)) {
                kept.push((pack, records));
            }
        }
        // Without a number left that was surely never used, a session of its own is what remains.
        if kept.is_empty() || told.next > u32::MAX - MARGIN {
            return Ok(None);
        }
        let mut session = Session::new(self.clone(), told.session, told.began, base)?;
        let packs = kept.len();
        session.adopt(kept, told.next)?;
        session.state().journal = Some(journal);
        // A collector may have warned of them meanwhile: then it is told that they are wanted.
        session.poll()?;
        tracing::info!(session = %session.id, packs, "going on with an interrupted session");
        Ok(Some(session))
    }
}

impl Session {
    /// Takes over what the session had sent.
    fn adopt(&mut self, packs: Vec<(PackEntry, Vec<Record>)>, next: u32) -> Result<(), Error> {
        let ids = packs.iter().flat_map(|(_, records)| records);
        self.adopted = ids.map(|record| record.id).collect::<HashSet<_>>();
        let mut state = self.state();
        let adopted = u32::try_from(packs.len()).expect("a journal tells of fewer");
        (state.packs, state.passed_over) = (next, next.saturating_sub(adopted));
        for (pack, records) in packs {
            let number = u32::try_from(state.waiting.len()).expect("a segment is written before");
            state.uses.insert(pack.name.pack());
            state.stored += u64::from(pack.length);
            state.waiting.push(pack);
            let records = records.into_iter().map(|record| Record {
                pack: number,
                ..record
            });
            state.records.extend(records);
            if state.records.len() >= SEGMENT_RECORDS || state.waiting.len() >= self.segment_packs {
                self.write_segment(&mut state)?;
            }
        }
        Ok(())
    }

    /// How many chunks and nodes an earlier process had sent for this session.
    pub fn adopted(&self) -> usize {
        self.adopted.len()
    }

    /// Makes durable what was sent, and writes it into the journal. To be called when the session is given up; by
    /// itself it does so every few packs. That it cannot costs an upload later, and nothing now.
    pub fn checkpoint(&self) {
        let Some(frame) = self.state().journal.as_mut().map(Journal::take) else {
            return;
        };
        if frame.is_empty() {
            return;
        }
        // Only what survives a power cut of the store may be called sent.
        if let Err(error) = self.repository.inner.store.sync() {
            tracing::debug!("no checkpoint: {error}");
            return;
        }
        let mut state = self.state();
        let packs = state.packs;
        if let Some(journal) = state.journal.as_mut()
            && let Err(error) = journal.write(frame, packs)
        {
            tracing::warn!("what was sent is not in the journal: {error}");
        }
    }

    /// A pack is in the store.
    pub(super) fn note_sent(&self, pack: &ObjectName) {
        let is_full = |journal: &mut Journal| journal.sent(pack);
        if self.state().journal.as_mut().is_some_and(is_full) {
            self.checkpoint();
        }
    }

    /// The backup exists: there is nothing to go on with.
    pub(super) fn forget_journal(&self) {
        let journal = self.state().journal.take();
        if let Some(journal) = journal {
            journal.remove();
        }
    }
}

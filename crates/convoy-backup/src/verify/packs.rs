//! What packs say of themselves, checked against what was read from them.
//!
//! No read needs a pack's header and table, so nothing else would notice that they are damaged, and an
//! index could not be rebuilt from them on the day it is needed.

use convoy_repository::{Error, Found, ObjectName, PackEntry, Repository};
use std::collections::{HashMap, VecDeque};

/// Offsets of blobs that are held: 16 MiB, of a terabyte of chunks.
const HELD: usize = 4 << 20;

/// The tables of the packs met so far.
pub(super) struct PackTables<'a> {
    repository: &'a Repository,
    /// Offsets of the blobs in order; `None` if the table is damaged, or no longer held.
    tables: HashMap<ObjectName, Option<Vec<u32>>>,
    /// Packs whose tables are held, oldest first.
    held: VecDeque<ObjectName>,
    offsets: usize,
    limit: usize,
}

impl<'a> PackTables<'a> {
    pub(super) fn new(repository: &'a Repository) -> Self {
        Self {
            repository,
            tables: HashMap::new(),
            held: VecDeque::new(),
            offsets: 0,
            limit: HELD,
        }
    }

    /// Compares what was read with the table of its pack, which is read the first time: up to three
    /// requests for each pack. `Damaged` names the pack, once for its table.
    pub(super) fn compare(&mut self, found: &Found) -> Result<(), Error> {
        let pack = &found.location.pack;
        if !self.tables.contains_key(&pack.name) {
            self.load(pack)?;
        }
        let Some(Some(offsets)) = self.tables.get(&pack.name) else {
            return Ok(());
        };
        let number = usize::try_from(found.number).ok();
        let there = number.and_then(|number| offsets.get(number));
        if there == Some(&found.location.offset) {
            return Ok(());
        }
        Err(Error::Damaged {
            object: pack.name.pack_key().to_string(),
            what: format!(
                "the blob at byte {} says that it is number {}, and the table does not",
                found.location.offset, found.number
            ),
        })
    }

    fn load(&mut self, pack: &PackEntry) -> Result<(), Error> {
        // Told once, whatever becomes of it.
        self.tables.insert(pack.name, None);
        let table = self.repository.pack_table(pack)?;
        let offsets: Vec<u32> = table.iter().map(|placed| placed.offset).collect();
        self.offsets += offsets.len();
        self.tables.insert(pack.name, Some(offsets));
        self.held.push_back(pack.name);
        while self.offsets > self.limit {
            let oldest = self
                .held
                .pop_front()
                .and_then(|name| self.tables.get_mut(&name));
            let Some(oldest) = oldest else { break };
            self.offsets -= oldest.take().map_or(0, |offsets| offsets.len());
        }
        Ok(())
    }
}

//! The entry that makes a backup exist, and what keeps its packs until then.

use super::Session;
use crate::body::{Body, Commit, Keep, WireBackup, WirePool, WireSnapshot};
use crate::error::Error;
use crate::fold::Fold;
use crate::id::to_hex;
use crate::keys::BlobKind;
use crate::log::{Appended, Author};
use crate::patience::patiently;
use crate::record::{BackupFacts, BackupFigures, BackupRecord, TreeRef};
use crate::repository::random;
use crate::run_set::{Run, RunSet};
use uuid::Uuid;

impl Session {
    /// Reads the log on, and does what it asks for: a `keep` if a collector has warned of our packs.
    /// To be called every few minutes, much more often than the grace of a day.
    ///
    /// `Overtaken` if something this session relies on was collected: begin another.
    pub fn poll(&self) -> Result<(), Error> {
        let inner = &self.repository.inner;
        inner.log.catch_up()?;
        let uses = self.state().uses.clone();
        let warned = inner.log.with_fold(|fold| {
            self.still_there(fold, &uses)?;
            Ok::<_, Error>(fold.warned().runs().any(|run| run.session == self.id))
        })?;
        if warned {
            let author = Author {
                op: Uuid::new_v4(),
                host: inner.host,
            };
            let keep = Body::Keep(Keep { session: self.id });
            inner.log.append(author, &mut |_| Ok(Some(keep.clone())))?;
        }
        Ok(())
    }

    /// Publishes the backup: it exists, durably, when this returns.
    ///
    /// Repeated under the same `op` it gives the backup that was committed first. `Overtaken` if
    /// something it relies on was collected meanwhile; `Unclear` if nobody can tell yet.
    pub fn commit(
        &self,
        facts: &BackupFacts,
        root: TreeRef,
        figures: BackupFigures,
    ) -> Result<BackupRecord, Error> {
        for kind in [BlobKind::Chunk, BlobKind::Node] {
            let last = self.close(&mut self.state(), kind)?;
            last.map_or(Ok(()), |pack| self.upload(&pack))?;
        }
        if !self.state().pending.is_empty() {
            return Err(Error::Invalid(
                "packs that were handed out have not been uploaded".to_owned(),
            ));
        }
        self.write_segment(&mut self.state())?;
        let inner = &self.repository.inner;
        // Everything the entry names must survive a power cut before the entry can.
        patiently(
            &*inner.patience,
            || "make the packs durable".to_owned(),
            || inner.store.sync(),
        )?;
        let figures = BackupFigures {
            stored: self.stored(),
            ..figures
        };
        let body = self.commit_body(facts, root, figures)?;
        let uses = RunSet::of(&body.uses);
        let author = Author {
            op: facts.op,
            host: facts.host,
        };
        let appended = inner.log.append(author, &mut |fold| {
            self.still_there(fold, &uses)?;
            Ok(Some(Body::Commit(body.clone())))
        })?;
        match appended {
            Appended::At(_) | Appended::Before => {
                self.forget_journal();
                self.repository.backup_by_op(facts.op).ok_or_else(|| {
                    Error::NoBackup(format!("of operation {}: it was deleted since", facts.op))
                })
            }
            Appended::NotNeeded => Err(Error::Refused {
                why: "nothing was to be committed".to_owned(),
            }),
        }
    }

    fn commit_body(
        &self,
        facts: &BackupFacts,
        root: TreeRef,
        figures: BackupFigures,
    ) -> Result<Commit, Error> {
        let backup = WireBackup {
            id: Uuid::new_v4(),
            name: format!("backup-{}", to_hex(&random::<8>()?)),
            volume: facts.volume.id,
            volume_name: facts.volume.name.clone(),
            size: facts.volume_size.0,
            root,
            base: self.base,
            snapshot: WireSnapshot {
                id: facts.snapshot.id,
                name: facts.snapshot.name.clone(),
                created: facts.snapshot.created,
            },
            created: jiff::Timestamp::now(),
            volume_created: facts.volume_created,
            filesystem: facts.filesystem.clone(),
            driver: facts.driver.clone(),
            host: facts.host,
            pool: WirePool {
                id: facts.pool.id,
                dev_id: facts.pool.dev_id,
                transaction: facts.pool.transaction,
                block_size: facts.pool.block_size.0,
            },
            labels: facts.labels.clone(),
            owner: None,
            group: None,
            changed_bytes: figures.changed.0,
            read_bytes: figures.read.0,
            new_bytes: figures.new.0,
            stored_bytes: figures.stored.0,
        };
        if let Some(rule) = backup.broken_limit() {
            return Err(Error::Invalid(rule.to_owned()));
        }
        let state = self.state();
        Ok(Commit {
            session: self.id,
            began: self.began,
            backups: vec![backup],
            uses: state.uses.runs().collect::<Vec<Run>>(),
            segments: state.segments.clone(),
        })
    }

    fn still_there(&self, fold: &Fold, uses: &RunSet) -> Result<(), Error> {
        if let Some(run) = uses.runs().find(|run| fold.dead().touches(*run)) {
            return Err(Error::Overtaken {
                what: format!("packs of session {}", run.session),
            });
        }
        match self.base {
            Some(base) if !fold.is_protected(base) => Err(Error::Overtaken {
                what: format!("its base {base}"),
            }),
            _ => Ok(()),
        }
    }
}

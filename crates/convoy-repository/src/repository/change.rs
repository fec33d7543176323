//! What writers do: make a volume known, begin a backup, delete one.

use super::{Inner, Outcome, Repository, random};
use crate::body::{Backups, Body, Volume};
use crate::error::Error;
use crate::fold::Status;
use crate::id::SessionId;
use crate::log::{Appended, Author};
use crate::session::Session;
use jiff::Timestamp;
use uuid::Uuid;

impl Repository {
    /// Makes the volume known, durably. `Unchanged` if it is.
    pub fn ensure_volume(
        &self,
        id: Uuid,
        name: &str,
        created: Option<Timestamp>,
    ) -> Result<Outcome, Error> {
        if self.inner.log.with_fold(|fold| fold.has_volume(id)) {
            return Ok(Outcome::Unchanged);
        }
        self.inner.writable()?;
        let author = Author {
            op: Uuid::new_v4(),
            host: self.inner.host,
        };
        let volume = Volume {
            id,
            name: name.to_owned(),
            created,
        };
        let appended = self.inner.log.append(author, &mut |fold| {
            Ok((!fold.has_volume(id)).then(|| Body::Volume(volume.clone())))
        })?;
        Ok(outcome(appended))
    }

    /// Begins to write a backup, after reading the log to its end: the first time, as opening read it.
    ///
    /// `base` is the backup whose tree it will start from: `Overtaken` if it is no longer protected.
    /// Nothing is visible, and nothing needs to be undone, before the session commits.
    pub fn begin(&self, base: Option<Uuid>) -> Result<Session, Error> {
        self.inner.writable()?;
        let began = self.inner.log.catch_up_since_opening()?;
        if let Some(base) = base
            && !self.inner.log.with_fold(|fold| fold.is_protected(base))
        {
            return Err(Error::Overtaken {
                what: format!("its base {base}"),
            });
        }
        Session::new(self.clone(), SessionId(random()?), began, base)
    }

    /// Moves a backup to the trash: durable when it returns, and done once whatever is retried under
    /// the same `op`. Its chunks stay protected until the trash is emptied.
    ///
    /// `Unchanged` if it was deleted before; `NoBackup` if there never was one of this id.
    pub fn delete(&self, backup: Uuid, op: Uuid) -> Result<Outcome, Error> {
        self.inner.writable()?;
        let author = Author {
            op,
            host: self.inner.host,
        };
        let appended = self
            .inner
            .log
            .append(author, &mut |fold| match fold.backup(backup) {
                None => Err(Error::NoBackup(backup.to_string())),
                Some(stored) if stored.status == Status::Live => Ok(Some(Body::Delete(Backups {
                    backups: vec![backup],
                }))),
                Some(_) => Ok(None),
            })?;
        Ok(outcome(appended))
    }
}

fn outcome(appended: Appended) -> Outcome {
    match appended {
        Appended::At(_) | Appended::Before => Outcome::Changed,
        Appended::NotNeeded => Outcome::Unchanged,
    }
}

impl Inner {
    fn writable(&self) -> Result<(), Error> {
        match &self.read_only {
            Some(why) => Err(Error::ReadOnly { why: why.clone() }),
            // What the log holds is checked where something is appended.
            None => Ok(()),
        }
    }
}

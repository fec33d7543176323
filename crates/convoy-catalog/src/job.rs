//! Long operations on record, and volumes in the midst of being overwritten: rows, changes and queries.

use jiff::Timestamp;
use uuid::Uuid;

use crate::fields::Fields;
use crate::write::Writer;
use crate::{Catalog, Error};

/// So many ended jobs are remembered; older ones go when another begins.
const REMEMBERED: u32 = 500;

/// A long operation: backing up, restoring, verifying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The operation.
    pub id: Uuid,
    /// What a person would call it, such as `backup create`.
    pub verb: String,
    /// What it is about: a snapshot, a volume or a backup, as it was named.
    pub subject: String,
    /// Where to or from, if anywhere.
    pub place: Option<String>,
    /// The volume it works for, which may be gone.
    pub volume: Option<Uuid>,
    /// How far it is in its life.
    pub state: JobState,
    /// For people.
    pub since: Timestamp,
    /// For people.
    pub ended: Option<Timestamp>,
    /// What came of it: a URL, a name, or what was wrong.
    pub outcome: Option<String>,
}

/// A volume that is being overwritten with a backup: nobody may use its content until that is done, or taken
/// back. Kept apart from the volume's own row, so that no verb that puts that back can lose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overwrite {
    /// The volume; it has at most one of these, which goes with it.
    pub volume: Uuid,
    /// The URL of the backup.
    pub backup: String,
    /// The name of the snapshot that holds what was there before.
    pub safety: String,
    /// The operation.
    pub op: Uuid,
    /// For people.
    pub since: Timestamp,
}

/// How far a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// A process works on it, or did when it ended.
    Running,
    /// It did what it was asked.
    Done,
    /// It did not.
    Failed,
    /// It was asked to stop, and did.
    Cancelled,
    /// The process that worked on it is gone.
    Interrupted,
}

impl JobState {
    pub(crate) const ALL: &'static [Self] = &[
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
        Self::Interrupted,
    ];

    /// As the catalog and people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Catalog {
    /// Every job on record, the oldest first.
    pub fn jobs(&self) -> Result<Vec<Job>, Error> {
        self.select("jobs", "ORDER BY rowid", &[], job)
    }

    /// The job of this operation.
    pub fn job(&self, id: Uuid) -> Result<Option<Job>, Error> {
        self.select_one("jobs", "WHERE id = ?1", &id.to_string(), job)
    }

    /// All volumes that are being overwritten.
    pub fn overwrites(&self) -> Result<Vec<Overwrite>, Error> {
        self.select("overwrites", "ORDER BY volume", &[], overwrite)
    }

    /// What a volume is being overwritten with.
    pub fn overwrite(&self, volume: Uuid) -> Result<Option<Overwrite>, Error> {
        self.select_one(
            "overwrites",
            "WHERE volume = ?1",
            &volume.to_string(),
            overwrite,
        )
    }
}

impl Writer<'_> {
    pub(crate) fn job(&self, job: &Job) -> Result<(), Error> {
        self.upsert(
            &format!("job {}", job.id),
            "jobs",
            &[],
            &[
                ("id", &job.id.to_string()),
                ("verb", &job.verb),
                ("subject", &job.subject),
                ("place", &job.place),
                ("volume", &job.volume.map(|volume| volume.to_string())),
                ("state", &job.state.as_str()),
                ("since", &job.since.to_string()),
                ("ended", &job.ended.map(|ended| ended.to_string())),
                ("outcome", &job.outcome),
            ],
        )?;
        let forget = "DELETE FROM jobs WHERE state <> 'running' AND rowid NOT IN
                      (SELECT rowid FROM jobs WHERE state <> 'running' ORDER BY rowid DESC LIMIT ?1)";
        self.run(forget, &[&REMEMBERED])
            .map_err(|source| Error::sqlite("forgetting old jobs", source))
    }

    /// Whoever worked on what still runs is gone.
    pub(crate) fn interrupt_jobs(&self, at: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE jobs SET state = 'interrupted', ended = ?1 WHERE state = 'running'";
        self.run(sql, &[&at.to_string()])
            .map_err(|source| Error::sqlite("recording what was interrupted", source))
    }

    pub(crate) fn overwrite(&self, overwrite: &Overwrite) -> Result<(), Error> {
        self.upsert(
            &format!("that volume {} is overwritten", overwrite.volume),
            "overwrites",
            &[],
            &[
                ("volume", &overwrite.volume.to_string()),
                ("backup", &overwrite.backup),
                ("safety", &overwrite.safety),
                ("op", &overwrite.op.to_string()),
                ("since", &overwrite.since.to_string()),
            ],
        )
    }
}

fn job(row: &Fields<'_>) -> Result<Job, Error> {
    Ok(Job {
        id: row.parsed("id")?,
        verb: row.text("verb")?,
        subject: row.text("subject")?,
        place: row.optional_text("place")?,
        volume: row.optional_parsed("volume")?,
        state: row.word("state", JobState::ALL, JobState::as_str)?,
        since: row.parsed("since")?,
        ended: row.optional_parsed("ended")?,
        outcome: row.optional_text("outcome")?,
    })
}

fn overwrite(row: &Fields<'_>) -> Result<Overwrite, Error> {
    Ok(Overwrite {
        volume: row.parsed("volume")?,
        backup: row.text("backup")?,
        safety: row.text("safety")?,
        op: row.parsed("op")?,
        since: row.parsed("since")?,
    })
}

#[cfg(test)]
mod tests {
    //! What is on record after what was put.

    use super::*;
    use crate::Change;
    use crate::samples::{Fixture, created, uuid, volume};

    fn a_job(n: u64, state: JobState) -> Job {
        Job {
            id: uuid(5000 + n),
            verb: "backup create".to_owned(),
            subject: format!("snapshot-{n}"),
            place: Some("vfs:///backup".to_owned()),
            volume: Some(uuid(1001)),
            state,
            since: created(),
            ended: (state != JobState::Running).then(created),
            outcome: Some("vfs:///backup?backup=b&volume=v".to_owned()),
        }
    }

    fn put(fixture: &Fixture, job: &Job) {
        let change = Change::PutJob(job.clone());
        fixture.catalog.apply(&[change]).unwrap();
    }

    #[test]
    fn a_job_reads_as_it_was_put_and_what_ran_is_interrupted() {
        let fixture = Fixture::new();
        put(&fixture, &a_job(1, JobState::Done));
        put(&fixture, &a_job(2, JobState::Running));
        let jobs = fixture.catalog.jobs().unwrap();
        assert_eq!(
            jobs,
            [a_job(1, JobState::Done), a_job(2, JobState::Running)]
        );
        let at = Change::InterruptJobs(created());
        fixture.catalog.apply(&[at]).unwrap();
        let found = fixture.catalog.job(uuid(5002)).unwrap();
        assert_eq!(found, Some(a_job(2, JobState::Interrupted)));
        let found = fixture.catalog.job(uuid(5001)).unwrap();
        assert_eq!(found, Some(a_job(1, JobState::Done)));
    }

    #[test]
    fn old_ended_jobs_are_forgotten_and_no_running_one() {
        let fixture = Fixture::new();
        put(&fixture, &a_job(0, JobState::Running));
        let ended = (1..=u64::from(REMEMBERED) + 20).map(|n| a_job(n, JobState::Failed));
        let changes: Vec<Change> = ended.map(Change::PutJob).collect();
        fixture.catalog.apply(&changes).unwrap();
        let jobs = fixture.catalog.jobs().unwrap();
        assert_eq!(jobs.len(), REMEMBERED as usize + 1);
        assert_eq!(jobs.first().unwrap().id, uuid(5000));
        assert_eq!(jobs.get(1).unwrap().id, uuid(5021));
    }

    #[test]
    fn an_overwrite_goes_with_its_volume_and_not_before() {
        let fixture = Fixture::new();
        let catalog = &fixture.catalog;
        catalog.apply(&[Change::PutVolume(volume(1))]).unwrap();
        let begun = Overwrite {
            volume: volume(1).uuid,
            backup: "vfs:///b?backup=x&volume=y".to_owned(),
            safety: "before".to_owned(),
            op: uuid(9),
            since: created(),
        };
        let put = Change::PutOverwrite(begun.clone());
        catalog.apply(&[put, Change::PutVolume(volume(1))]).unwrap();
        assert_eq!(catalog.overwrites().unwrap(), std::slice::from_ref(&begun));
        assert_eq!(catalog.overwrite(volume(1).uuid).unwrap(), Some(begun));
        catalog
            .apply(&[Change::RemoveVolume(volume(1).uuid)])
            .unwrap();
        assert_eq!(catalog.overwrites().unwrap(), []);
    }
}

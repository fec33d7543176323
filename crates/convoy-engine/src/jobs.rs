//! Long operations as jobs: on record before they begin, seen and cancelled by others while they run.
//!
//! The engine has no threads of its own: a job runs in the thread of whoever called its verb, and ends with
//! it. What is on record (`docs/formats/catalog.md`) is for people and for who comes back later: nothing is
//! finished, undone or decided by it. Why: `docs/decisions/0023-jobs.md`.

mod live;

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::operation::{Event, Operation, Phase};
use convoy_catalog as catalog;
use convoy_catalog::Change;
use convoy_fault::{Fault, Kind};
use convoy_units::Bytes;
use jiff::Timestamp;
pub(crate) use live::Jobs;
use live::Listener;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How far a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// It waits for another operation: [`JobInfo::waiting_for`] says which.
    Waiting,
    /// It works.
    Running,
    /// It did what it was asked.
    Done,
    /// It did not.
    Failed,
    /// It was asked to stop, and did.
    Cancelled,
    /// The process that worked on it ended before it did.
    Interrupted,
}

impl JobState {
    /// One lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether nothing more will come of it.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// A long operation, running or ended.
#[derive(Debug, Clone)]
pub struct JobInfo {
    /// The operation's id.
    pub id: Uuid,
    /// `backup create`, `backup restore`, `backup verify` or `create`; more may come.
    pub verb: String,
    /// The snapshot, volume or backup it is about, as the caller named it.
    pub subject: String,
    /// Where to or from: a URL.
    pub place: Option<String>,
    /// Where it is in its life.
    pub state: JobState,
    /// What it is doing, while it runs.
    pub phase: Option<Phase>,
    /// The operation it waits for, while it waits.
    pub waiting_for: Option<Uuid>,
    /// So much of the phase is done.
    pub done: Bytes,
    /// So much there is in the phase; 0 while that is not known.
    pub total: Bytes,
    /// UTC.
    pub since: Timestamp,
    /// UTC.
    pub ended: Option<Timestamp>,
    /// What came of it: a backup's URL, a volume's name, or what was wrong, as one line.
    pub outcome: Option<String>,
    /// What to do about one that did not get to its end.
    pub hint: Option<String>,
}

/// What a job is about, for its record.
pub(crate) struct Task<'a> {
    pub(crate) verb: &'a str,
    pub(crate) subject: String,
    pub(crate) place: Option<String>,
    pub(crate) volume: Option<Uuid>,
}

impl Engine {
    /// Every job that runs and those that ended lately, the oldest first.
    ///
    /// # Errors
    /// Only when the catalog cannot be read.
    pub fn jobs(&self) -> Result<Vec<JobInfo>, Error> {
        let jobs = self.catalog.jobs().doing(|| "reading the jobs")?;
        let mut infos: Vec<JobInfo> = jobs.into_iter().map(|job| self.describe_job(job)).collect();
        // An engine that only looks runs jobs and records none.
        for job in self.jobs.unrecorded(&infos) {
            infos.push(self.describe_job(job));
        }
        Ok(infos)
    }

    /// One job, by its id or the beginning of one (four digits or more).
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when several begin so.
    pub fn job(&self, reference: &str) -> Result<JobInfo, Error> {
        let missing = || {
            Error::new(Kind::NotFound, format!("there is no job {reference}"))
                .hinting("`convoy job list` shows the jobs there are")
        };
        if reference.len() < 4 {
            return Err(missing());
        }
        let wanted = reference.to_ascii_lowercase();
        let mut fitting = self.jobs()?;
        fitting.retain(|job| job.id.to_string().starts_with(&wanted));
        match (fitting.pop(), fitting.len()) {
            (Some(job), 0) => Ok(job),
            (None, _) => Err(missing()),
            (Some(_), more) => {
                let what = format!("{} jobs begin with {reference}", more + 1);
                Err(Error::new(Kind::Invalid, what).hinting("give more of its id"))
            }
        }
    }

    /// Asks a job to stop. It does so at its next safe point, and leaves nothing behind that can be seen; one
    /// that is over stays as it is. Does not wait.
    ///
    /// # Errors
    /// As [`Engine::job`].
    pub fn cancel_job(&self, reference: &str) -> Result<JobInfo, Error> {
        let job = self.job(reference)?;
        if self.jobs.cancel(job.id) {
            tracing::info!(operation = %job.id, "cancelling is asked for");
        }
        Ok(job)
    }

    /// Waits until a job is over, for `patience` at most, and says how it is then.
    ///
    /// # Errors
    /// As [`Engine::job`].
    pub fn wait_job(&self, reference: &str, patience: Duration) -> Result<JobInfo, Error> {
        let deadline = Instant::now() + patience;
        let job = self.job(reference)?;
        self.jobs.wait(job.id, deadline);
        self.job(&job.id.to_string())
    }

    /// Runs a verb as a job. `outcome` says in a line what came of it.
    pub(crate) fn run_job<T>(
        &self,
        task: Task<'_>,
        op: &Operation<'_>,
        outcome: impl FnOnce(&T) -> String,
        verb: impl FnOnce(&Operation<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let begun = catalog::Job {
            id: op.id,
            verb: task.verb.to_owned(),
            subject: task.subject,
            place: task.place,
            volume: task.volume,
            state: catalog::JobState::Running,
            since: Timestamp::now(),
            ended: None,
            outcome: None,
        };
        let Some(live) = self.jobs.begin(begun.clone()) else {
            let what = format!("operation {} still runs", op.id);
            return Err(Error::new(Kind::Busy, what));
        };
        self.record_job(&begun)
            .doing(|| format!("recording {} as a job", begun.verb))?;
        op.observer.event(Event::Recorded);
        let listener = Listener {
            live: &live,
            inner: op.observer,
        };
        let result = verb(&Operation {
            id: op.id,
            observer: &listener,
        });
        let (state, outcome) = match &result {
            Ok(value) => (catalog::JobState::Done, outcome(value)),
            Err(error) if error.kind() == Kind::Interrupted && live.is_cancelled() => (
                catalog::JobState::Cancelled,
                "it was asked to stop".to_owned(),
            ),
            Err(error) if error.kind() == Kind::Interrupted => {
                (catalog::JobState::Interrupted, convoy_fault::chain(error))
            }
            Err(error) => (catalog::JobState::Failed, convoy_fault::chain(error)),
        };
        let ended = catalog::Job {
            state,
            ended: Some(Timestamp::now()),
            outcome: Some(outcome),
            ..begun
        };
        // What was done is done, whatever becomes of this note of it: the next opening calls it interrupted.
        if let Err(error) = self.record_job(&ended) {
            let error = convoy_fault::chain(&error);
            tracing::warn!(operation = %op.id, "the end of a job is not on record: {error}");
        }
        // Only now: who waited for it reads how it ended.
        drop(live);
        result
    }

    fn record_job(&self, job: &catalog::Job) -> Result<(), convoy_catalog::Error> {
        if self.reading.is_some() {
            return Ok(());
        }
        self.catalog.apply(&[Change::PutJob(job.clone())])
    }

    fn describe_job(&self, job: catalog::Job) -> JobInfo {
        let live = self.jobs.seen(job.id);
        let state = match (&live, job.state) {
            (Some(live), _) if live.waiting_for.is_some() => JobState::Waiting,
            (Some(_), _) | (None, catalog::JobState::Running) => JobState::Running,
            (None, catalog::JobState::Done) => JobState::Done,
            (None, catalog::JobState::Failed) => JobState::Failed,
            (None, catalog::JobState::Cancelled) => JobState::Cancelled,
            (None, catalog::JobState::Interrupted) => JobState::Interrupted,
        };
        let live = live.unwrap_or_default();
        JobInfo {
            id: job.id,
            hint: hint(&job, state),
            verb: job.verb,
            subject: job.subject,
            place: job.place,
            state,
            phase: live.phase,
            waiting_for: live.waiting_for,
            done: live.done,
            total: live.total,
            since: job.since,
            ended: job.ended,
            outcome: job.outcome,
        }
    }
}

/// At an opening: whoever worked on what still runs is gone.
pub(crate) fn interrupt(engine: &Engine) -> Result<Vec<String>, Error> {
    let jobs = engine.catalog.jobs().doing(|| "reading the jobs")?;
    let running = jobs
        .into_iter()
        .filter(|job| job.state == catalog::JobState::Running);
    let said: Vec<String> = running
        .map(|job| {
            format!(
                "{} of {} was interrupted (job {})",
                job.verb, job.subject, job.id
            )
        })
        .collect();
    if !said.is_empty() {
        engine
            .catalog
            .apply(&[Change::InterruptJobs(Timestamp::now())])
            .doing(|| "recording what was interrupted")?;
    }
    Ok(said)
}

fn hint(job: &catalog::Job, state: JobState) -> Option<String> {
    if !matches!(
        state,
        JobState::Failed | JobState::Interrupted | JobState::Cancelled
    ) {
        return None;
    }
    let again = "repeat the command";
    Some(match job.verb.as_str() {
        "backup create" => {
            format!("{again}: what was sent for this volume is not sent again")
        }
        "create" => format!("nothing is left of the volume: {again}"),
        _ => again.to_owned(),
    })
}

//! What goes on in the daemon: jobs, the pool, and an interrupted caller.

use super::{Outcome, Session, View, note, object, printed};
use crate::failure::Failure;
use crate::options::{JobAction, PoolAction};
use crate::{render, safe};
use convoy_api::{Answer, Detached, Frame, Job, Restore};
use convoy_client::Client;
use convoy_fault::Kind;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

/// The call that an interrupt is about, once the daemon has it.
type Begun = Arc<Mutex<Option<Uuid>>>;

impl Session {
    /// A job in the daemon while we show its progress. An interrupt asks it to stop; a second one leaves it there.
    pub(super) fn job<T>(
        &self,
        verb: impl FnOnce(convoy_client::Progress<'_>) -> Result<T, convoy_client::Error>,
    ) -> Result<T, Failure> {
        let begun = Begun::default();
        watch(self.client.socket(), Arc::clone(&begun));
        self.long(|hear| {
            verb(&mut |frame| {
                if let Frame::Started { operation } = frame {
                    *begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(*operation);
                }
                hear(frame);
            })
        })
    }

    pub(super) fn detached(&self, answer: &Answer<Detached>) -> Outcome {
        let job = answer.result.job;
        let outcome = self.line(&job.to_string(), || render::detached(answer));
        self.remark(outcome, || {
            format!("it goes on in the daemon: convoy job wait {job}\n")
        })
    }

    pub(super) fn jobs(&self, action: JobAction) -> Result<Outcome, Failure> {
        let client = &self.client;
        Ok(match action {
            JobAction::List(table) => {
                let jobs = client.jobs()?.result;
                let hint = "no jobs: backups, restores and verifications are ones";
                self.list(&table, &jobs.jobs, hint, || render::jobs(&jobs))
            }
            JobAction::Inspect(job) => self.one(&render::job(&client.job(&job, None)?.result)),
            JobAction::Cancel(job) => {
                let job = client.cancel_job(&job)?.result;
                let outcome = match self.view {
                    View::Json => object(&render::job(&job)),
                    _ => printed("\n".to_owned()),
                };
                self.remark(outcome, || asked(&job))
            }
            JobAction::Wait(job) => self.wait(&job)?,
        })
    }

    /// Until it is over; the status is the one its own command would have ended with, as far as that is known.
    fn wait(&self, reference: &str) -> Result<Outcome, Failure> {
        const TURN: Duration = Duration::from_secs(10);
        let job = loop {
            let job = self.client.job(reference, Some(TURN))?.result;
            if job.over {
                break job;
            }
        };
        let mut outcome = match self.view {
            View::Json => object(&render::job(&job)),
            _ => printed(safe::line(job.outcome.as_deref().unwrap_or_default()) + "\n"),
        };
        outcome.status = match job.state.as_str() {
            "done" => 0,
            "cancelled" | "interrupted" => Kind::Interrupted.exit_code(),
            _ => Kind::Failed.exit_code(),
        };
        Ok(match &job.hint {
            Some(hint) => self.remark(outcome, || safe::line(hint) + "\n"),
            None => outcome,
        })
    }

    pub(super) fn restore(&self, request: &Restore) -> Result<Outcome, Failure> {
        let answer = self.job(|hear| self.client.restore_backup(request, hear))?;
        let outcome = self.line(&answer.result.volume.name, || render::restored(&answer));
        Ok(self.remark(outcome, || render::restored_summary(&answer.result)))
    }

    pub(super) fn pool(&self, action: PoolAction) -> Result<Outcome, Failure> {
        let client = &self.client;
        Ok(match action {
            PoolAction::Status => {
                let info = client.info()?.result;
                let terminals = self.terminals;
                let as_table = self.view == View::Table
                    || self.view == View::Plain && terminals.stdout.is_some();
                if as_table {
                    printed(render::pool_table(&info, self.width(), terminals.colors))
                } else {
                    object(&render::pool_status(&info))
                }
            }
            PoolAction::Check => {
                let answer = client.check_pool()?;
                let mut outcome = match self.view {
                    View::Json => object(&render::pool_check_object(&answer)),
                    _ => printed(render::pool_check(&answer.result)),
                };
                if !answer.result.sound {
                    outcome.status = Kind::Integrity.exit_code();
                }
                outcome
            }
            PoolAction::Grow(request) => {
                let pool = client.grow_pool(&request)?.result;
                match self.view {
                    View::Json => object(&render::grown(&pool)),
                    _ => note(&format!(
                        "the pool has {} of data and {} of metadata now",
                        convoy_units::Bytes(pool.data_total),
                        convoy_units::Bytes(pool.metadata_total)
                    )),
                }
            }
        })
    }
}

fn asked(job: &Job) -> String {
    if job.over {
        format!("it is over already: {}\n", safe::line(&job.state))
    } else {
        "it stops at its next safe point: convoy job wait tells when\n".to_owned()
    }
}

/// Hears interrupts from now on, in a thread that ends with the process.
fn watch(socket: &Path, begun: Begun) {
    let socket = socket.to_owned();
    let heard = move || -> Option<()> {
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        let mut interrupts = runtime
            .block_on(async { signal(SignalKind::interrupt()) })
            .ok()?;
        runtime.block_on(interrupts.recv())?;
        let operation = *begun.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(operation) = operation else {
            leave("convoy: interrupted");
        };
        let id = operation.to_string();
        let told = Client::new(&socket).and_then(|client| client.cancel_job(&id));
        say(&match told {
            Ok(_) => format!("convoy: asked job {id} to stop; once more leaves it to the daemon"),
            Err(error) => format!("convoy: cannot ask job {id} to stop: {error}"),
        });
        runtime.block_on(interrupts.recv())?;
        leave(&format!(
            "convoy: it goes on in the daemon: convoy job wait {id}"
        ))
    };
    // Where no thread can be had an interrupt ends us, as it does every command.
    drop(std::thread::Builder::new().spawn(heard));
}

fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "\n{}", safe::line(line)));
}

fn leave(line: &str) -> ! {
    say(line);
    #[expect(
        clippy::exit,
        reason = "the main thread waits for an answer that nobody wants any more"
    )]
    std::process::exit(i32::from(Kind::Interrupted.exit_code()))
}

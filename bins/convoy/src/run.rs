//! From what shall be done to what is printed: asks the daemon and renders its answer.

mod jobs;

mod reshape;

use crate::args::{Global, Output};
use crate::failure::Failure;
use crate::manual;
use crate::options::{Action, Refused, Table};
use crate::progress::{Progress, Show};
use crate::{render, safe};
use convoy_api::{
    Answer, CreatedBackup, CreatedSnapshot, CreatedVolume, Diagnosis, Verification, Volume,
};
use convoy_client::Client;
use convoy_fault::Kind;
use serde_json::Value;

/// Where a client looks for its daemon.
pub(crate) const SOCKET: &str = "/run/convoy/convoy.sock";

/// What is at the other ends of our output.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terminals {
    /// The width of the terminal at stdout, if it is one.
    pub(crate) stdout: Option<u16>,
    /// Whether stderr is one.
    pub(crate) stderr: bool,
    /// Whether stdout shows colours.
    pub(crate) colors: bool,
}

/// What a command prints, and how it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: u8,
}

/// How the answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// The bare name, path or URL; an object where the original gives one.
    Plain,
    Json,
    Table,
}

struct Session {
    client: Client,
    output: Output,
    view: View,
    terminals: Terminals,
    progress: Show,
}

/// Does it.
pub(crate) fn run(action: Action, global: &Global, terminals: Terminals) -> Outcome {
    match act(action, global, terminals) {
        Ok(outcome) => outcome,
        Err(failure) => failed(&failure, global.output, terminals),
    }
}

/// A failure as an outcome. In JSON mode both streams are JSON: the document, and a last event line. The
/// original printed its error object always; a person at a terminal is spared it.
pub(crate) fn failed(failure: &Failure, output: Output, terminals: Terminals) -> Outcome {
    let stdout = if output == Output::Json || terminals.stdout.is_none() {
        render::document(&render::failure_object(failure))
    } else {
        String::new()
    };
    Outcome {
        stdout,
        stderr: complaint(failure, output),
        status: failure.kind.exit_code(),
    }
}

fn complaint(failure: &Failure, output: Output) -> String {
    if output == Output::Json {
        render::failure_event(failure)
    } else {
        render::failure_text(failure)
    }
}

fn act(action: Action, global: &Global, terminals: Terminals) -> Result<Outcome, Failure> {
    match action {
        Action::Text(text) => Ok(printed(text)),
        Action::Manual(directory) => manual::pages(&directory).map(|()| Outcome::default()),
        #[cfg(feature = "daemon")]
        Action::Daemon(args) => {
            convoyd::run(*args).map_err(|error| Failure::of(&error))?;
            Ok(Outcome::default())
        }
        #[cfg(feature = "daemon")]
        Action::Checkup(checkup) => {
            let diagnosis = convoyd::doctor(checkup).map_err(|error| Failure::of(&error))?;
            Ok(diagnosed(&diagnosis, global.output))
        }
        other => {
            let session = session(global, terminals)?;
            if global.debug {
                debug(&session, &other);
            }
            let has_name = other.has_name();
            session.ask(other).map_err(|failure| {
                if has_name {
                    failure.repeatable()
                } else {
                    failure
                }
            })
        }
    }
}

fn session(global: &Global, terminals: Terminals) -> Result<Session, Failure> {
    let socket = global.socket.clone().unwrap_or_else(|| SOCKET.into());
    let view = match global.output {
        Output::Json => View::Json,
        Output::Table => View::Table,
        Output::Auto if global.verbose => View::Json,
        Output::Auto => View::Plain,
    };
    let progress = match (global.no_progress, global.output) {
        (false, Output::Json) => Show::Events,
        (false, _) if terminals.stderr => Show::Bar,
        _ => Show::Nothing,
    };
    let client = Client::new(socket)?;
    Ok(Session {
        client: match global.operation {
            Some(operation) => client.under_operation(operation),
            None => client,
        },
        output: global.output,
        view,
        terminals,
        progress,
    })
}

fn debug(session: &Session, action: &Action) {
    let line = format!(
        "debug: {action:?} at {}\n",
        session.client.socket().display()
    );
    drop(std::io::Write::write_all(
        &mut std::io::stderr(),
        safe::line(&line).as_bytes(),
    ));
}

impl Session {
    fn ask(&self, action: Action) -> Result<Outcome, Failure> {
        let client = &self.client;
        Ok(match action {
            Action::Doctor => diagnosed(&client.doctor()?.result, self.output),
            Action::Info => {
                let info = client.info()?.result;
                match self.view {
                    View::Table => {
                        let colors = self.terminals.colors;
                        printed(render::info_table(&info, self.width(), colors))
                    }
                    _ => object(&render::info(&info)),
                }
            }
            Action::Create(request) if request.backup.is_some() => {
                let answer = self.job(|hear| client.create_volume(&request, hear))?;
                self.created_volume(&answer)
            }
            Action::Create(request) => {
                let answer = self.long(|hear| client.create_volume(&request, hear))?;
                self.created_volume(&answer)
            }
            Action::Delete(names) => self.delete(names),
            Action::PlanDelete(names) => self.plan_delete(names),
            Action::Mount(name, request) => {
                let answer = client.mount_volume(&name, &request)?;
                self.mounted(&answer)
            }
            Action::Unmount(name) => {
                self.done("Name", &name, client.unmount_volume(&name)?.operation)
            }
            Action::Trim(name) => {
                let answer = self.long(|hear| client.trim_volume(&name, hear))?;
                self.line(&render::trimmed(&answer.result), || {
                    render::trimmed_object(&answer)
                })
            }
            Action::List(table) => {
                let volumes = client.volumes()?.result;
                let hint = "no volumes: make one with convoy create NAME --size 10G";
                self.list(&table, &volumes.volumes, hint, || render::volumes(&volumes))
            }
            Action::ListTrash(table) => {
                let trash = client.trash()?.result;
                let hint = "the trash is empty";
                self.list(&table, &trash.volumes, hint, || render::trash(&trash))
            }
            Action::EmptyTrash(name) => {
                let answer = self.long(|hear| client.empty_trash(name.as_deref(), hear))?;
                let gone = answer.result.volumes.iter();
                let names: String = gone.map(|volume| volume.name.clone() + "\n").collect();
                match self.view {
                    View::Json => object(&render::emptied(&answer)),
                    _ => printed(names),
                }
            }
            Action::Undelete(name, request) => {
                let answer = client.undelete(&name, &request)?;
                self.line(&answer.result.name, || render::mounted(&answer))
            }
            Action::ListDriver => self.one(&render::volumes_driver(&client.volumes()?.result)),
            Action::Inspect(name) => self.one(&render::volume(&client.volume(&name)?.result)),
            Action::Reshape(reshape) => self.reshape(reshape)?,
            Action::CreateSnapshot(request) => {
                self.created_snapshot(&client.create_snapshot(&request)?)
            }
            Action::DeleteSnapshot(name) => {
                self.done("Name", &name, client.delete_snapshot(&name)?.operation)
            }
            Action::InspectSnapshot(name) => {
                self.one(&render::snapshot(&client.snapshot(&name)?.result))
            }
            Action::PlanDeleteSnapshot(name) => {
                let snapshot = client.snapshot(&name)?.result;
                self.plan(&[render::doomed_snapshot(&snapshot)], &[])
            }
            Action::ListSnapshots(volume, table) => {
                let snapshots = client.snapshots(volume.as_deref())?.result;
                let hint = "no snapshots: take one with convoy snapshot create VOLUME";
                self.list(&table, &snapshots.snapshots, hint, || {
                    render::snapshots(&snapshots)
                })
            }
            Action::DetachBackup(request) => self.detached(&client.detach_backup(&request)?),
            Action::DetachCreate(request) => self.detached(&client.detach_create(&request)?),
            Action::DetachRestore(request) => self.detached(&client.detach_restore(&request)?),
            Action::Restore(request) => self.restore(&request)?,
            Action::Job(action) => self.jobs(action)?,
            Action::Pool(action) => self.pool(action)?,
            Action::CreateBackup(request) => {
                let answer = self.job(|hear| client.create_backup(&request, hear))?;
                self.created_backup(&answer)
            }
            Action::DeleteBackup(backup) => {
                let answer = self.long(|hear| client.delete_backup(&backup, hear))?;
                self.done("URL", &backup.url, answer.operation)
            }
            Action::PlanDeleteBackup(backup) => {
                let backup = client.backup(&backup)?.result;
                self.plan(&[render::doomed_backup(&backup)], &[])
            }
            Action::InspectBackup(backup) => {
                self.one(&render::backup(&client.backup(&backup)?.result))
            }
            Action::VerifyBackup(backup) => {
                let answer = self.job(|hear| client.verify_backup(&backup, hear))?;
                self.verified(&answer)
            }
            Action::ListBackups {
                destination,
                volume,
                table,
            } => {
                let backups = client.backups(&destination, volume.as_deref())?.result;
                let hint =
                    "no backups there: make one with convoy backup create SNAPSHOT --dest URL";
                self.list(&table, &backups.backups, hint, || render::backups(&backups))
            }
            Action::Served(offer, action) => {
                client.offer_endpoint(&offer)?;
                return self.ask(*action);
            }
            Action::Text(_) | Action::Manual(_) => Outcome::default(),
            #[cfg(feature = "daemon")]
            Action::Daemon(_) | Action::Checkup(_) => Outcome::default(),
        })
    }

    /// Shows progress while it lasts; the bar is gone before anything else is printed.
    fn long<T>(
        &self,
        verb: impl FnOnce(convoy_client::Progress<'_>) -> Result<T, convoy_client::Error>,
    ) -> Result<T, Failure> {
        let mut progress = Progress::new(self.progress);
        Ok(verb(&mut |frame| progress.hear(frame))?)
    }

    fn width(&self) -> u16 {
        self.terminals.stdout.unwrap_or(160)
    }

    /// A table for people and for who names columns, else the original's object.
    fn list<T>(
        &self,
        table: &Table<T>,
        rows: &[T],
        hint: &str,
        whole: impl FnOnce() -> Value,
    ) -> Outcome {
        let as_table = match self.view {
            View::Table => true,
            View::Json => table.wanted,
            View::Plain => table.wanted || self.terminals.stdout.is_some(),
        };
        if !as_table {
            return object(&whole());
        }
        if rows.is_empty() {
            return note(hint);
        }
        let colors = self.terminals.colors;
        printed(table.chosen.table(rows, self.width(), colors))
    }

    fn one(&self, value: &Value) -> Outcome {
        match self.view {
            View::Table => printed(render::details(value)),
            _ => object(value),
        }
    }

    /// One line, or the whole object.
    fn line(&self, line: &str, whole: impl FnOnce() -> Value) -> Outcome {
        match self.view {
            View::Json => object(&whole()),
            _ => printed(safe::line(line) + "\n"),
        }
    }

    /// For people only.
    fn remark(&self, mut outcome: Outcome, remark: impl FnOnce() -> String) -> Outcome {
        if self.terminals.stderr && self.view != View::Json {
            outcome.stderr.push_str(&remark());
        }
        outcome
    }

    /// The original answers with an empty line.
    fn done(&self, key: &str, what: &str, operation: uuid::Uuid) -> Outcome {
        self.line("", || render::done(key, what, operation))
    }

    fn created_volume(&self, answer: &Answer<CreatedVolume>) -> Outcome {
        let CreatedVolume { unchanged, volume } = &answer.result;
        let outcome = self.line(&volume.name, || render::created_volume(answer));
        if *unchanged {
            return self.remark(outcome, || "it was there already, as asked\n".to_owned());
        }
        outcome
    }

    fn mounted(&self, answer: &Answer<Volume>) -> Outcome {
        let volume = &answer.result;
        self.line(volume.mountpoint.as_deref().unwrap_or_default(), || {
            render::mounted(answer)
        })
    }

    fn created_snapshot(&self, answer: &Answer<CreatedSnapshot>) -> Outcome {
        let snapshot = &answer.result.snapshot;
        let outcome = self.line(&snapshot.name, || render::created_snapshot(answer));
        match snapshot.hold_microseconds {
            Some(held) if !answer.result.unchanged => self.remark(outcome, || {
                format!("writes waited {}\n", render::held(held))
            }),
            _ => outcome,
        }
    }

    fn created_backup(&self, answer: &Answer<CreatedBackup>) -> Outcome {
        let outcome = self.line(&answer.result.backup.url, || render::created_backup(answer));
        self.remark(outcome, || render::backup_summary(&answer.result.summary))
    }

    fn verified(&self, answer: &Answer<Verification>) -> Outcome {
        let mut outcome = match self.view {
            View::Json => object(&render::verification(answer)),
            _ => printed(render::verified(&answer.result)),
        };
        if !answer.result.problems.is_empty() {
            outcome.status = Kind::Integrity.exit_code();
        }
        outcome
    }

    /// Each in its turn; one that fails does not keep the next.
    fn delete(&self, names: Vec<Result<String, Refused>>) -> Outcome {
        let ends = each(names, |name| {
            let gone = self.long(|hear| self.client.delete_volume(name, hear));
            gone.map(|_| name.to_owned())
        });
        let lines: String = ends
            .iter()
            .map(|(name, end)| self.deletion(name, end))
            .collect();
        let (deleted, failures) = parted(ends);
        let stdout = match self.view {
            View::Json => render::document(&render::deleted(&deleted, &failures)),
            _ => lines,
        };
        self.many(stdout, deleted.len(), &failures)
    }

    /// The original's lines; a person at a terminal has the failure on stderr.
    fn deletion(&self, name: &str, end: &Result<String, Failure>) -> String {
        match end {
            Ok(_) => "\n".to_owned(),
            Err(failure) if self.terminals.stdout.is_none() => {
                let line = format!("Error deleting {name}: {}", failure.message);
                safe::line(&line) + "\n"
            }
            Err(_) => String::new(),
        }
    }

    /// What `delete` would do, its refusals too.
    fn plan_delete(&self, names: Vec<Result<String, Refused>>) -> Outcome {
        let ends = each(names, |name| {
            let volume = self.client.volume(name)?.result;
            match &volume.mountpoint {
                None => Ok(render::doomed_volume(&volume)),
                Some(place) => Err(Failure::new(
                    Kind::Busy,
                    format!(
                        "Cannot delete volume {name}, it hasn't been umounted: it is at {place}"
                    ),
                    &format!("convoy umount {name} first"),
                )),
            }
        });
        let (doomed, failures) = parted(ends);
        self.plan(&doomed, &failures)
    }

    fn plan(&self, doomed: &[render::Doomed], failures: &[(String, Failure)]) -> Outcome {
        let stdout = match self.view {
            View::Json => render::document(&render::plan(doomed, failures)),
            _ => render::plan_text(doomed),
        };
        let outcome = self.many(stdout, doomed.len(), failures);
        self.remark(outcome, || "nothing was deleted\n".to_owned())
    }

    /// The end of a command that was about several things.
    fn many(&self, stdout: String, done: usize, failures: &[(String, Failure)]) -> Outcome {
        let complaints = failures
            .iter()
            .map(|(_, failure)| complaint(failure, self.output));
        Outcome {
            stdout,
            stderr: complaints.collect(),
            status: status_of_many(done, failures),
        }
    }
}

/// What came of each name, in turn; a name that is none is a failure like any other.
fn each<T>(
    names: Vec<Result<String, Refused>>,
    mut verb: impl FnMut(&str) -> Result<T, Failure>,
) -> Vec<(String, Result<T, Failure>)> {
    let end = |name: Result<String, Refused>| match name {
        Err(refused) => (refused.name, Err(refused.failure)),
        Ok(name) => {
            let end = verb(&name).map_err(Failure::repeatable);
            (name, end)
        }
    };
    names.into_iter().map(end).collect()
}

/// What was done, and by name what was not.
fn parted<T>(ends: Vec<(String, Result<T, Failure>)>) -> (Vec<T>, Vec<(String, Failure)>) {
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    for (name, end) in ends {
        match end {
            Ok(outcome) => done.push(outcome),
            Err(failure) => failures.push((name, failure)),
        }
    }
    (done, failures)
}

/// The doctor's answer; what keeps a daemon from working decides the exit status.
fn diagnosed(diagnosis: &Diagnosis, output: Output) -> Outcome {
    let stdout = match output {
        Output::Json => render::document(&render::diagnosis_object(diagnosis)),
        _ => render::diagnosis(diagnosis),
    };
    Outcome {
        stdout,
        status: if diagnosis.well {
            0
        } else {
            Kind::PoolUnhealthy.exit_code()
        },
        ..Outcome::default()
    }
}

/// Nothing done: the first failure's own status. Some done: partly.
fn status_of_many(done: usize, failures: &[(String, Failure)]) -> u8 {
    match failures.first() {
        None => 0,
        Some((_, failure)) if done == 0 => failure.kind.exit_code(),
        Some(_) => Kind::Partial.exit_code(),
    }
}

fn printed(stdout: String) -> Outcome {
    Outcome {
        stdout,
        ..Outcome::default()
    }
}

fn object(value: &Value) -> Outcome {
    printed(render::document(value))
}

fn note(text: &str) -> Outcome {
    Outcome {
        stderr: format!("{text}\n"),
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests;

//! From parsed arguments to what shall be done: names by their rule, sizes in bytes, URLs unescaped, and
//! whatever this driver does not have refused with the reason.

mod reshape;

pub(crate) use reshape::Reshape;

use crate::args::{
    BackupCommand, Cli, Command, Create, Delete, Doctor, JobCommand, Layout, Output, PoolCommand,
    SnapshotCommand, TrashCommand,
};
use crate::failure::Failure;
use crate::manual;
use crate::render::{BACKUPS, Chosen, Column, JOBS, SNAPSHOTS, TRASH, VOLUMES};
use clap::CommandFactory;
use convoy_api::{
    BackupUrl, CreateBackup, CreateSnapshot, CreateVolume, GrowPool, MountVolume, OfferEndpoint,
    Restore, Undelete,
};
use convoy_fault::Kind;
use convoy_names::{SnapshotRef, VolumeName};
use convoy_units::Bytes;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What shall be done; every name in it keeps its rule.
#[derive(Debug)]
pub(crate) enum Action {
    /// Help, or a shell's script.
    Text(String),
    /// Manual pages into a directory.
    Manual(PathBuf),
    #[cfg(feature = "daemon")]
    Daemon(Box<convoyd::Args>),
    Info,
    Doctor,
    #[cfg(feature = "daemon")]
    Checkup(convoyd::Checkup),
    Create(CreateVolume),
    /// Each name, or why it is none: one that is not does not keep the others.
    Delete(Vec<Result<String, Refused>>),
    /// What that would delete.
    PlanDelete(Vec<Result<String, Refused>>),
    Mount(String, MountVolume),
    Unmount(String),
    Trim(String),
    List(Table<convoy_api::Volume>),
    ListDriver,
    ListTrash(Table<convoy_api::TrashedVolume>),
    EmptyTrash(Option<String>),
    Undelete(String, Undelete),
    Inspect(String),
    Reshape(Reshape),
    CreateSnapshot(CreateSnapshot),
    DeleteSnapshot(String),
    PlanDeleteSnapshot(String),
    InspectSnapshot(String),
    ListSnapshots(Option<String>, Table<convoy_api::Snapshot>),
    CreateBackup(CreateBackup),
    /// The same, and answer with its job.
    DetachBackup(CreateBackup),
    DetachCreate(CreateVolume),
    Restore(Restore),
    DetachRestore(Restore),
    Job(JobAction),
    Pool(PoolAction),
    DeleteBackup(BackupUrl),
    PlanDeleteBackup(BackupUrl),
    InspectBackup(BackupUrl),
    VerifyBackup(BackupUrl),
    /// After the daemon was told who serves its destination.
    Served(OfferEndpoint, Box<Action>),
    ListBackups {
        destination: String,
        volume: Option<String>,
        table: Table<convoy_api::Backup>,
    },
}

/// `job …`.
#[derive(Debug)]
pub(crate) enum JobAction {
    List(Table<convoy_api::Job>),
    Inspect(String),
    Wait(String),
    Cancel(String),
}

/// `pool …`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PoolAction {
    Status,
    Check,
    Grow(GrowPool),
}

/// A list's columns and order, and whether the caller asked for a table by naming them.
pub(crate) struct Table<T: 'static> {
    pub(crate) chosen: Chosen<T>,
    pub(crate) wanted: bool,
}

impl<T> std::fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table {{ wanted: {} }}", self.wanted)
    }
}

/// A name that breaks the rule, and what is said about it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) failure: Failure,
}

/// Reads the current directory, for a relative mount point, and nothing else.
pub(crate) fn resolve(cli: Cli) -> Result<Action, Failure> {
    let operation = cli.global.operation;
    let action = action(cli)?;
    let several = matches!(&action, Action::Delete(names) if names.len() > 1);
    if operation.is_some() && (several || !action.has_name()) {
        return Err(Failure::new(
            Kind::Invalid,
            "--operation names one call that creates or deletes one thing",
            "repeat that command with it, or leave it out",
        ));
    }
    Ok(action)
}

impl Action {
    /// Whether it is looked up by its operation's id before anything is done.
    pub(crate) fn has_name(&self) -> bool {
        if let Self::Served(_, action) = self {
            return action.has_name();
        }
        matches!(
            self,
            Self::Create(_)
                | Self::Delete(_)
                | Self::CreateSnapshot(_)
                | Self::Reshape(Reshape::RollBack(_) | Reshape::Together(_))
                | Self::DeleteSnapshot(_)
                | Self::CreateBackup(_)
                | Self::DetachBackup(_)
                | Self::DetachCreate(_)
                | Self::DeleteBackup(_)
        )
    }
}

fn action(cli: Cli) -> Result<Action, Failure> {
    let output = cli.global.output;
    let Some(command) = cli.command else {
        return Ok(Action::Text(help(&[])));
    };
    Ok(match command {
        #[cfg(feature = "daemon")]
        Command::Daemon(args) => Action::Daemon(args),
        #[cfg(not(feature = "daemon"))]
        Command::Daemon { rest: _ } => {
            let hint = "run convoyd, or install the convoy that has the daemon";
            return Err(Failure::new(
                Kind::Unsupported,
                "this convoy was built without the daemon",
                hint,
            ));
        }
        Command::Info => Action::Info,
        Command::Doctor(Doctor { root: None, .. }) => Action::Doctor,
        #[cfg(feature = "daemon")]
        Command::Doctor(doctor) => Action::Checkup(checkup(doctor)),
        #[cfg(not(feature = "daemon"))]
        Command::Doctor(_) => {
            let hint = "install the convoy that has the daemon";
            return Err(Failure::new(
                Kind::Unsupported,
                "this convoy was built without what looks at a root directory",
                hint,
            ));
        }
        Command::Create(create) => {
            let offer = offer_for_volume(&create)?;
            let detach = create.detach;
            let request = volume(*create)?;
            served(
                offer,
                if detach {
                    Action::DetachCreate(request)
                } else {
                    Action::Create(request)
                },
            )
        }
        Command::Job { command: None } => Action::Text(help(&["job"])),
        Command::Job {
            command: Some(command),
        } => job(command, output)?,
        Command::Pool { command: None } => Action::Text(help(&["pool"])),
        Command::Pool {
            command: Some(command),
        } => pool(command)?,
        Command::Delete(delete) if delete.dry_run => Action::PlanDelete(names(&delete)?),
        Command::Delete(delete) => Action::Delete(names(&delete)?),
        Command::Mount(mount) => {
            let mountpoint = mount.mountpoint.as_deref().map(absolute).transpose()?;
            Action::Mount(name::<VolumeName>(&mount.name)?, MountVolume { mountpoint })
        }
        Command::Umount { name: volume } => Action::Unmount(name::<VolumeName>(&volume)?),
        Command::Trim { name: volume } => Action::Trim(name::<VolumeName>(&volume)?),
        Command::Resize { name: volume, size } => reshape::resize(&volume, &size)?,
        Command::Rename { name: volume, new } => reshape::rename(&volume, &new)?,
        Command::Label {
            name: volume,
            labels: set,
            remove,
        } => reshape::label(&volume, &set, remove)?,
        Command::List { driver: true, .. } => Action::ListDriver,
        Command::List { layout, .. } => Action::List(table(VOLUMES, &layout, output)?),
        Command::Inspect { name: volume } => Action::Inspect(name::<VolumeName>(&volume)?),
        Command::Snapshot { command: None } => Action::Text(help(&["snapshot"])),
        Command::Snapshot {
            command: Some(command),
        } => snapshot(command, output)?,
        Command::Backup { command: None, .. } => Action::Text(help(&["backup"])),
        Command::Backup {
            s3_endpoint,
            command: Some(command),
        } => {
            let offer = (s3_endpoint.as_deref())
                .map(|endpoint| offer(endpoint, place_of(&command)))
                .transpose()?;
            served(offer, backup(command, output)?)
        }
        Command::Trash { command: None } => Action::Text(help(&["trash"])),
        Command::Trash {
            command: Some(command),
        } => trash(command, output)?,
        Command::Undelete { name: volume, new } => {
            let name_as = new.as_deref().map(name::<VolumeName>).transpose()?;
            Action::Undelete(name::<VolumeName>(&volume)?, Undelete { name: name_as })
        }
        Command::Completion { shell } => Action::Text(manual::script(shell)),
        Command::Man { directory } => Action::Manual(directory),
    })
}

/// A list's table; JSON has all there is to know of each, by name.
fn table<T>(
    all: &'static [Column<T>],
    layout: &Layout,
    output: Output,
) -> Result<Table<T>, Failure> {
    let wanted = *layout != Layout::default();
    if wanted && output == Output::Json {
        return Err(Failure::new(
            Kind::Invalid,
            "--columns and --sort are for tables, and --output json was asked for",
            "leave one of them out",
        ));
    }
    let chosen = Chosen::of(all, layout)?;
    Ok(Table { chosen, wanted })
}

#[cfg(feature = "daemon")]
fn checkup(doctor: Doctor) -> convoyd::Checkup {
    convoyd::Checkup {
        root: doctor.root.unwrap_or_default(),
        driver_opts: doctor.driver_opts,
        remedy: doctor.fix.then_some(convoyd::Remedy {
            spare: doctor.spare,
            accept_loss: doctor.accept_loss,
        }),
    }
}

fn offer_for_volume(create: &Create) -> Result<Option<OfferEndpoint>, Failure> {
    if let Some(endpoint) = create.s3_endpoint.as_deref() {
        let Some(backup) = create.backup.as_deref() else {
            return Err(Failure::new(
                Kind::Invalid,
                "Endpoint option can only be used when creating a volume from a backup.",
                "leave --s3-endpoint out, or name the backup with --backup",
            ));
        };
        return Ok(Some(offer(endpoint, backup)?));
    }
    Ok(None)
}

fn volume(create: Create) -> Result<CreateVolume, Failure> {
    let others = [
        (create.id.is_some(), "--id"),
        (create.kind.is_some(), "--type"),
        (create.iops.is_some(), "--iops"),
        (create.vm, "--vm"),
    ];
    if let Some((_, flag)) = others.iter().find(|(given, _)| *given) {
        let message =
            format!("{flag} is not supported: the devicemapper driver has no such setting");
        return Err(Failure::new(
            Kind::Unsupported,
            message,
            &format!("leave {flag} out"),
        ));
    }
    Ok(CreateVolume {
        name: create.name.as_deref().map(name::<VolumeName>).transpose()?,
        size: create.size.as_deref().map(size).transpose()?,
        filesystem: create.fs,
        driver: create.driver,
        backup: create.backup.as_deref().map(plain_url),
        labels: labels(&create.label)?,
        snapshot: create
            .snapshot
            .as_deref()
            .map(name::<SnapshotRef>)
            .transpose()?,
        mount_options: create.mount_options,
        mkfs_options: create.mkfs_options,
        uid: create.uid,
        gid: create.gid,
        mode: create.mode,
    })
}

fn names(delete: &Delete) -> Result<Vec<Result<String, Refused>>, Failure> {
    if delete.reference {
        let message =
            "--reference is not supported yet: a volume cannot be forgotten and its data kept";
        let hint = "leave the volume as it is, or delete it with its data: convoy delete NAME";
        return Err(Failure::new(Kind::Unsupported, message, hint));
    }
    let named = |volume: &String| {
        name::<VolumeName>(volume).map_err(|failure| Refused {
            name: volume.clone(),
            failure,
        })
    };
    Ok(delete.names.iter().map(named).collect())
}

fn trash(command: TrashCommand, output: Output) -> Result<Action, Failure> {
    Ok(match command {
        TrashCommand::List { layout } => Action::ListTrash(table(TRASH, &layout, output)?),
        TrashCommand::Empty { name: given } => {
            Action::EmptyTrash(given.as_deref().map(name::<VolumeName>).transpose()?)
        }
    })
}

fn snapshot(command: SnapshotCommand, output: Output) -> Result<Action, Failure> {
    Ok(match command {
        SnapshotCommand::Create {
            volumes,
            name: given,
        } => reshape::snapshots(&volumes, given.as_deref())?,
        SnapshotCommand::Rollback { snapshot, yes } => reshape::rollback(&snapshot, yes)?,
        SnapshotCommand::Delete { snapshot, dry_run } => {
            let snapshot = name::<SnapshotRef>(&snapshot)?;
            if dry_run {
                Action::PlanDeleteSnapshot(snapshot)
            } else {
                Action::DeleteSnapshot(snapshot)
            }
        }
        SnapshotCommand::Inspect { snapshot } => {
            Action::InspectSnapshot(name::<SnapshotRef>(&snapshot)?)
        }
        SnapshotCommand::List { volume, layout } => Action::ListSnapshots(
            volume.as_deref().map(name::<VolumeName>).transpose()?,
            table(SNAPSHOTS, &layout, output)?,
        ),
    })
}

fn backup(command: BackupCommand, output: Output) -> Result<Action, Failure> {
    let url = |url: &str| BackupUrl {
        url: plain_url(url),
    };
    Ok(match command {
        BackupCommand::Create {
            snapshot,
            dest,
            detach,
        } => {
            let request = CreateBackup {
                snapshot: name::<SnapshotRef>(&snapshot)?,
                destination: dest,
            };
            if detach {
                Action::DetachBackup(request)
            } else {
                Action::CreateBackup(request)
            }
        }
        BackupCommand::Restore {
            url: given,
            to,
            yes,
            detach,
        } => restore(url(&given), &to, yes, detach)?,
        BackupCommand::Delete {
            url: given,
            dry_run: true,
        } => Action::PlanDeleteBackup(url(&given)),
        BackupCommand::Delete { url: given, .. } => Action::DeleteBackup(url(&given)),
        BackupCommand::Inspect { url: given } => Action::InspectBackup(url(&given)),
        BackupCommand::Verify { url: given } => Action::VerifyBackup(url(&given)),
        BackupCommand::List {
            dest,
            volume_name,
            layout,
        } => Action::ListBackups {
            destination: dest,
            volume: volume_name.as_deref().map(name::<VolumeName>).transpose()?,
            table: table(BACKUPS, &layout, output)?,
        },
    })
}

/// Overwriting is never done on a guess, and nothing here asks questions.
fn restore(backup: BackupUrl, to: &str, yes: bool, detach: bool) -> Result<Action, Failure> {
    let volume = name::<VolumeName>(to)?;
    if !yes {
        return Err(Failure::new(
            Kind::Invalid,
            format!("volume {volume} would be overwritten with the backup"),
            "add --yes: what is there now is kept in a snapshot; or restore to a new volume: convoy create NAME --backup URL",
        ));
    }
    let request = Restore {
        url: backup.url,
        volume,
    };
    Ok(if detach {
        Action::DetachRestore(request)
    } else {
        Action::Restore(request)
    })
}

fn job(command: JobCommand, output: Output) -> Result<Action, Failure> {
    Ok(Action::Job(match command {
        JobCommand::List { layout } => JobAction::List(table(JOBS, &layout, output)?),
        JobCommand::Inspect { job } => JobAction::Inspect(job),
        JobCommand::Wait { job } => JobAction::Wait(job),
        JobCommand::Cancel { job } => JobAction::Cancel(job),
    }))
}

fn pool(command: PoolCommand) -> Result<Action, Failure> {
    Ok(Action::Pool(match command {
        PoolCommand::Status => PoolAction::Status,
        PoolCommand::Check => PoolAction::Check,
        PoolCommand::Grow { data, metadata } => PoolAction::Grow(GrowPool {
            data: data.as_deref().map(size).transpose()?,
            metadata: metadata.as_deref().map(size).transpose()?,
        }),
    }))
}

/// The destination or backup that a command is about.
fn place_of(command: &BackupCommand) -> &str {
    match command {
        BackupCommand::Create { dest, .. } | BackupCommand::List { dest, .. } => dest,
        BackupCommand::Delete { url, .. }
        | BackupCommand::Restore { url, .. }
        | BackupCommand::Inspect { url }
        | BackupCommand::Verify { url } => url,
    }
}

/// A name that keeps its rule, as text again: the wire carries text.
fn name<T: FromStr + Display>(text: &str) -> Result<String, Failure>
where
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(name) => Ok(name.to_string()),
        Err(error) => Err(Failure::new(
            Kind::Invalid,
            error.to_string(),
            "give a name such as data-1",
        )),
    }
}

fn size(text: &str) -> Result<u64, Failure> {
    let hint = "write for example --size 10G";
    match text.parse::<Bytes>() {
        Ok(size) => Ok(size.0),
        Err(error) => Err(Failure::new(
            Kind::Invalid,
            format!("--size: {error}"),
            hint,
        )),
    }
}

fn labels(texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut labels = BTreeMap::new();
    for text in texts {
        let parts = text.split_once('=').filter(|(key, _)| !key.is_empty());
        let taken = parts.is_some_and(|(key, _)| labels.contains_key(key));
        match parts {
            Some((key, value)) if !taken => labels.insert(key.to_owned(), value.to_owned()),
            _ => {
                let why = if taken {
                    "names a key twice"
                } else {
                    "is not KEY=VALUE"
                };
                let message = format!("--label {text:?} {why}");
                return Err(Failure::new(
                    Kind::Invalid,
                    message,
                    "write for example --label tier=gold",
                ));
            }
        };
    }
    Ok(labels)
}

/// The daemon's directory is not the caller's.
fn absolute(path: &Path) -> Result<String, Failure> {
    let hint = "give the mount point as an absolute path in UTF-8";
    let absolute = std::path::absolute(path)
        .map_err(|error| Failure::new(Kind::Invalid, format!("--mountpoint: {error}"), hint))?;
    match absolute.into_os_string().into_string() {
        Ok(path) => Ok(path),
        Err(path) => {
            let message = format!("--mountpoint {} is not UTF-8", path.display());
            Err(Failure::new(Kind::Invalid, message, hint))
        }
    }
}

/// The same, after the daemon was told who serves its destination.
fn served(offer: Option<OfferEndpoint>, action: Action) -> Action {
    match offer {
        Some(offer) => Action::Served(offer, Box::new(action)),
        None => action,
    }
}

/// An endpoint goes with `s3://` alone, and is never left out in silence.
fn offer(endpoint: &str, place: &str) -> Result<OfferEndpoint, Failure> {
    let scheme = place.split_once("://").map(|(scheme, _)| scheme);
    if scheme == Some("s3") {
        return Ok(OfferEndpoint {
            place: plain_url(place),
            endpoint: endpoint.to_owned(),
        });
    }
    let message = match scheme {
        Some(scheme) => format!("Driver {scheme} does not support custom endpoints"),
        None => format!("{place} is not the URL of an S3-compatible store"),
    };
    Err(Failure::new(
        Kind::Invalid,
        message,
        "leave --s3-endpoint out",
    ))
}

/// The original printed `&` as `\u0026`, and a shell may have eaten the backslash: scripts hand either
/// back. Only in the query, and only where no `&` stands already: a path may spell u0026 for itself.
pub(crate) fn plain_url(url: &str) -> String {
    match url.split_once('?') {
        Some((base, query)) if !query.contains('&') => {
            let written = if query.contains("\\u0026") {
                "\\u0026"
            } else {
                "u0026"
            };
            format!("{base}?{}", query.replacen(written, "&", 1))
        }
        _ => url.to_owned(),
    }
}

fn help(path: &[&str]) -> String {
    let mut root = Cli::command();
    root.build();
    let mut command = &mut root;
    for name in path {
        command = command
            .find_subcommand_mut(name)
            .expect("the path names commands of ours");
    }
    command.render_help().to_string()
}

//! From parsed arguments to what shall be done: names by their rule, sizes in bytes, URLs unescaped, and
//! whatever this driver does not have refused with the reason.

use crate::args::{BackupCommand, Cli, Command, Create, Delete, SnapshotCommand};
use crate::failure::Failure;
use clap::CommandFactory;
use convoy_api::{BackupUrl, CreateBackup, CreateSnapshot, CreateVolume, MountVolume};
use convoy_fault::Kind;
use convoy_names::{SnapshotName, SnapshotRef, VolumeName};
use convoy_units::Bytes;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

/// What shall be done; every name in it keeps its rule.
#[derive(Debug)]
pub(crate) enum Action {
    Help(String),
    #[cfg(feature = "daemon")]
    Daemon(Box<convoyd::Args>),
    Info,
    Create(CreateVolume),
    /// Each name, or why it is none: one that is not does not keep the others.
    Delete(Vec<Result<String, Refused>>),
    Mount(String, MountVolume),
    Unmount(String),
    List,
    ListDriver,
    Inspect(String),
    CreateSnapshot(CreateSnapshot),
    DeleteSnapshot(String),
    InspectSnapshot(String),
    ListSnapshots(Option<String>),
    CreateBackup(CreateBackup),
    DeleteBackup(BackupUrl),
    InspectBackup(BackupUrl),
    VerifyBackup(BackupUrl),
    ListBackups {
        destination: String,
        volume: Option<String>,
    },
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
        matches!(
            self,
            Self::Create(_)
                | Self::Delete(_)
                | Self::CreateSnapshot(_)
                | Self::DeleteSnapshot(_)
                | Self::CreateBackup(_)
                | Self::DeleteBackup(_)
        )
    }
}

fn action(cli: Cli) -> Result<Action, Failure> {
    let Some(command) = cli.command else {
        return Ok(Action::Help(help(&[])));
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
        Command::Create(create) => Action::Create(volume(*create)?),
        Command::Delete(delete) => Action::Delete(names(&delete)?),
        Command::Mount(mount) => {
            let mountpoint = mount.mountpoint.as_deref().map(absolute).transpose()?;
            Action::Mount(name::<VolumeName>(&mount.name)?, MountVolume { mountpoint })
        }
        Command::Umount { name: volume } => Action::Unmount(name::<VolumeName>(&volume)?),
        Command::List { driver: false } => Action::List,
        Command::List { driver: true } => Action::ListDriver,
        Command::Inspect { name: volume } => Action::Inspect(name::<VolumeName>(&volume)?),
        Command::Snapshot { command: None } => Action::Help(help(&["snapshot"])),
        Command::Snapshot {
            command: Some(command),
        } => snapshot(command)?,
        Command::Backup { command: None, .. } => Action::Help(help(&["backup"])),
        Command::Backup {
            s3_endpoint,
            command: Some(command),
        } => {
            no_endpoint(s3_endpoint.as_deref())?;
            backup(command)?
        }
    })
}

fn volume(create: Create) -> Result<CreateVolume, Failure> {
    no_endpoint(create.s3_endpoint.as_deref())?;
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

fn snapshot(command: SnapshotCommand) -> Result<Action, Failure> {
    Ok(match command {
        SnapshotCommand::Create {
            volume,
            name: given,
        } => Action::CreateSnapshot(CreateSnapshot {
            volume: name::<VolumeName>(&volume)?,
            name: given.as_deref().map(name::<SnapshotName>).transpose()?,
        }),
        SnapshotCommand::Delete { snapshot } => {
            Action::DeleteSnapshot(name::<SnapshotRef>(&snapshot)?)
        }
        SnapshotCommand::Inspect { snapshot } => {
            Action::InspectSnapshot(name::<SnapshotRef>(&snapshot)?)
        }
        SnapshotCommand::List { volume } => {
            Action::ListSnapshots(volume.as_deref().map(name::<VolumeName>).transpose()?)
        }
    })
}

fn backup(command: BackupCommand) -> Result<Action, Failure> {
    let url = |url: &str| BackupUrl {
        url: plain_url(url),
    };
    Ok(match command {
        BackupCommand::Create { snapshot, dest } => Action::CreateBackup(CreateBackup {
            snapshot: name::<SnapshotRef>(&snapshot)?,
            destination: dest,
        }),
        BackupCommand::Delete { url: given } => Action::DeleteBackup(url(&given)),
        BackupCommand::Inspect { url: given } => Action::InspectBackup(url(&given)),
        BackupCommand::Verify { url: given } => Action::VerifyBackup(url(&given)),
        BackupCommand::List { dest, volume_name } => Action::ListBackups {
            destination: dest,
            volume: volume_name.as_deref().map(name::<VolumeName>).transpose()?,
        },
    })
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

fn no_endpoint(endpoint: Option<&str>) -> Result<(), Failure> {
    match endpoint {
        None => Ok(()),
        Some(_) => Err(Failure::new(
            Kind::Unsupported,
            "--s3-endpoint is not supported yet: backups go to directories",
            "use a destination such as vfs:///mnt/backups",
        )),
    }
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

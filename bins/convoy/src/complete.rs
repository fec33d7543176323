//! Names for a shell to complete: asked of the daemon, and none when it does not answer at once.

use convoy_api::{Backup, Volume};
use convoy_client::Client;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use clap_complete::engine::CompletionCandidate;

/// How long a person who pressed a key waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// Volumes, by name.
pub(crate) fn volumes(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = asked(|client| {
        let volumes = client.volumes().ok()?.result.volumes;
        Some(volumes.iter().map(of_volume).collect())
    });
    beginning(typed, names)
}

/// Snapshots, by name; with their volume as well once an `@` is typed.
pub(crate) fn snapshots(typed: &OsStr) -> Vec<CompletionCandidate> {
    let with_volume = typed.to_string_lossy().contains('@');
    let names = asked(move |client| {
        let snapshots = client.snapshots(None).ok()?.result.snapshots;
        let name = |snapshot: &convoy_api::Snapshot| {
            let (volume, name) = (&snapshot.volume_name, &snapshot.name);
            if with_volume {
                (format!("{volume}@{name}"), String::new())
            } else {
                (name.clone(), format!("of {volume}"))
            }
        };
        Some(snapshots.iter().map(name).collect())
    });
    beginning(typed, names)
}

/// Where backups have gone to.
pub(crate) fn destinations(typed: &OsStr) -> Vec<CompletionCandidate> {
    beginning(
        typed,
        asked(|client| Some(places(client)?.into_iter().map(plain).collect())),
    )
}

/// Backups at the destinations there are, by URL.
pub(crate) fn backups(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = asked(|client| {
        let mut all = Vec::new();
        for place in places(client)? {
            if let Ok(answer) = client.backups(&place, None) {
                all.extend(answer.result.backups.iter().map(of_backup));
            }
        }
        Some(all)
    });
    beginning(typed, names)
}

/// A value, and what is said of it beside.
type Named = (String, String);

fn plain(value: String) -> Named {
    (value, String::new())
}

fn of_volume(volume: &Volume) -> Named {
    let size = convoy_units::Bytes(volume.size);
    (volume.name.clone(), format!("{size}, {}", volume.state))
}

fn of_backup(backup: &Backup) -> Named {
    let when = backup.created.strftime("%Y-%m-%d %H:%M UTC");
    let (volume, snapshot) = (&backup.volume_name, &backup.snapshot_name);
    (backup.url.clone(), format!("{volume}@{snapshot}, {when}"))
}

fn places(client: &Client) -> Option<Vec<String>> {
    let info = client.info().ok()?.result;
    Some(info.destinations.into_iter().map(|each| each.url).collect())
}

/// In a thread of its own, which is left behind when it takes too long: the process ends after this. The
/// line being completed may name another socket; the environment is as far as we look.
fn asked(ask: impl FnOnce(&Client) -> Option<Vec<Named>> + Send + 'static) -> Vec<Named> {
    let (answer, answered) = mpsc::channel();
    std::thread::spawn(move || {
        let socket = std::env::var_os("CONVOY_SOCKET").map(PathBuf::from);
        let socket = socket.unwrap_or_else(|| crate::run::SOCKET.into());
        let names = Client::new(socket).ok().and_then(|client| ask(&client));
        // Nobody waits any more.
        drop(answer.send(names.unwrap_or_default()));
    });
    answered.recv_timeout(PATIENCE).unwrap_or_default()
}

/// Those that begin as typed. What a shell is shown cannot move its cursor.
fn beginning(typed: &OsStr, names: Vec<Named>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let fit = names
        .into_iter()
        .filter(|(value, _)| value.starts_with(&*typed) && !value.chars().any(char::is_control));
    fit.map(|(value, help)| {
        let help = (!help.is_empty()).then(|| crate::safe::line(&help).into());
        CompletionCandidate::new(value).help(help)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_begins_as_typed_and_is_harmless() {
        let named = |names: &[&str]| names.iter().map(|name| plain((*name).to_owned())).collect();
        let offered = beginning(
            "da".as_ref(),
            named(&["data", "web", "da\u{1b}[2J", "data2"]),
        );
        let values: Vec<_> = offered
            .iter()
            .map(|each| each.get_value().to_owned())
            .collect();
        assert_eq!(values, ["data", "data2"]);
    }

    #[test]
    fn no_daemon_is_no_name_and_no_error() {
        let none = asked(|_| panic!("a thread that breaks is nobody's trouble"));
        assert_eq!(none, []);
    }
}

//! The volume plugin's settings: from words to what the plugin is started with.

use crate::args::Args;
use crate::error::Error;
use crate::file::File;
use convoy_engine::OnRemove;
use std::path::PathBuf;
use std::time::Duration;

/// Where engines look for a plugin called `convoy`, before anywhere else.
pub(crate) const SOCKET: &str = "/run/docker/plugins/convoy.sock";
const GRACE: Duration = Duration::from_hours(24);

/// How the plugin is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    /// Its socket; `None` to serve none.
    pub socket: Option<PathBuf>,
    /// Somebody asked for this socket: not to get it is a failure.
    pub required: bool,
    /// What removing a volume means.
    pub on_remove: OnRemove,
    /// Make a volume that is mounted and does not exist.
    pub create_on_mount: bool,
    /// Restore backups from anywhere.
    pub restore_from_any: bool,
    /// How long the trash keeps.
    pub trash_grace: Duration,
}

pub(crate) fn resolve(args: &Args, file: &File) -> Result<Docker, Error> {
    let asked = args.docker_socket.as_ref().or(file.docker_socket.as_ref());
    let socket = match asked {
        None => Some(PathBuf::from(SOCKET)),
        Some(off) if off.as_os_str() == "off" => None,
        Some(path) if path.is_absolute() => Some(path.clone()),
        Some(path) => {
            return Err(setting(
                format!("plugin socket {} is no absolute path", path.display()),
                "write its whole path, or off",
            ));
        }
    };
    let word = args
        .docker_on_remove
        .as_ref()
        .or(file.docker_on_remove.as_ref());
    let on_remove = match word {
        None if args.ignore_docker_delete => OnRemove::Keep,
        None => OnRemove::Trash,
        Some(word) => named(word)?,
    };
    let grace = args.trash_grace.as_ref().or(file.trash_grace.as_ref());
    Ok(Docker {
        required: asked.is_some() && socket.is_some(),
        socket,
        on_remove,
        create_on_mount: args.create_on_docker_mount,
        restore_from_any: args.docker_restore_from_any,
        trash_grace: grace.map_or(Ok(GRACE), |text| duration(text))?,
    })
}

fn named(word: &str) -> Result<OnRemove, Error> {
    let all = OnRemove::ALL.iter().copied();
    all.into_iter()
        .find(|on_remove| on_remove.as_str() == word)
        .ok_or_else(|| {
            setting(
                format!("removing cannot mean {word:?}"),
                "write trash, delete or keep",
            )
        })
}

/// A number and its unit.
fn duration(text: &str) -> Result<Duration, Error> {
    let wrong = || {
        setting(
            format!("grace period {text:?} is no duration"),
            "write for example 90s, 30m, 24h or 7d",
        )
    };
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(end);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    // The catalog counts in 63 bits; a century is as good as for ever.
    let seconds = number.checked_mul(seconds).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds.min(3_155_760_000)))
}

fn setting(what: String, hint: &str) -> Error {
    Error::Setting {
        what,
        hint: Some(hint.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    //! Words and what they mean.

    use super::*;

    fn docker(args: &Args, file: &str) -> Result<Docker, Error> {
        resolve(args, &File::parse(file).unwrap())
    }

    #[test]
    fn nothing_said_is_the_usual_socket_and_the_trash() {
        let docker = docker(&Args::default(), "").unwrap();
        assert_eq!(docker.socket, Some(PathBuf::from(SOCKET)));
        assert!(!docker.required);
        assert_eq!(docker.on_remove, OnRemove::Trash);
        assert_eq!(docker.trash_grace, Duration::from_hours(24));
    }

    #[test]
    fn a_plugins_settings_are_by_flag_then_file() {
        let file =
            "docker_socket = \"/srv/c.sock\"\ndocker_on_remove = \"delete\"\ntrash_grace = \"7d\"";
        let from_file = docker(&Args::default(), file).unwrap();
        assert_eq!(from_file.socket, Some(PathBuf::from("/srv/c.sock")));
        assert!(from_file.required);
        assert_eq!(from_file.on_remove, OnRemove::Delete);
        assert_eq!(from_file.trash_grace, Duration::from_hours(7 * 24));
        let flags = Args {
            docker_socket: Some("off".into()),
            docker_on_remove: Some("keep".into()),
            trash_grace: Some("90s".into()),
            ..Args::default()
        };
        let from_flags = docker(&flags, file).unwrap();
        assert_eq!(from_flags.socket, None);
        assert!(!from_flags.required);
        assert_eq!(from_flags.on_remove, OnRemove::Keep);
        assert_eq!(from_flags.trash_grace, Duration::from_secs(90));
    }

    #[test]
    fn the_flags_of_the_original_mean_what_they_did() {
        let flags = Args {
            ignore_docker_delete: true,
            create_on_docker_mount: true,
            ..Args::default()
        };
        let docker = docker(&flags, "").unwrap();
        assert_eq!(docker.on_remove, OnRemove::Keep);
        assert!(docker.create_on_mount);
    }

    #[test]
    fn nonsense_is_refused() {
        for file in [
            "docker_socket = \"convoy.sock\"",
            "docker_on_remove = \"burn\"",
            "trash_grace = \"24\"",
            "trash_grace = \"h\"",
            "trash_grace = \"-1h\"",
            "trash_grace = \"99999999999999999999d\"",
            "trash_grace = \"1w\"",
        ] {
            assert!(docker(&Args::default(), file).is_err(), "{file}");
        }
    }
}

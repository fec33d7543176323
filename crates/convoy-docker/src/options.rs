//! The options of `Create`: each known by name, read by its rule, and never ignored.
//!
//! Options reach us from compose files of strangers: those of mkfs and mount pass the engine's allow-lists, and a
//! backup is taken from destinations that this host knows, unless the daemon was told otherwise.

use crate::reply::Refusal;
use convoy_engine::{CreateVolume, Mode, OnRemove, Owner};
use convoy_names::VolumeName;
use convoy_units::Bytes;
use std::collections::BTreeMap;
use std::fmt::Display;

/// What `Create` understands.
pub(crate) const KNOWN: &[&str] = &[
    "size",
    "fs",
    "mkfs-opts",
    "mount-opts",
    "from-snapshot",
    "from-backup",
    "backup",
    "uid",
    "gid",
    "mode",
    "on-remove",
    "labels",
    "driver",
];

/// A volume to make, and what removing it means, if that is said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) volume: CreateVolume,
    pub(crate) on_remove: Option<OnRemove>,
}

/// Reads the options of a new volume.
pub(crate) fn read(name: &VolumeName, options: &BTreeMap<String, String>) -> Result<Wish, Refusal> {
    let mut wish = Wish::default();
    let volume = &mut wish.volume;
    volume.name = Some(name.clone());
    for (option, value) in options {
        let bad = |why: &dyn Display| Refusal::new(format!("option {option}={value}: {why}"));
        let number = || value.parse::<u32>().map_err(|error| bad(&error));
        match option.as_str() {
            "size" => volume.size = Some(value.parse::<Bytes>().map_err(|error| bad(&error))?),
            "fs" => volume.filesystem = Some(value.clone()),
            "driver" => volume.driver = Some(value.clone()),
            "mkfs-opts" => volume.mkfs_options = words(value),
            "mount-opts" => volume.mount_options = words(value),
            "from-snapshot" => {
                volume.from_snapshot = Some(value.parse().map_err(|error| bad(&error))?);
            }
            "from-backup" | "backup" => {
                if volume.backup.as_ref().is_some_and(|other| other != value) {
                    return Err(bad(&"from-backup and backup are two names of one option"));
                }
                volume.backup = Some(value.clone());
            }
            "uid" => volume.owner.get_or_insert_default().uid = number()?,
            "gid" => volume.owner.get_or_insert_default().gid = number()?,
            "mode" => volume.mode = Some(value.parse::<Mode>().map_err(|error| bad(&error))?),
            "on-remove" => {
                wish.on_remove =
                    Some(on_remove(value).ok_or_else(|| bad(&"it is trash, delete or keep"))?);
            }
            "labels" => volume.labels = labels(value).map_err(|why| bad(&why))?,
            // Podman's own, which some versions pass on.
            "o" if value.split(',').all(|word| word.starts_with("timeout=")) => (),
            _ => {
                let known = KNOWN.join(", ");
                return Err(Refusal::new(format!(
                    "unknown option {option:?}; the options are {known}"
                )));
            }
        }
    }
    let owner: Option<Owner> = volume.owner;
    if volume.backup.is_some() && (owner.is_some() || volume.mode.is_some()) {
        return Err(Refusal::new(
            "uid, gid and mode are for a new filesystem; a backup brings its own",
        ));
    }
    Ok(wish)
}

/// What removing means, by its word.
pub(crate) fn on_remove(word: &str) -> Option<OnRemove> {
    OnRemove::ALL
        .iter()
        .copied()
        .find(|on_remove| on_remove.as_str() == word)
}

/// A list with commas, as mount(8) has it.
fn words(value: &str) -> Vec<String> {
    let words = value.split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn labels(value: &str) -> Result<BTreeMap<String, String>, &'static str> {
    let label = |word: String| {
        let (name, value) = word.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    let labels: Option<_> = words(value).into_iter().map(label).collect();
    labels.ok_or("labels are NAME=VALUE, with commas between them")
}

#[cfg(test)]
mod tests {
    //! Every option, and what is none.

    use super::*;

    fn given(options: &[(&str, &str)]) -> Result<Wish, Refusal> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let options = options.iter().map(own).collect();
        read(&"v".parse().unwrap(), &options)
    }

    #[test]
    fn each_option_reaches_the_engine() {
        let wish = given(&[
            ("size", "10G"),
            ("fs", "xfs"),
            ("mkfs-opts", "reserved=1"),
            ("mount-opts", "noatime, discard"),
            ("uid", "999"),
            ("mode", "0750"),
            ("on-remove", "keep"),
            ("labels", "a=b,c=d=e"),
        ])
        .unwrap();
        let volume = wish.volume;
        assert_eq!(volume.size, Some(Bytes::gib(10)));
        assert_eq!(volume.filesystem.as_deref(), Some("xfs"));
        assert_eq!(volume.mount_options, ["noatime", "discard"]);
        assert_eq!(volume.mkfs_options, ["reserved=1"]);
        assert_eq!(volume.owner, Some(Owner { uid: 999, gid: 0 }));
        assert_eq!(volume.mode, Some("0750".parse().unwrap()));
        assert_eq!(volume.labels["c"], "d=e");
        assert_eq!(wish.on_remove, Some(OnRemove::Keep));
    }

    #[track_caller]
    fn refuse(options: &[(&str, &str)], words: &str) {
        let refusal = given(options).unwrap_err();
        assert!(refusal.text().contains(words), "{}", refusal.text());
    }

    #[test]
    fn an_unknown_option_names_the_valid_ones() {
        for unknown in ["Size", "type", "iops", "vm", "endpoint", "id", "", "size "] {
            refuse(&[(unknown, "1")], "the options are size, fs, mkfs-opts");
        }
        refuse(&[("o", "timeout=9,suid")], "unknown option");
        given(&[("o", "timeout=9")]).unwrap();
    }

    #[test]
    fn a_value_that_breaks_a_rule_is_told_with_its_option() {
        refuse(&[("size", "ten")], "size=ten");
        refuse(&[("mode", "rwx")], "mode=rwx");
        refuse(&[("uid", "root")], "uid=root");
        refuse(&[("on-remove", "burn")], "trash, delete or keep");
        refuse(&[("labels", "a")], "NAME=VALUE");
        refuse(&[("from-snapshot", "a/b")], "from-snapshot=a/b");
        refuse(
            &[("backup", "vfs:///a?x"), ("from-backup", "vfs:///b?x")],
            "two names",
        );
        refuse(&[("backup", "vfs:///a?x"), ("uid", "1")], "brings its own");
    }
}

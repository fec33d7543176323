//! Mount options: an allow-list, since whoever chooses them may be a tenant.

use crate::filesystem::Filesystem;
use convoy_fault::{Fault, Kind};
use nix::mount::MsFlags;

/// How to mount.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountOptions {
    /// Refuse writes. Nothing is written by the mount either: no journal is replayed, so what is shown
    /// is the file system without its journal's last moments.
    pub read_only: bool,
    /// Mount an xfs although one with the same UUID is mounted: a snapshot beside its origin.
    pub nouuid: bool,
    /// More options, each one word of a list that the error for any other names.
    pub extra: Vec<String>,
}

/// An option or label that we do not pass on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option:?} is not allowed: {rule}")]
pub struct InvalidOption {
    option: String,
    rule: &'static str,
}

impl InvalidOption {
    pub(crate) fn new(option: &str, rule: &'static str) -> Self {
        let option = option.chars().take(80).collect();
        Self { option, rule }
    }
}

impl Fault for InvalidOption {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// What an option becomes in `mount(2)`.
#[derive(Clone, Copy)]
enum Meaning {
    Flag(MsFlags),
    /// For the file system, with no value.
    Word,
    /// For the file system, with a number.
    Number,
}

impl MountOptions {
    /// To be mounted with these options of the list, each one word.
    ///
    /// # Errors
    /// An option that this file system has not, or that no volume may have: the error names those it may.
    pub fn of(fs: Filesystem, words: &[String]) -> Result<Self, InvalidOption> {
        let options = Self {
            extra: words.to_vec(),
            ..Self::default()
        };
        options.resolve(fs).map(|_| options)
    }

    /// Flags and data for `mount(2)`.
    pub(crate) fn resolve(&self, fs: Filesystem) -> Result<(MsFlags, String), InvalidOption> {
        let mut flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        let mut data: Vec<&str> = Vec::new();
        if self.read_only {
            flags |= MsFlags::MS_RDONLY;
            data.push(if fs == Filesystem::Ext4 {
                "noload"
            } else {
                "norecovery"
            });
        } else if fs == Filesystem::Ext4 {
            // On a thin device inode tables read as zeros: writing them would map them.
            data.push("noinit_itable");
        }
        if self.nouuid && fs == Filesystem::Xfs {
            data.push("nouuid");
        }
        for option in &self.extra {
            match meaning(fs, option).ok_or_else(|| InvalidOption::new(option, rule(fs)))? {
                Meaning::Flag(flag) => flags |= flag,
                Meaning::Word | Meaning::Number if data.contains(&option.as_str()) => {}
                Meaning::Word | Meaning::Number => data.push(option),
            }
        }
        Ok((flags, data.join(",")))
    }
}

/// What `extra` may hold. `dev` and `suid` are not in it: a volume never carries device nodes that open, nor
/// programs that gain rights, on the host. Nor is what gives up durability, or the journal.
const fn rule(fs: Filesystem) -> &'static str {
    match fs {
        Filesystem::Ext4 => {
            "an ext4 volume takes ro, noatime, nodiratime, relatime, strictatime, lazytime, noexec, nodev, nosuid, sync, dirsync, discard, nodiscard, commit=N, stripe=N"
        }
        Filesystem::Xfs => {
            "an xfs volume takes ro, noatime, nodiratime, relatime, strictatime, lazytime, noexec, nodev, nosuid, sync, dirsync, discard, nodiscard, inode64, noquota, logbufs=N, logbsize=N"
        }
    }
}

fn meaning(fs: Filesystem, option: &str) -> Option<Meaning> {
    let flag = |flag| Some(Meaning::Flag(flag));
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let meaning = match (name, fs) {
        ("ro", _) => flag(MsFlags::MS_RDONLY),
        ("noatime", _) => flag(MsFlags::MS_NOATIME),
        ("nodiratime", _) => flag(MsFlags::MS_NODIRATIME),
        ("relatime", _) => flag(MsFlags::MS_RELATIME),
        ("strictatime", _) => flag(MsFlags::MS_STRICTATIME),
        ("lazytime", _) => flag(MsFlags::MS_LAZYTIME),
        ("noexec", _) => flag(MsFlags::MS_NOEXEC),
        // What holds for every mount may be asked for, too.
        ("nodev", _) => flag(MsFlags::MS_NODEV),
        ("nosuid", _) => flag(MsFlags::MS_NOSUID),
        ("sync", _) => flag(MsFlags::MS_SYNCHRONOUS),
        ("dirsync", _) => flag(MsFlags::MS_DIRSYNC),
        ("discard" | "nodiscard", _) | ("inode64" | "noquota", Filesystem::Xfs) => {
            Some(Meaning::Word)
        }
        ("commit" | "stripe", Filesystem::Ext4) | ("logbufs" | "logbsize", Filesystem::Xfs) => {
            Some(Meaning::Number)
        }
        _ => None,
    }?;
    let fits = match (meaning, value) {
        (Meaning::Number, Some(value)) => {
            (1..=9).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit())
        }
        (Meaning::Flag(_) | Meaning::Word, None) => true,
        _ => false,
    };
    fits.then_some(meaning)
}

#[cfg(test)]
mod tests {
    //! What passes, and what must not.

    use super::*;
    use proptest::prelude::*;

    fn extra(options: &[&str]) -> MountOptions {
        let extra = options.iter().map(ToString::to_string).collect();
        MountOptions {
            extra,
            ..MountOptions::default()
        }
    }

    #[test]
    fn no_device_nodes_and_no_gained_rights_whatever_is_asked() {
        for options in [extra(&[]), extra(&["noatime", "commit=30", "discard"])] {
            let (flags, _) = options.resolve(Filesystem::Ext4).unwrap();
            assert!(flags.contains(MsFlags::MS_NODEV | MsFlags::MS_NOSUID));
        }
        for bad in [
            "dev",
            "suid",
            "exec",
            "loop",
            "context=x",
            "noatime,suid",
            "commit=",
            "commit=5,suid",
            "commit=5\n",
            "remount",
            "bind",
            "errors=panic",
            "journal_path=/x",
            "logdev=/dev/x",
            "",
            "noatime=1",
            "noload",
            "norecovery",
            "nobarrier",
            "data=writeback",
            "logbufs=8",
            "nouuid",
        ] {
            let error = extra(&[bad]).resolve(Filesystem::Ext4).unwrap_err();
            assert!(
                error.to_string().contains("noatime"),
                "{bad:?} names what is allowed"
            );
        }
    }

    #[test]
    fn what_the_kernel_is_given() {
        let (flags, data) = extra(&["noatime", "commit=30"])
            .resolve(Filesystem::Ext4)
            .unwrap();
        assert!(flags.contains(MsFlags::MS_NOATIME));
        assert_eq!(data, "noinit_itable,commit=30");
        let beside = MountOptions {
            read_only: true,
            nouuid: true,
            extra: vec![],
        };
        let (flags, data) = beside.resolve(Filesystem::Xfs).unwrap();
        assert!(flags.contains(MsFlags::MS_RDONLY));
        assert_eq!(data, "norecovery,nouuid");
        assert_eq!(beside.resolve(Filesystem::Ext4).unwrap().1, "noload");
        // A volume that is read only still has its journal replayed.
        let read_only = MountOptions::of(Filesystem::Xfs, &["ro".into(), "logbufs=8".into()]);
        let (flags, data) = read_only.unwrap().resolve(Filesystem::Xfs).unwrap();
        assert!(flags.contains(MsFlags::MS_RDONLY));
        assert_eq!(data, "logbufs=8");
    }

    #[test]
    fn each_filesystem_has_options_of_its_own() {
        for (fs, other) in [
            (Filesystem::Ext4, "inode64"),
            (Filesystem::Xfs, "commit=5"),
            (Filesystem::Xfs, "data=journal"),
        ] {
            let error = MountOptions::of(fs, &[other.to_owned()]).unwrap_err();
            assert!(error.to_string().contains(fs.as_str()), "{error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_passes_can_carry_a_second_option(text in any::<String>()) {
            let option = [text];
            let refs: Vec<&str> = option.iter().map(String::as_str).collect();
            if let Ok((_, data)) = extra(&refs).resolve(Filesystem::Ext4) {
                prop_assert!(data.matches(',').count() <= 1);
            }
        }
    }
}

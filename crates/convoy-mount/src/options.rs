//! Mount options: an allow-list, since whoever chooses them may be a tenant.

use crate::filesystem::Filesystem;
use nix::mount::MsFlags;

/// How to mount.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountOptions {
    /// Refuse writes. Nothing is written by the mount either: no journal is replayed, so what is shown
    /// is the file system without its journal's last moments.
    pub read_only: bool,
    /// Mount an xfs although one with the same UUID is mounted: a snapshot beside its origin.
    pub nouuid: bool,
    /// More options, each one word of the list in [`MountOptions::ALLOWED`].
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
    /// What `extra` may hold. `dev` and `suid` are not in it: a volume never carries device nodes
    /// that open, nor programs that gain rights, on the host.
    pub const ALLOWED: &'static str = "noatime, nodiratime, relatime, strictatime, lazytime, noexec, sync, dirsync, discard, nodiscard, noload, norecovery, inode64, noquota, commit=N, stripe=N, logbufs=N, logbsize=N";

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
            match meaning(option).ok_or_else(|| InvalidOption::new(option, Self::ALLOWED))? {
                Meaning::Flag(flag) => flags |= flag,
                Meaning::Word | Meaning::Number if data.contains(&option.as_str()) => {}
                Meaning::Word | Meaning::Number => data.push(option),
            }
        }
        Ok((flags, data.join(",")))
    }
}

fn meaning(option: &str) -> Option<Meaning> {
    let flag = |flag| Some(Meaning::Flag(flag));
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let meaning = match name {
        "noatime" => flag(MsFlags::MS_NOATIME),
        "nodiratime" => flag(MsFlags::MS_NODIRATIME),
        "relatime" => flag(MsFlags::MS_RELATIME),
        "strictatime" => flag(MsFlags::MS_STRICTATIME),
        "lazytime" => flag(MsFlags::MS_LAZYTIME),
        "noexec" => flag(MsFlags::MS_NOEXEC),
        "sync" => flag(MsFlags::MS_SYNCHRONOUS),
        "dirsync" => flag(MsFlags::MS_DIRSYNC),
        "discard" | "nodiscard" | "noload" | "norecovery" | "inode64" | "noquota" => {
            Some(Meaning::Word)
        }
        "commit" | "stripe" | "logbufs" | "logbsize" => Some(Meaning::Number),
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

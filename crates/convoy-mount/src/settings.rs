//! Settings of a new file system: an allow-list, since whoever chooses them may be a tenant.
//!
//! Words of our own, one meaning each, in place of the tools' own options: those can name other files and
//! devices, and turn off what we rely on.

use crate::filesystem::Filesystem;
use crate::options::InvalidOption;

/// What a setting takes.
#[derive(Clone, Copy)]
enum Value {
    /// This many at most.
    Number(u32),
    /// A label of this many characters at most.
    Label(usize),
}

/// A setting, what it takes, and how the tool is told: the option, and the text its value is put behind.
struct Setting {
    name: &'static str,
    value: Value,
    option: &'static str,
    before: &'static str,
    behind: &'static str,
}

const fn number(
    name: &'static str,
    most: u32,
    option: &'static str,
    before: &'static str,
) -> Setting {
    Setting {
        name,
        value: Value::Number(most),
        option,
        before,
        behind: "",
    }
}

/// `mke2fs(8)`.
const EXT4: &[Setting] = &[
    number("block-size", 4096, "-b", ""),
    number("bytes-per-inode", 64 << 20, "-i", ""),
    number("inode-size", 4096, "-I", ""),
    number("inodes", u32::MAX, "-N", ""),
    number("journal-size", 10_240, "-J", "size="),
    number("reserved", 50, "-m", ""),
    Setting {
        name: "label",
        value: Value::Label(16),
        option: "-L",
        before: "",
        behind: "",
    },
];
const EXT4_RULE: &str = "a new ext4 takes block-size=N, bytes-per-inode=N, inode-size=N, inodes=N, journal-size=MIB, reserved=PERCENT, label=TEXT (16 visible ASCII characters at most)";

/// `mkfs.xfs(8)`.
const XFS: &[Setting] = &[
    // More than a page cannot be mounted.
    number("block-size", 4096, "-b", "size="),
    number("inode-size", 2048, "-i", "size="),
    number("max-inodes", 100, "-i", "maxpct="),
    number("reflink", 1, "-m", "reflink="),
    Setting {
        name: "log-size",
        value: Value::Number(2038),
        option: "-l",
        before: "size=",
        behind: "m",
    },
    Setting {
        name: "label",
        value: Value::Label(12),
        option: "-L",
        before: "",
        behind: "",
    },
];
const XFS_RULE: &str = "a new xfs takes block-size=N, inode-size=N, log-size=MIB, max-inodes=PERCENT, reflink=0|1, label=TEXT (12 visible ASCII characters at most)";

/// Arguments for the tool that makes this file system.
///
/// # Errors
/// A setting that is not in the list, or has a value that it does not take, or is given twice: the error
/// names all that are.
pub(crate) fn arguments(fs: Filesystem, settings: &[String]) -> Result<Vec<String>, InvalidOption> {
    let (known, rule) = match fs {
        Filesystem::Ext4 => (EXT4, EXT4_RULE),
        Filesystem::Xfs => (XFS, XFS_RULE),
    };
    let mut arguments = Vec::new();
    let mut given = Vec::new();
    for text in settings {
        let invalid = || InvalidOption::new(text, rule);
        let (name, value) = text.split_once('=').ok_or_else(invalid)?;
        let setting = known.iter().find(|setting| setting.name == name);
        let setting = setting.ok_or_else(invalid)?;
        if !fits(setting.value, value) {
            return Err(invalid());
        }
        if given.contains(&name) {
            return Err(InvalidOption::new(text, "it is given twice"));
        }
        given.push(name);
        let argument = format!("{}{value}{}", setting.before, setting.behind);
        arguments.extend([setting.option.to_owned(), argument]);
    }
    Ok(arguments)
}

fn fits(takes: Value, value: &str) -> bool {
    match takes {
        Value::Number(most) => {
            let digits =
                (1..=10).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
            digits && value.parse::<u32>().is_ok_and(|number| number <= most)
        }
        Value::Label(longest) => is_label(value, longest),
    }
}

/// Visible ASCII that no tool takes for an option.
pub(crate) fn is_label(text: &str, longest: usize) -> bool {
    let visible = text.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    visible && !text.is_empty() && !text.starts_with('-') && text.len() <= longest
}

#[cfg(test)]
mod tests {
    //! What passes, and what must not.

    use super::*;
    use proptest::prelude::*;

    fn told(fs: Filesystem, settings: &[&str]) -> Result<Vec<String>, InvalidOption> {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        arguments(fs, &settings)
    }

    #[test]
    fn what_the_tools_are_told() {
        assert_eq!(
            told(
                Filesystem::Ext4,
                &["inode-size=512", "reserved=0", "journal-size=8", "label=a"]
            )
            .unwrap(),
            ["-I", "512", "-m", "0", "-J", "size=8", "-L", "a"]
        );
        assert_eq!(
            told(
                Filesystem::Xfs,
                &["log-size=64", "reflink=0", "inode-size=1024"]
            )
            .unwrap(),
            ["-l", "size=64m", "-m", "reflink=0", "-i", "size=1024"]
        );
    }

    #[test]
    fn what_is_not_in_the_list_is_refused_with_the_list() {
        for (fs, bad) in [
            (Filesystem::Ext4, "journal-device=/dev/sda"),
            (Filesystem::Ext4, "-O"),
            (Filesystem::Ext4, "inodes"),
            (Filesystem::Ext4, "inodes="),
            (Filesystem::Ext4, "inodes=-1"),
            (Filesystem::Ext4, "inodes=1 -d /etc"),
            (Filesystem::Ext4, "reserved=51"),
            (Filesystem::Ext4, "label=-rf"),
            (Filesystem::Ext4, "log-size=64"),
            (Filesystem::Xfs, "reflink=2"),
            (Filesystem::Xfs, "log-size=64,logdev=/dev/sda"),
            (Filesystem::Xfs, "label=thirteen-byte"),
            (Filesystem::Xfs, "reserved=0"),
        ] {
            let error = told(fs, &[bad]).unwrap_err().to_string();
            assert!(error.contains("inode-size=N"), "{bad}: {error}");
        }
        assert!(told(Filesystem::Ext4, &["inodes=9", "inodes=10"]).is_err());
    }

    proptest! {
        /// One option and one value for each setting, and the value holds nothing that begins another.
        #[test]
        fn nothing_that_passes_can_carry_a_second_argument(text in any::<String>(), fs in any::<bool>()) {
            let fs = if fs { Filesystem::Ext4 } else { Filesystem::Xfs };
            for name in ["inodes", "label", "log-size", "inode-size"] {
                let setting = format!("{name}={text}");
                if let Ok(arguments) = told(fs, &[&setting]) {
                    prop_assert_eq!(arguments.len(), 2);
                    prop_assert!(!arguments[1].starts_with('-') && !arguments[1].contains([',', ' ', '/']) || name == "label");
                }
            }
        }
    }
}

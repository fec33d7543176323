//! Whose the root directory of a new file system is, and who may enter it.
//!
//! Set while the file system is made, without mounting it: what was mounted once is taken for used.

use crate::error::Error;
use crate::filesystem::Filesystem;
use crate::tool;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// User and group, by number: names are the container's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    /// 0 is root.
    pub uid: u32,
    /// 0 is root's group.
    pub gid: u32,
}

/// Permissions, the set-id bits and the sticky bit: 0 to 07777. Written and read in octal, as `chmod` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u16);

/// Text that is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no mode: write 1 to 4 octal digits, such as 0755")]
pub struct InvalidMode(String);

impl Mode {
    /// As the kernel has it.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl FromStr for Mode {
    type Err = InvalidMode;

    fn from_str(text: &str) -> Result<Self, InvalidMode> {
        let invalid = || InvalidMode(text.chars().take(40).collect());
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        // `from_str_radix` takes a sign, and a leading zero is one digit more at most.
        let significant = text.strip_prefix('0').unwrap_or(text);
        if !digits || text.is_empty() || significant.len() > 4 {
            return Err(invalid());
        }
        match u16::from_str_radix(text, 8) {
            Ok(mode) => Ok(Self(mode)),
            Err(_) => Err(invalid()),
        }
    }
}

/// A directory's bits in an inode's mode.
const DIRECTORY: u16 = 0o040_000;

/// Gives the root directory of a file system that is not mounted this owner and mode. ext4's owner is
/// `mke2fs`'s to set. The tools succeed whatever they did, so what they say is read.
pub(crate) fn set_root(
    device: &Path,
    fs: Filesystem,
    owner: Option<Owner>,
    mode: Option<Mode>,
) -> Result<(), Error> {
    match fs {
        Filesystem::Ext4 => mode.map_or(Ok(()), |mode| set_ext4(device, mode)),
        Filesystem::Xfs if owner.is_none() && mode.is_none() => Ok(()),
        Filesystem::Xfs => set_xfs(device, owner, mode),
    }
}

fn set_ext4(device: &Path, mode: Mode) -> Result<(), Error> {
    let set = format!("set_inode_field <2> mode 0{:o}", DIRECTORY | mode.get());
    let words = ["-w", "-R", &set].map(AsRef::as_ref);
    tool::run("debugfs", words.into_iter().chain([device.as_os_str()]))?;
    let words = ["-R", "stat <2>"].map(AsRef::as_ref);
    let output = tool::run("debugfs", words.into_iter().chain([device.as_os_str()]))?;
    let shown = String::from_utf8_lossy(&output.stdout);
    let mut words = shown.split_ascii_whitespace();
    let found = words.find(|word| *word == "Mode:").and(words.next());
    if found.and_then(|found| found.parse().ok()) == Some(mode) {
        return Ok(());
    }
    Err(Error::Tool {
        tool: "debugfs",
        device: device.to_owned(),
        message: format!(
            "the root directory did not get mode {mode}: {}",
            tool::said(&output)
        ),
    })
}

fn set_xfs(device: &Path, owner: Option<Owner>, mode: Option<Mode>) -> Result<(), Error> {
    let mut wanted = Vec::new();
    if let Some(Owner { uid, gid }) = owner {
        wanted.push(("uid", uid.to_string()));
        wanted.push(("gid", gid.to_string()));
    }
    if let Some(mode) = mode {
        wanted.push(("mode", format!("0{:o}", DIRECTORY | mode.get())));
    }
    let mut words: Vec<String> = ["-x", "-c", "sb 0", "-c", "addr rootino"]
        .map(String::from)
        .into();
    for (field, value) in &wanted {
        words.extend(["-c".into(), format!("write core.{field} {value}")]);
    }
    let words = words.iter().map(AsRef::as_ref);
    let output = tool::run("xfs_db", words.chain([device.as_os_str()]))?;
    // Each write is answered with the field as it is now.
    let shown = String::from_utf8_lossy(&output.stdout);
    let done = wanted.iter().all(|(field, value)| {
        let line = format!("core.{field} = {value}");
        shown.lines().any(|shown| shown.trim() == line)
    });
    if done && output.status.success() {
        return Ok(());
    }
    Err(Error::Tool {
        tool: "xfs_db",
        device: device.to_owned(),
        message: format!("the root directory stays root's: {}", tool::said(&output)),
    })
}

#[cfg(test)]
mod tests {
    //! Modes as text.

    use super::*;

    #[test]
    fn modes_are_octal() {
        for (text, mode) in [
            ("0", 0),
            ("755", 0o755),
            ("0755", 0o755),
            ("1777", 0o1777),
            ("01777", 0o1777),
            ("7777", 0o7777),
        ] {
            let parsed: Mode = text.parse().unwrap();
            assert_eq!(parsed.get(), mode, "{text}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
        for bad in [
            "", "8", "0o755", "+755", "-1", "rwx", "10000", "017777", "0x1", "7 5",
        ] {
            assert!(bad.parse::<Mode>().is_err(), "{bad}");
        }
    }
}

//! The file systems a volume can have.

use convoy_units::Bytes;
use std::fmt;
use std::str::FromStr;

/// A file system that we make, mount and grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filesystem {
    /// The default.
    Ext4,
    /// Where large files and much parallelism matter.
    Xfs,
}

/// A file system we do not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a supported file system: ext4 and xfs are")]
pub struct UnknownFilesystem(String);

impl Filesystem {
    /// The name the kernel and everybody else knows it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// The smallest device it can be made on. `mkfs.xfs` refuses less than 300 MB since 6.0, since smaller ones
    /// perform badly and are not tested; older ones made them.
    pub const fn least_size(self) -> Bytes {
        match self {
            Self::Ext4 => Bytes(0),
            Self::Xfs => Bytes::mib(300),
        }
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Filesystem {
    type Err = UnknownFilesystem;

    fn from_str(text: &str) -> Result<Self, UnknownFilesystem> {
        match text {
            "ext4" => Ok(Self::Ext4),
            "xfs" => Ok(Self::Xfs),
            _ => Err(UnknownFilesystem(text.chars().take(60).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Names, there and back.

    use super::*;

    #[test]
    fn names() {
        for fs in [Filesystem::Ext4, Filesystem::Xfs] {
            assert_eq!(fs.to_string().parse(), Ok(fs));
        }
        for bad in ["", "ext3", "EXT4", "../x", "ext4,xfs"] {
            assert!(bad.parse::<Filesystem>().is_err(), "{bad}");
        }
    }
}

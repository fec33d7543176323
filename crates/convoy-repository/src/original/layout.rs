//! Where the original keeps what: names to keys, and back.
//!
//! ```text
//! volumes/<n[0:2]>/<n[2:4]>/<n>/volume.cfg
//!                              /backups/backup_<name>.cfg
//!                              /blocks/<h[0:2]>/<h[2:4]>/<h>.blk
//! ```
//! `n` is the volume's name (a UUID before version 0.5), filled up with `!` to four characters.

use convoy_objectstore::Key;
use std::fmt;

/// The longest name of a volume or backup, in bytes: what a directory takes.
const MAX_NAME: usize = 240;
/// A volume's name is cut into a path after its second and fourth character.
const LAYERS: usize = 4;

/// The name of a volume as the original writes it into its paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeDirectory(String);

impl VolumeDirectory {
    /// Of a volume's name, filled up or not; `None` for one that is no name.
    pub fn of_name(name: &str) -> Option<Self> {
        let bare = unpadded(name);
        is_name(bare).then(|| Self(format!("{bare:!<LAYERS$}")))
    }

    /// The volume's name.
    pub fn name(&self) -> &str {
        unpadded(&self.0)
    }

    /// The directory that this key lies in; `None` where the original would have put nothing.
    pub(super) fn of_key(key: &Key) -> Option<Self> {
        let name = key.as_str().split('/').nth(3)?;
        let directory = Self::of_name(name)?;
        key.as_str()
            .starts_with(&directory.inside())
            .then_some(directory)
    }

    fn path(&self) -> String {
        let layer = |from: usize| self.0.get(from..from + 2).unwrap_or_default();
        format!("volumes/{}/{}/{}", layer(0), layer(2), self.0)
    }

    /// What all keys in it begin with.
    fn inside(&self) -> String {
        format!("{}/", self.path())
    }

    pub(super) fn volume_key(&self) -> Key {
        key(format!("{}/volume.cfg", self.path()))
    }

    /// What the keys of its backups begin with.
    pub(super) fn backups(&self) -> String {
        format!("{}/backups/backup_", self.path())
    }

    /// `None` for a name that no backup can have.
    pub(super) fn backup_key(&self, name: &str) -> Option<Key> {
        is_name(name).then(|| key(format!("{}{name}.cfg", self.backups())))
    }

    /// The name of the backup whose text has this key.
    pub(super) fn backup_of<'k>(&self, key: &'k Key) -> Option<&'k str> {
        let name = key.as_str().strip_prefix(&self.backups())?;
        name.strip_suffix(".cfg").filter(|name| is_name(name))
    }

    pub(super) fn block_key(&self, checksum: &Checksum) -> Key {
        let digits = checksum.to_string();
        let layer = |from: usize| digits.get(from..from + 2).unwrap_or_default();
        key(format!(
            "{}/blocks/{}/{}/{digits}.blk",
            self.path(),
            layer(0),
            layer(2)
        ))
    }
}

/// The first half of a block's SHA-512.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum(pub [u8; 32]);

impl Checksum {
    /// From 64 hexadecimal digits in lower case, as the original writes them.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = digits.as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = value(*high)? << 4 | value(*low)?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether this can be the name of a volume or backup: the original's rule, but one character is enough.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.len() <= MAX_NAME
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b))
}

/// A name without what fills it up. A name of its own has no `!`.
fn unpadded(name: &str) -> &str {
    if name.len() == LAYERS {
        name.trim_end_matches('!')
    } else {
        name
    }
}

fn key(text: String) -> Key {
    Key::of_original(text).expect("names that keep the rule, and digits, make a key")
}

#[cfg(test)]
mod tests {
    //! Names at their edges, and hostile ones.

    use super::*;

    #[track_caller]
    fn check(name: &str, volume_key: &str) {
        let directory = VolumeDirectory::of_name(name).unwrap();
        assert_eq!(directory.volume_key().as_str(), volume_key);
        assert_eq!(
            VolumeDirectory::of_key(&directory.volume_key()).as_ref(),
            Some(&directory)
        );
        assert_eq!(
            VolumeDirectory::of_name(directory.name()).as_ref(),
            Some(&directory)
        );
    }

    #[test]
    fn short_names_are_filled_up() {
        check("a", "volumes/a!/!!/a!!!/volume.cfg");
        check("ab", "volumes/ab/!!/ab!!/volume.cfg");
        check("abc", "volumes/ab/c!/abc!/volume.cfg");
        check("abc!", "volumes/ab/c!/abc!/volume.cfg");
        check("vol1", "volumes/vo/l1/vol1/volume.cfg");
        check("Vol.1-x_y", "volumes/Vo/l./Vol.1-x_y/volume.cfg");
        check(
            "f98f9ea1-dd6e-4490-8212-6d50df1982ea",
            "volumes/f9/8f/f98f9ea1-dd6e-4490-8212-6d50df1982ea/volume.cfg",
        );
        assert_eq!(VolumeDirectory::of_name("ab!!").unwrap().name(), "ab");
    }

    #[test]
    fn a_name_that_would_lead_elsewhere_is_none() {
        let long = "a".repeat(MAX_NAME + 1);
        for name in [
            "", "!!!!", "..", "../x", "a/b", "abcd!", "ab!c", "a b", "-rf", "a\0", "ä", &long,
        ] {
            assert_eq!(VolumeDirectory::of_name(name), None, "{name:?}");
            let vol1 = VolumeDirectory::of_name("vol1").unwrap();
            assert_eq!(vol1.backup_key(name), None, "{name:?}");
        }
        let longest = VolumeDirectory::of_name(&"a".repeat(MAX_NAME)).unwrap();
        let backup = longest.backup_key(&"b".repeat(MAX_NAME)).unwrap();
        assert_eq!(longest.backup_of(&backup), Some(&*"b".repeat(MAX_NAME)));
    }

    #[test]
    fn a_key_elsewhere_is_of_no_volume() {
        for text in [
            "volumes/xx/l1/vol1/volume.cfg",
            "volumes/vol1/volume.cfg",
            "volumes/vo/l1/vol1",
            "other/vo/l1/vol1/volume.cfg",
            "volumes/ab/!!/ab/volume.cfg",
        ] {
            let key = Key::of_original(text).unwrap();
            assert_eq!(VolumeDirectory::of_key(&key), None, "{text}");
        }
    }

    #[test]
    fn a_checksum_is_64_digits() {
        let digits = "731859029215873fdac1c9f2f8bd25a334abf0f3a9e1b057cf2cacc2826d86b0";
        let checksum = Checksum::parse(digits).unwrap();
        assert_eq!(checksum.to_string(), digits);
        let vol1 = VolumeDirectory::of_name("vol1").unwrap();
        assert_eq!(
            vol1.block_key(&checksum).as_str(),
            format!("volumes/vo/l1/vol1/blocks/73/18/{digits}.blk")
        );
        for text in [
            "",
            "73",
            &digits.to_uppercase(),
            &digits[1..],
            &format!("{digits}0"),
            &format!("../../{}", &digits[6..]),
            &format!("é{}", &digits[2..]),
        ] {
            assert_eq!(Checksum::parse(text), None, "{text:?}");
        }
    }
}

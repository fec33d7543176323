//! The names devices carry inside device-mapper, and how ours are made.
//!
//! A thin device is `<pool>-<volume UUID>`: a volume's own name never gets here, so a rename touches no
//! live device and no `-` is ambiguous. Identity is the dm uuid, `CONVOY-<pool UUID>-<volume UUID>`
//! (both as 32 hexadecimal digits): ours are found by it whatever they are called.

use convoy_names::PoolName;
use std::fmt;
use uuid::Uuid;

/// The prefix of the dm uuid of everything we own.
const OWNER: &str = "CONVOY-";

/// A name or dm uuid that device-mapper does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} cannot be a device-mapper {what}: it takes 1 to {limit} visible ASCII characters without '/'"
)]
pub struct InvalidDmName {
    what: &'static str,
    limit: usize,
    text: String,
}

macro_rules! identifier {
    ($(#[doc = $doc:literal])* $name:ident, $what:literal, $limit:literal) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checked against the kernel's length (`DM_NAME_LEN`, `DM_UUID_LEN` less the final NUL).
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidDmName> {
                let text = text.into();
                let visible = text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
                if visible && !text.is_empty() && text.len() <= $limit {
                    return Ok(Self(text));
                }
                let text = text.chars().take(140).collect();
                Err(InvalidDmName { what: $what, limit: $limit, text })
            }

            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier! {
    /// The name of a device: at most 127 bytes. The node `/dev/mapper/NAME` carries it.
    DmName, "name", 127
}
identifier! {
    /// The dm uuid of a device: at most 128 bytes, set once and for the device's life.
    DmUuid, "uuid", 128
}

/// The dm name of a pool: its own name. Fails where a name of ours is too long to leave room for
/// the volumes' names after it.
pub fn pool_name(pool: &PoolName) -> Result<DmName, InvalidDmName> {
    thin_name(pool, Uuid::nil())?;
    DmName::new(pool.as_str())
}

/// The dm name of a volume or snapshot of this pool.
pub fn thin_name(pool: &PoolName, uuid: Uuid) -> Result<DmName, InvalidDmName> {
    DmName::new(format!("{pool}-{}", uuid.simple()))
}

/// The dm uuid of a pool.
pub fn pool_uuid(pool: Uuid) -> DmUuid {
    DmUuid(format!("{OWNER}{}", pool.simple()))
}

/// The dm uuid of a volume or snapshot of this pool.
pub fn thin_uuid(pool: Uuid, uuid: Uuid) -> DmUuid {
    DmUuid(format!("{OWNER}{}-{}", pool.simple(), uuid.simple()))
}

/// The dm name of the device between a pool and a metadata device of which it is given a part. No thin device's:
/// these end in 32 digits.
pub(crate) fn metadata_name(pool: &PoolName) -> Result<DmName, InvalidDmName> {
    DmName::new(format!("{pool}-metadata"))
}

/// The dm uuid of that device.
pub(crate) fn metadata_uuid(pool: Uuid) -> DmUuid {
    DmUuid(format!("{OWNER}{}-metadata", pool.simple()))
}

/// Whose volume or snapshot a dm uuid names, if it is one of this pool's.
pub(crate) fn thin_of(pool: Uuid, uuid: &DmUuid) -> Option<Uuid> {
    let text = uuid.as_str().strip_prefix(OWNER)?;
    let (owner, thin) = text.split_once('-')?;
    if owner != pool.simple().to_string() || thin.len() != 32 {
        return None;
    }
    Uuid::try_parse(thin).ok()
}

#[cfg(test)]
mod tests {
    //! Names made, and told apart again.

    use super::*;

    #[test]
    fn a_pool_name_leaves_room_for_its_volumes() {
        let fits: PoolName = "p".repeat(94).parse().unwrap();
        let long: PoolName = "p".repeat(95).parse().unwrap();
        assert!(pool_name(&fits).is_ok());
        assert_eq!(thin_name(&fits, Uuid::nil()).unwrap().as_str().len(), 127);
        assert!(pool_name(&long).unwrap_err().to_string().contains("127"));
    }

    #[test]
    fn only_this_pools_uuids_are_its_own() {
        let (pool, other, volume) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        assert_eq!(thin_of(pool, &thin_uuid(pool, volume)), Some(volume));
        for foreign in [
            pool_uuid(pool),
            metadata_uuid(pool),
            thin_uuid(other, volume),
            DmUuid::new("LVM-abc").unwrap(),
            DmUuid::new(format!("CONVOY-{}-{}x", pool.simple(), volume.simple())).unwrap(),
            DmUuid::new(format!("CONVOY-{}-", pool.simple())).unwrap(),
        ] {
            assert_eq!(thin_of(pool, &foreign), None, "{foreign}");
        }
    }

    #[test]
    fn what_device_mapper_refuses_is_refused_here() {
        for bad in ["", "a/b", "a b", "a\n", "é", &"x".repeat(128)] {
            assert!(DmName::new(bad).is_err(), "{bad:?}");
        }
        assert!(DmUuid::new("x".repeat(128)).is_ok());
    }
}

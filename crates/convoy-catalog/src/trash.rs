//! Volumes in the trash, and what a container engine's removal means for a volume: rows, changes and queries.
//!
//! A volume in the trash is a volume like any other, with its snapshots and its thin device, under a name nobody
//! gives: its own is in its row here, and free for another.

use jiff::Timestamp;
use uuid::Uuid;

use convoy_names::VolumeName;

use crate::fields::{Fields, integer};
use crate::write::{Writer, refused};
use crate::{Catalog, Error};

/// A volume that was thrown away and can be had back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trashed {
    /// The volume; it has at most one of these, which goes with it.
    pub volume: Uuid,
    /// What it was called.
    pub name: VolumeName,
    /// For people.
    pub since: Timestamp,
    /// How long it stays, in seconds of a running daemon: no clock that jumps can end it.
    pub left: u64,
}

/// What becomes of a volume when a container engine removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnRemove {
    /// It goes to the trash.
    #[default]
    Trash,
    /// It is deleted at once, with its snapshots.
    Delete,
    /// Nothing: only its owner deletes it.
    Keep,
}

impl OnRemove {
    /// All there are.
    pub const ALL: &'static [Self] = &[Self::Trash, Self::Delete, Self::Keep];

    /// As the catalog and people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trash => "trash",
            Self::Delete => "delete",
            Self::Keep => "keep",
        }
    }
}

impl Catalog {
    /// All volumes in the trash, the longest there first.
    pub fn trash(&self) -> Result<Vec<Trashed>, Error> {
        self.select("trash", "ORDER BY since, volume", &[], trashed)
    }

    /// That a volume is in the trash.
    pub fn trashed(&self, volume: Uuid) -> Result<Option<Trashed>, Error> {
        self.select_one("trash", "WHERE volume = ?1", &volume.to_string(), trashed)
    }

    /// What removing a volume means, where that was said.
    pub fn on_remove(&self, volume: Uuid) -> Result<Option<OnRemove>, Error> {
        self.select_one(
            "removals",
            "WHERE volume = ?1",
            &volume.to_string(),
            |row| row.word("on_remove", OnRemove::ALL, OnRemove::as_str),
        )
    }
}

impl Writer<'_> {
    pub(crate) fn trashed(&self, trashed: &Trashed) -> Result<(), Error> {
        self.upsert(
            &format!("that volume {} is in the trash", trashed.name),
            "trash",
            &[],
            &[
                ("volume", &trashed.volume.to_string()),
                ("name", &trashed.name.as_str()),
                ("since", &trashed.since.to_string()),
                ("left_seconds", &integer("grace period", trashed.left)?),
            ],
        )
    }

    /// Lets so much time pass for everything in the trash.
    pub(crate) fn age_trash(&self, seconds: u64) -> Result<(), Error> {
        let sql = "UPDATE trash SET left_seconds = max(0, left_seconds - ?1)";
        self.run(sql, &[&integer("time", seconds)?])
            .map_err(|source| Error::sqlite("letting time pass for the trash", source))
    }

    pub(crate) fn removal(&self, volume: Uuid, on_remove: OnRemove) -> Result<(), Error> {
        let sql = "INSERT INTO removals (volume, on_remove) VALUES (?1, ?2)
                   ON CONFLICT (volume) DO UPDATE SET on_remove = excluded.on_remove";
        self.run(sql, &[&volume.to_string(), &on_remove.as_str()])
            .map_err(|source| refused("what removing a volume means", source))
    }
}

fn trashed(row: &Fields<'_>) -> Result<Trashed, Error> {
    Ok(Trashed {
        volume: row.parsed("volume")?,
        name: row.parsed("name")?,
        since: row.parsed("since")?,
        left: row.number("left_seconds")?,
    })
}

#[cfg(test)]
mod tests {
    //! The name is free at once, time passes for all, and a row goes with its volume.

    use super::*;
    use crate::Change;
    use crate::samples::{Fixture, created, volume};

    fn trashed(left: u64) -> Trashed {
        Trashed {
            volume: volume(1).uuid,
            name: volume(1).name,
            since: created(),
            left,
        }
    }

    #[test]
    fn a_volume_goes_to_the_trash_and_comes_back() {
        let fixture = Fixture::new();
        let catalog = &fixture.catalog;
        let aside = crate::Volume {
            name: "trash-1".parse().unwrap(),
            ..volume(1)
        };
        catalog.apply(&[Change::PutVolume(volume(1))]).unwrap();
        let throw = [
            Change::PutVolume(aside.clone()),
            Change::PutTrashed(trashed(100)),
        ];
        catalog.apply(&throw).unwrap();
        assert_eq!(catalog.trash().unwrap(), [trashed(100)]);
        let another = crate::Volume {
            name: volume(1).name,
            ..volume(2)
        };
        catalog.apply(&[Change::PutVolume(another)]).unwrap();
        catalog.apply(&[Change::AgeTrash(30)]).unwrap();
        assert_eq!(catalog.trashed(aside.uuid).unwrap(), Some(trashed(70)));
        catalog.apply(&[Change::AgeTrash(300)]).unwrap();
        assert_eq!(catalog.trash().unwrap(), [trashed(0)]);
        catalog.apply(&[Change::RemoveVolume(aside.uuid)]).unwrap();
        assert_eq!(catalog.trash().unwrap(), [], "it goes with its volume");
    }

    #[test]
    fn what_removing_means_is_said_of_a_volume_that_is_there() {
        let fixture = Fixture::new();
        let catalog = &fixture.catalog;
        let uuid = volume(1).uuid;
        let put = |on_remove| {
            [Change::PutOnRemove {
                volume: uuid,
                on_remove,
            }]
        };
        assert!(catalog.apply(&put(OnRemove::Keep)).is_err());
        catalog.apply(&[Change::PutVolume(volume(1))]).unwrap();
        assert_eq!(catalog.on_remove(uuid).unwrap(), None);
        for on_remove in OnRemove::ALL {
            catalog.apply(&put(*on_remove)).unwrap();
            assert_eq!(catalog.on_remove(uuid).unwrap(), Some(*on_remove));
        }
        catalog.apply(&[Change::RemoveVolume(uuid)]).unwrap();
        assert_eq!(catalog.on_remove(uuid).unwrap(), None);
    }
}

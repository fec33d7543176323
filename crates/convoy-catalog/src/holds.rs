//! Who has a volume mounted through a container engine, and how often: rows, changes and queries.

use jiff::Timestamp;
use uuid::Uuid;

use crate::fields::{Fields, integer};
use crate::write::{Writer, refused};
use crate::{Catalog, Error};

/// Mounts of a volume that were asked for under one id and not given back yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The volume; its holds go with it.
    pub volume: Uuid,
    /// The id that the engine gave, of a container or of nothing we know.
    pub holder: String,
    /// The kernel's id of the boot in which it was asked for: a hold of another boot is history.
    pub boot: String,
    /// How often it was asked for; at least one.
    pub count: u64,
    /// For people.
    pub since: Timestamp,
}

impl Catalog {
    /// All holds.
    pub fn holds(&self) -> Result<Vec<Hold>, Error> {
        self.select("holds", "ORDER BY volume, holder", &[], hold)
    }

    /// The holds of a volume.
    pub fn holds_of(&self, volume: Uuid) -> Result<Vec<Hold>, Error> {
        self.select(
            "holds",
            "WHERE volume = ?1 ORDER BY holder",
            &[&volume.to_string()],
            hold,
        )
    }
}

impl Writer<'_> {
    pub(crate) fn hold(&self, hold: &Hold) -> Result<(), Error> {
        let sql = "INSERT INTO holds (volume, holder, boot, count, since) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (volume, holder) DO UPDATE SET boot = excluded.boot, count = excluded.count";
        let volume = hold.volume.to_string();
        let (count, since) = (integer("count", hold.count)?, hold.since.to_string());
        self.run(sql, &[&volume, &hold.holder, &hold.boot, &count, &since])
            .map_err(|source| refused(&format!("a hold of volume {volume}"), source))
    }

    pub(crate) fn remove_hold(&self, volume: Uuid, holder: &str) -> Result<(), Error> {
        let sql = "DELETE FROM holds WHERE volume = ?1 AND holder = ?2";
        self.run(sql, &[&volume.to_string(), &holder])
            .map_err(|source| Error::sqlite("removing a hold", source))
    }

    pub(crate) fn remove_holds_before(&self, boot: &str) -> Result<(), Error> {
        self.run("DELETE FROM holds WHERE boot <> ?1", &[&boot])
            .map_err(|source| Error::sqlite("removing the holds of another boot", source))
    }
}

fn hold(row: &Fields<'_>) -> Result<Hold, Error> {
    Ok(Hold {
        volume: row.parsed("volume")?,
        holder: row.text("holder")?,
        boot: row.text("boot")?,
        count: row.number("count")?,
        since: row.parsed("since")?,
    })
}

#[cfg(test)]
mod tests {
    //! One count per volume and id, of this boot only.

    use super::*;
    use crate::Change;
    use crate::samples::{Fixture, created, volume};

    fn hold(holder: &str, boot: &str, count: u64) -> Hold {
        Hold {
            volume: volume(1).uuid,
            holder: holder.to_owned(),
            boot: boot.to_owned(),
            count,
            since: created(),
        }
    }

    #[test]
    fn counts_are_kept_by_volume_and_id() {
        let fixture = Fixture::new();
        let catalog = &fixture.catalog;
        let uuid = volume(1).uuid;
        let put = |hold| catalog.apply(&[Change::PutHold(hold)]);
        assert!(put(hold("a", "now", 1)).is_err(), "of a volume there is");
        catalog.apply(&[Change::PutVolume(volume(1))]).unwrap();
        assert!(put(hold("a", "now", 0)).is_err(), "none is no row");
        put(hold("a", "now", 1)).unwrap();
        put(hold("a", "now", 2)).unwrap();
        put(hold("b", "before", 1)).unwrap();
        let all = [hold("a", "now", 2), hold("b", "before", 1)];
        assert_eq!(catalog.holds_of(uuid).unwrap(), all);
        let forget = Change::RemoveHoldsBefore {
            boot: "now".to_owned(),
        };
        catalog.apply(&[forget]).unwrap();
        assert_eq!(catalog.holds().unwrap(), [hold("a", "now", 2)]);
        let release = |holder: &str| Change::RemoveHold {
            volume: uuid,
            holder: holder.to_owned(),
        };
        catalog.apply(&[release("b")]).unwrap();
        assert_eq!(catalog.holds().unwrap().len(), 1);
        catalog.apply(&[release("a")]).unwrap();
        assert_eq!(catalog.holds().unwrap(), []);
        put(hold("c", "now", 1)).unwrap();
        catalog.apply(&[Change::RemoveHolds(uuid)]).unwrap();
        put(hold("d", "now", 1)).unwrap();
        catalog.apply(&[Change::RemoveVolume(uuid)]).unwrap();
        assert_eq!(catalog.holds().unwrap(), [], "they go with their volume");
    }
}

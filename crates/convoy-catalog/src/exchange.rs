//! A volume and a snapshot of it change places: what completes a rollback.
//!
//! The triggers that keep a device with its row let this pass while the intent that announces exactly this
//! exchange is pending, and nothing else ever.

use crate::Error;
use crate::write::refused;
use rusqlite::{OptionalExtension, Transaction};
use uuid::Uuid;

/// Gives the snapshot its volume's device and size, and the volume the snapshot's.
pub(crate) fn devices(transaction: &Transaction<'_>, snapshot: Uuid) -> Result<(), Error> {
    let what = format!("the exchange of snapshot {snapshot} and its volume");
    let query =
        "SELECT volumes.uuid, volumes.dev_id, volumes.size, snapshots.dev_id, snapshots.size
                 FROM snapshots JOIN volumes ON volumes.uuid = snapshots.volume
                 WHERE snapshots.uuid = ?1";
    let found: Option<(String, i64, i64, i64, i64)> = transaction
        .query_row(query, [snapshot.to_string()], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        })
        .optional()
        .map_err(|source| Error::sqlite(&*what, source))?;
    let Some((volume, volume_device, volume_size, device, size)) = found else {
        return Err(Error::Missing {
            what: format!("snapshot {snapshot}"),
        });
    };
    transaction
        .execute(
            "UPDATE volumes SET dev_id = ?2, size = ?3 WHERE uuid = ?1",
            (volume, device, size),
        )
        .map_err(|source| refused(&what, source))?;
    transaction
        .execute(
            "UPDATE snapshots SET dev_id = ?2, size = ?3, state = 'ready' WHERE uuid = ?1",
            (snapshot.to_string(), volume_device, volume_size),
        )
        .map_err(|source| refused(&what, source))?;
    // What was half overwritten is in the snapshot now: the volume is whole.
    transaction
        .execute(
            "DELETE FROM overwrites WHERE volume = (SELECT volume FROM snapshots WHERE uuid = ?1)",
            [snapshot.to_string()],
        )
        .map_err(|source| refused(&what, source))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    //! Only what was announced.

    use crate::samples::{Fixture, POOL, dev_id, snapshot, uuid, volume};
    use crate::{Action, Change, Error, NewIntent, SnapshotState};
    use convoy_units::Bytes;

    /// A volume with device 1, and a snapshot with device 2 that is to change places with it.
    fn fixture() -> Fixture {
        let fixture = Fixture::new();
        let mut safety = snapshot(2, 1);
        safety.state = SnapshotState::Creating;
        let rows = [Change::PutVolume(volume(1)), Change::PutSnapshot(safety)];
        fixture.catalog.apply(&rows).unwrap();
        fixture
    }

    fn intent(dev: u64, instead_of: u64) -> NewIntent {
        NewIntent {
            pool: uuid(POOL),
            op: uuid(9),
            verb: "roll back".to_owned(),
            actions: vec![Action::RollBack {
                dev_id: dev_id(dev),
                origin: dev_id(7),
                instead_of: dev_id(instead_of),
            }],
        }
    }

    fn exchange() -> [Change; 1] {
        [Change::ExchangeDevices {
            snapshot: uuid(2002),
        }]
    }

    #[test]
    fn a_volume_and_its_snapshot_change_places_once() {
        let fixture = fixture();
        let catalog = &fixture.catalog;
        let before = catalog.volume(uuid(1001)).unwrap().unwrap();
        let begun = catalog.begin(&intent(2, 1), &[]).unwrap();
        assert_eq!(catalog.pending_intents().unwrap().first(), Some(&begun));
        catalog.complete(&begun, &exchange()).unwrap();
        let after = catalog.volume(uuid(1001)).unwrap().unwrap();
        let safety = catalog.snapshot(uuid(2002)).unwrap().unwrap();
        assert_eq!((after.dev_id, after.size), (dev_id(2), Bytes(512)));
        assert_eq!((safety.dev_id, safety.size), (dev_id(1), before.size));
        assert_eq!(safety.state, SnapshotState::Ready);
        assert!(matches!(
            catalog.complete(&begun, &exchange()),
            Err(Error::Missing { .. })
        ));
        assert_eq!(catalog.volume(uuid(1001)).unwrap().unwrap(), after);
    }

    #[test]
    fn nothing_else_ever_changes_its_device() {
        let fixture = fixture();
        let catalog = &fixture.catalog;
        assert!(matches!(
            catalog.apply(&exchange()),
            Err(Error::Refused { .. })
        ));
        // An intent about other devices allows nothing.
        for (dev, instead_of) in [(3, 1), (2, 3), (1, 2)] {
            let other = catalog.begin(&intent(dev, instead_of), &[]).unwrap();
            assert!(matches!(
                catalog.complete(&other, &exchange()),
                Err(Error::Refused { .. })
            ));
            catalog.abandon(&other, &[]).unwrap();
        }
        let mut moved = volume(1);
        moved.dev_id = dev_id(5);
        assert!(catalog.apply(&[Change::PutVolume(moved)]).is_err());
        assert_eq!(catalog.volume(uuid(1001)).unwrap().unwrap(), volume(1));
    }
}

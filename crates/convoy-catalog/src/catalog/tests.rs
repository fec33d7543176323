//! Transactions: all or nothing, unique where promised, ids never given twice.

use std::collections::BTreeSet;
use std::thread;

use convoy_fault::{Fault, Kind};
use convoy_units::Bytes;

use super::*;
use crate::samples::{
    Fixture, POOL, State, backup, destination, dev_id, mount, pin, pool, snapshot, suspect, uuid,
    volume,
};
use crate::{Action, VolumeState};

mod crash;
mod history;

#[test]
fn records_come_back_as_they_were_put() {
    let Fixture { directory, catalog } = &Fixture::new();
    let changes = [
        Change::PutVolume(volume(1)),
        Change::PutSnapshot(snapshot(2, 1)),
        Change::PutMount(mount(1)),
        Change::PutDestination(destination(Some("nas"))),
        Change::PutBackup(backup(2, 1)),
        Change::PutBackup(backup(1, 1)),
        Change::PutPin(pin(2, 8)),
    ];
    catalog.apply(&changes).unwrap();
    catalog.apply(&changes).unwrap();
    let reopened = Catalog::open(&directory.path().join("catalog.db")).unwrap();
    for catalog in [catalog, &reopened] {
        assert_eq!(catalog.pool(uuid(POOL)).unwrap(), Some(pool()));
        assert_eq!(catalog.volume(volume(1).uuid).unwrap(), Some(volume(1)));
        assert_eq!(
            catalog.volume_by_name(&volume(1).name).unwrap(),
            Some(volume(1))
        );
        assert_eq!(
            catalog.snapshot_by_name(&snapshot(2, 1).name).unwrap(),
            Some(snapshot(2, 1))
        );
        assert_eq!(
            catalog.snapshot(snapshot(2, 1).uuid).unwrap(),
            Some(snapshot(2, 1))
        );
        assert_eq!(
            catalog.snapshots_of(volume(1).uuid).unwrap(),
            [snapshot(2, 1)]
        );
        assert_eq!(catalog.mount(volume(1).uuid).unwrap(), Some(mount(1)));
        let nas = "nas".parse().unwrap();
        assert_eq!(
            catalog.destination_by_name(&nas).unwrap(),
            Some(destination(Some("nas")))
        );
        let by_url = catalog.destination_by_url("vfs:///backup").unwrap();
        assert_eq!(by_url, Some(destination(Some("nas"))));
        assert_eq!(
            catalog.backups_of(volume(1).uuid).unwrap(),
            [backup(2, 1), backup(1, 1)]
        );
        assert_eq!(catalog.pins().unwrap(), [pin(2, 8)]);
        assert_eq!(catalog.volume(uuid(5)).unwrap(), None);
    }
    let removals = [
        Change::RemovePins { op: uuid(8) },
        Change::RemoveSnapshot(snapshot(2, 1).uuid),
        Change::RemoveMount(volume(1).uuid),
        Change::RemoveVolume(volume(1).uuid),
        Change::RemoveBackup(backup(1, 1).backup),
        Change::RemoveDestination("vfs:///backup".to_owned()),
    ];
    catalog.apply(&removals).unwrap();
    catalog.apply(&removals).unwrap();
    let state = State::of(catalog);
    assert!(state.volumes.is_empty() && state.snapshots.is_empty() && state.mounts.is_empty());
    assert!(state.destinations.is_empty() && state.pins.is_empty());
    assert_eq!(catalog.backups_of(volume(1).uuid).unwrap(), [backup(2, 1)]);
}

#[test]
fn what_breaks_a_rule_is_refused_whole() {
    let catalog = &Fixture::new().catalog;
    let setup = [
        Change::PutVolume(volume(1)),
        Change::PutSnapshot(snapshot(2, 1)),
        Change::PutPin(pin(2, 8)),
        Change::PutDestination(destination(Some("nas"))),
    ];
    catalog.apply(&setup).unwrap();
    let before = State::of(catalog);
    let check = |change: Change, kind: Kind, words: &str| {
        // Something good before it, to see that it goes too.
        let error = catalog
            .apply(&[Change::PutVolume(volume(77)), change])
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(State::of(catalog), before, "nothing half applied: {error}");
    };
    let put = |change: &dyn Fn(&mut crate::Volume)| {
        let mut volume = volume(3);
        change(&mut volume);
        Change::PutVolume(volume)
    };
    let name = volume(1).name;
    check(
        put(&|v| v.name = name.clone()),
        Kind::Conflict,
        "volume volume-1 cannot be recorded: its name is taken",
    );
    check(
        put(&|v| v.dev_id = dev_id(1)),
        Kind::Conflict,
        "its device id is taken",
    );
    check(
        put(&|v| v.dev_id = dev_id(2)),
        Kind::Conflict,
        "taken by a snapshot",
    );
    check(
        Change::PutSnapshot(snapshot(1, 1)),
        Kind::Conflict,
        "taken by a volume",
    );
    check(
        put(&|v| v.uuid = volume(1).uuid),
        Kind::Conflict,
        "never change",
    );
    check(put(&|v| v.pool = uuid(99)), Kind::Conflict, "not there");
    check(put(&|v| v.dev_id = dev_id(0)), Kind::Invalid, "dev_id");
    check(
        put(&|v| v.size = Bytes(u64::MAX)),
        Kind::Invalid,
        "18446744073709551615",
    );
    check(
        Change::PutSnapshot(snapshot(5, 4)),
        Kind::Conflict,
        "not there",
    );
    check(Change::PutMount(mount(4)), Kind::Conflict, "not there");
    check(Change::PutPin(pin(4, 8)), Kind::Conflict, "not there");
    check(
        Change::RemoveVolume(volume(1).uuid),
        Kind::Conflict,
        "it has snapshots or a mount",
    );
    check(
        Change::RemovePool(uuid(POOL)),
        Kind::Conflict,
        "it has volumes",
    );
    check(
        Change::RemoveSnapshot(snapshot(2, 1).uuid),
        Kind::Busy,
        "kept by a running operation",
    );
    let mut second = destination(Some("nas"));
    second.url = "vfs:///other".to_owned();
    check(
        Change::PutDestination(second),
        Kind::Conflict,
        "its name is taken",
    );
    let mut twin = pool();
    twin.uuid = uuid(50);
    check(Change::PutPool(twin), Kind::Conflict, "its name is taken");
    let transaction = TransactionId(5);
    check(
        Change::SetTransaction {
            pool: uuid(50),
            transaction,
        },
        Kind::NotFound,
        "no pool",
    );
}

#[test]
fn names_are_free_again_and_may_be_changed() {
    let catalog = &Fixture::new().catalog;
    catalog
        .apply(&[
            Change::PutVolume(volume(1)),
            Change::PutDestination(destination(None)),
        ])
        .unwrap();
    let mut renamed = volume(1);
    renamed.name = "other".parse().unwrap();
    renamed.state = VolumeState::Deleting;
    catalog
        .apply(&[Change::PutVolume(renamed.clone())])
        .unwrap();
    assert_eq!(catalog.volumes().unwrap(), [renamed]);
    let mut next = volume(2);
    next.name = volume(1).name;
    catalog.apply(&[Change::PutVolume(next)]).unwrap();
    let mut unnamed = destination(None);
    unnamed.url = "vfs:///second-without-name".to_owned();
    catalog.apply(&[Change::PutDestination(unnamed)]).unwrap();
}

#[test]
fn device_ids_are_never_given_twice() {
    let fixture = Fixture::new();
    let pool = uuid(POOL);
    let given: BTreeSet<DevId> = thread::scope(|scope| {
        let catalog = &fixture.catalog;
        let give = move || {
            (0..10)
                .map(|_| catalog.allocate_dev_id(pool).unwrap())
                .collect()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(give)).collect();
        threads
            .into_iter()
            .flat_map(|thread| -> Vec<DevId> { thread.join().unwrap() })
            .collect()
    });
    assert_eq!(given, (1..=40).map(dev_id).collect());
    // Recorded from elsewhere, and gone again.
    let catalog = &fixture.catalog;
    catalog
        .apply(&[
            Change::PutVolume(volume(50)),
            Change::RemoveVolume(volume(50).uuid),
        ])
        .unwrap();
    assert_eq!(catalog.allocate_dev_id(pool).unwrap(), dev_id(51));
    let actions = vec![Action::Delete { dev_id: dev_id(60) }];
    let intent = NewIntent {
        pool,
        op: uuid(9),
        verb: "sweep".to_owned(),
        actions,
    };
    catalog
        .abandon(&catalog.begin(&intent, &[]).unwrap(), &[])
        .unwrap();
    drop(fixture.catalog);
    let reopened = Catalog::open(&fixture.directory.path().join("catalog.db")).unwrap();
    assert_eq!(reopened.allocate_dev_id(pool).unwrap(), dev_id(61));
    assert!(matches!(
        reopened.allocate_dev_id(uuid(99)),
        Err(Error::Missing { .. })
    ));
    let last = DevId::MAX;
    let mut volume = volume(1);
    volume.dev_id = last;
    reopened.apply(&[Change::PutVolume(volume)]).unwrap();
    let error = reopened.allocate_dev_id(pool).unwrap_err();
    assert_eq!(error.kind(), Kind::PoolFull, "{error}");
}

fn intent(actions: Vec<Action>) -> NewIntent {
    NewIntent {
        pool: uuid(POOL),
        op: uuid(9),
        verb: "create volume v".to_owned(),
        actions,
    }
}

#[test]
fn an_intent_is_pending_until_completed_or_abandoned() {
    let Fixture { directory, catalog } = &Fixture::new();
    let actions = vec![
        Action::CreateThin { dev_id: dev_id(1) },
        Action::CreateSnapshot {
            dev_id: dev_id(2),
            origin: dev_id(1),
        },
        Action::Delete { dev_id: dev_id(3) },
    ];
    let mut creating = volume(1);
    creating.state = VolumeState::Creating;
    let begun = catalog
        .begin(&intent(actions.clone()), &[Change::PutVolume(creating)])
        .unwrap();
    assert_eq!((begun.from, begun.to), (TransactionId(0), TransactionId(1)));
    let reopened = Catalog::open(&directory.path().join("catalog.db")).unwrap();
    assert_eq!(
        reopened.pending_intents().unwrap(),
        std::slice::from_ref(&begun)
    );
    assert_eq!(begun.actions, actions);
    let busy = catalog.begin(&intent(vec![]), &[]).unwrap_err();
    assert_eq!(busy.kind(), Kind::Busy);
    assert!(busy.to_string().contains("create volume v"), "{busy}");
    catalog
        .complete(&begun, &[Change::PutVolume(volume(1))])
        .unwrap();
    assert_eq!(
        catalog.pool(uuid(POOL)).unwrap().unwrap().transaction,
        TransactionId(1)
    );
    assert_eq!(catalog.volumes().unwrap(), [volume(1)]);
    assert!(
        matches!(catalog.complete(&begun, &[]), Err(Error::Missing { .. })),
        "only once"
    );

    let second = catalog.begin(&intent(vec![]), &[]).unwrap();
    assert!(second.id > begun.id && second.from == TransactionId(1));
    catalog
        .abandon(&second, &[Change::RemoveVolume(volume(1).uuid)])
        .unwrap();
    assert_eq!(
        catalog.pool(uuid(POOL)).unwrap().unwrap().transaction,
        TransactionId(1)
    );
    assert!(matches!(
        catalog.abandon(&second, &[]),
        Err(Error::Missing { .. })
    ));
    assert!(catalog.volumes().unwrap().is_empty() && catalog.pending_intents().unwrap().is_empty());
}

#[test]
fn a_refused_change_leaves_the_intent_as_it_was() {
    let catalog = &Fixture::new().catalog;
    let wrong = [Change::PutMount(mount(4))];
    assert!(catalog.begin(&intent(vec![]), &wrong).is_err());
    assert!(catalog.pending_intents().unwrap().is_empty());
    let begun = catalog.begin(&intent(vec![]), &[]).unwrap();
    assert!(catalog.complete(&begun, &wrong).is_err() && catalog.abandon(&begun, &wrong).is_err());
    assert_eq!(catalog.pending_intents().unwrap(), [begun]);
    assert_eq!(catalog.pool(uuid(POOL)).unwrap(), Some(pool()));
}

#[test]
fn only_completion_and_repair_move_the_transaction_id() {
    let catalog = &Fixture::new().catalog;
    let id = || catalog.pool(uuid(POOL)).unwrap().unwrap().transaction;
    catalog
        .complete(&catalog.begin(&intent(vec![]), &[]).unwrap(), &[])
        .unwrap();
    // Somebody puts back a record read before the completion.
    catalog.apply(&[Change::PutPool(pool())]).unwrap();
    assert_eq!(id(), TransactionId(1));
    let transaction = TransactionId(7);
    catalog
        .apply(&[Change::SetTransaction {
            pool: uuid(POOL),
            transaction,
        }])
        .unwrap();
    assert_eq!(id(), transaction);
    let begun = catalog.begin(&intent(vec![]), &[]).unwrap();
    let moved = [
        Change::SetTransaction {
            pool: uuid(POOL),
            transaction,
        },
        Change::SetTransaction {
            pool: uuid(POOL),
            transaction: TransactionId(9),
        },
    ];
    assert!(
        catalog.complete(&begun, &moved).is_err(),
        "an intent completes from where it began"
    );
    assert_eq!(id(), transaction);
}

#[test]
fn readers_see_whole_transactions() {
    let fixture = &Fixture::new();
    let catalog = &fixture.catalog;
    let other = Catalog::open(&fixture.path()).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..50 {
                catalog
                    .apply(&[Change::PutVolume(volume(1)), Change::PutVolume(volume(2))])
                    .unwrap();
                let remove = [
                    Change::RemoveVolume(volume(1).uuid),
                    Change::RemoveVolume(volume(2).uuid),
                ];
                catalog.apply(&remove).unwrap();
            }
        });
        while !writer.is_finished() {
            for reader in [catalog, &other] {
                let seen = reader.volumes().unwrap().len();
                assert!(seen == 0 || seen == 2, "{seen} of 2");
            }
        }
    });
}

/// A verb that puts its volume back as it read it minutes ago must not clear it of suspicion; its first reason
/// is what a person wants to know.
#[test]
fn who_reads_waits_for_nobody_who_writes() {
    let Fixture { catalog, .. } = &Fixture::new();
    catalog.apply(&[Change::PutVolume(volume(1))]).unwrap();
    let mut writing = catalog.lock();
    let transaction = writing.transaction().unwrap();
    write::apply(&transaction, &[Change::PutVolume(volume(2))]).unwrap();
    // In the middle of a write, with its connection in our hands: what was committed is there, and only that.
    assert_eq!(catalog.volumes().unwrap(), [volume(1)]);
    transaction.commit().unwrap();
    assert_eq!(catalog.volumes().unwrap(), [volume(1), volume(2)]);
    let refused = catalog.lock_to_read().execute("DELETE FROM volumes", ());
    assert!(refused.is_err(), "not even by mistake");
    drop(writing);
    assert_eq!(catalog.volumes().unwrap(), [volume(1), volume(2)]);
}

#[test]
fn suspicion_stays_until_it_is_cleared() {
    let Fixture { catalog, .. } = &Fixture::new();
    let put = |why: &str| Change::PutSuspect(suspect(1, why));
    assert_eq!(
        catalog.apply(&[put("nobody")]).unwrap_err().kind(),
        Kind::Conflict,
        "a volume that is not there cannot be suspect"
    );
    catalog.apply(&[Change::PutVolume(volume(1))]).unwrap();
    catalog.apply(&[put("first"), put("second")]).unwrap();
    catalog.apply(&[Change::PutVolume(volume(1))]).unwrap();
    assert_eq!(
        catalog.suspect(volume(1).uuid).unwrap(),
        Some(suspect(1, "first"))
    );
    assert_eq!(catalog.suspects().unwrap(), [suspect(1, "first")]);
    let clear = Change::RemoveSuspect(volume(1).uuid);
    catalog.apply(&[clear.clone(), clear]).unwrap();
    assert_eq!(catalog.suspect(volume(1).uuid).unwrap(), None);
    catalog
        .apply(&[put("third"), Change::RemoveVolume(volume(1).uuid)])
        .unwrap();
    assert_eq!(catalog.suspects().unwrap(), [], "it goes with its volume");
}

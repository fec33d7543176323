//! Making, opening and appending, over stores that lose answers, fail and lie.

use crate::body::{Backups, Body, Commit, Keep, Listed};
use crate::entry::{self, Stamp, slot_key};
use crate::fold::Fold;
use crate::id::FullHash;
use crate::keys::{BlobKind, Keys};
use crate::patience::Impatient;
use crate::record::{
    BackupFacts, BackupFigures, BackupRecord, PoolFacts, SnapshotFacts, VolumeRecord,
};
use crate::run_set::Run;
use crate::{CreateOptions, Error, OpenOptions, Outcome, Repository, Session, TreeEditor};
use convoy_fault::{Fault as _, Kind};
use convoy_objectstore::{
    ErrorKind, Fault, FaultStore, Key, MemoryStore, ObjectStore, PutMode, Rule, Verb,
};
use convoy_units::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

type Store = Arc<FaultStore<MemoryStore>>;

fn store() -> Store {
    Arc::new(FaultStore::new(MemoryStore::new()))
}

fn options() -> OpenOptions {
    OpenOptions {
        patience: Arc::new(Impatient),
        host: Uuid::from_bytes([6; 16]),
        ..OpenOptions::default()
    }
}

fn create(store: &Store) -> Result<Repository, Error> {
    let options = CreateOptions {
        chunk_size: Bytes::kib(4),
        patience: Arc::new(Impatient),
        ..CreateOptions::default()
    };
    Repository::create(store.clone(), &options)
}

fn open(store: &Store) -> Result<Repository, Error> {
    Repository::open(store.clone(), &options())
}

fn facts(op: Uuid) -> BackupFacts {
    let time = jiff::Timestamp::from_second(0).unwrap();
    BackupFacts {
        op,
        volume: VolumeRecord {
            id: Uuid::from_bytes([1; 16]),
            name: "v".to_owned(),
        },
        volume_size: Bytes::kib(8),
        volume_created: time,
        snapshot: SnapshotFacts {
            id: Uuid::from_bytes([2; 16]),
            name: "s".to_owned(),
            created: time,
        },
        filesystem: String::new(),
        driver: "devicemapper".to_owned(),
        host: Uuid::from_bytes([6; 16]),
        pool: PoolFacts {
            id: Uuid::nil(),
            dev_id: 1,
            transaction: 1,
            block_size: Bytes::mib(2),
        },
        labels: BTreeMap::new(),
    }
}

/// Puts one chunk, of this byte, into the session; the tree with it.
fn fill(repository: &Repository, session: &Session, byte: u8) -> crate::TreeRef {
    let plain = [byte; 4096];
    let id = repository.blob_id(BlobKind::Chunk, &plain);
    if !session.reuse(&id).unwrap() {
        let blob = repository
            .sealer()
            .unwrap()
            .seal(BlobKind::Chunk, id, &plain)
            .unwrap();
        assert!(session.add(&blob).unwrap().full.is_none());
    }
    session
        .finish_chunks()
        .unwrap()
        .map_or(Ok(()), |pack| session.upload(&pack))
        .unwrap();
    let mut nodes = session;
    let mut tree = TreeEditor::new(&mut nodes, None, 1, 2).unwrap();
    tree.set(0, id).unwrap();
    tree.finish().unwrap()
}

fn back_up(repository: &Repository, byte: u8, op: u128) -> Result<BackupRecord, Error> {
    let session = repository.begin(None)?;
    let root = fill(repository, &session, byte);
    session.commit(&facts(Uuid::from_u128(op)), root, BackupFigures::default())
}

/// Appends an entry as somebody else would, with everything right but what the test wants wrong.
fn append_raw(store: &Store, body: &Body) {
    let repository = Repository::open(
        store.clone(),
        &OpenOptions {
            read_only: true,
            ..options()
        },
    )
    .unwrap();
    let slot = repository.slots();
    let last = store.get(&slot_key(slot - 1)).unwrap();
    let stamp = Stamp {
        slot,
        prev: FullHash::of(&last),
        op: Uuid::new_v4(),
        host: Uuid::nil(),
        time: 0,
    };
    let bytes = entry::encode(&Keys::derive(&repository.config().secret), &stamp, body);
    let _ = store
        .inner()
        .put(&slot_key(slot), &bytes, PutMode::Create)
        .unwrap();
}

fn put(store: &Store, key: &str, bytes: &[u8]) {
    let _ = store
        .inner()
        .put(&key.parse::<Key>().unwrap(), bytes, PutMode::Overwrite)
        .unwrap();
}

#[test]
fn made_once_opened_often() {
    let store = store();
    assert_eq!(open(&store).unwrap_err().kind(), Kind::NotFound);
    let made = create(&store).unwrap();
    assert_eq!(create(&store).unwrap_err().kind(), Kind::Conflict);
    let opened = open(&store).unwrap();
    assert_eq!(
        (opened.id(), opened.chunk_size(), opened.slots()),
        (made.id(), Bytes::kib(4), 1)
    );
    let wrong = CreateOptions {
        chunk_size: Bytes(5000),
        ..CreateOptions::default()
    };
    assert_eq!(
        Repository::create(store, &wrong).unwrap_err().kind(),
        Kind::Invalid
    );
}

#[test]
fn creation_killed_anywhere_is_finished_by_the_next() {
    for nth in 1..14 {
        for fault in [
            Fault::KillBefore,
            Fault::KillAfter,
            Fault::After(ErrorKind::Unclear),
        ] {
            let store = store();
            store.inject(Rule {
                nth,
                ..Rule::on_any(fault.clone())
            });
            let first = create(&store);
            store.revive();
            match (first, open(&store)) {
                (_, Ok(_)) => {}
                (Ok(_), Err(error)) => panic!("{fault:?} {nth}: made and lost: {error}"),
                (Err(_), Err(error)) => {
                    assert_eq!(error.kind(), Kind::NotFound, "{fault:?} {nth}");
                    create(&store).unwrap();
                }
            }
        }
    }
}

#[test]
fn lost_answers_append_once() {
    // Every request of a commit answered "unclear" though done, or not done, once or several times.
    for nth in 1..14 {
        for times in 1..4 {
            for fault in [
                Fault::After(ErrorKind::Unclear),
                Fault::Before(ErrorKind::Unclear),
            ] {
                let store = store();
                let repository = create(&store).unwrap();
                store.inject(Rule {
                    nth,
                    times,
                    ..Rule::on_any(fault.clone())
                });
                let made = back_up(&repository, 1, 77).unwrap();
                assert_eq!(
                    open(&store).unwrap().backups(),
                    [made],
                    "{fault:?} {nth} {times}"
                );
            }
        }
    }
}

#[test]
fn an_answer_that_stays_unclear_is_told_and_found_out_later() {
    let store = store();
    let repository = create(&store).unwrap();
    let log_puts = |fault| Rule {
        verb: Some(Verb::Put),
        prefix: "log/".to_owned(),
        times: 100,
        ..Rule::on_any(fault)
    };
    store.inject(log_puts(Fault::After(ErrorKind::Unclear)));
    // The slot exists from the first attempt on; the repeated create says so only by reading.
    let error = back_up(&repository, 1, 77).unwrap_err();
    assert!(matches!(error, Error::Unclear { slot: 1, .. }), "{error}");
    assert_eq!(error.kind(), Kind::DestinationUnavailable);
    store.revive();
    // Whoever asks again under the same operation learns that it was done.
    let made = back_up(&repository, 1, 77).unwrap();
    assert_eq!(made.slot, 1);
    assert_eq!(open(&store).unwrap().backups(), [made]);
}

#[test]
fn a_store_that_overwrites_is_found_out() {
    // At opening: the probe.
    let store = store();
    create(&store).unwrap();
    store.inject(Rule {
        verb: Some(Verb::Put),
        times: u64::MAX,
        ..Rule::on_any(Fault::Overwrites)
    });
    let repository = open(&store).unwrap();
    assert!(repository.read_only().unwrap().contains("create-if-absent"));
    assert_eq!(
        repository.begin(None).unwrap_err().kind(),
        Kind::Unsupported
    );
    assert!(repository.backups().is_empty());
    // At creation: a repository of one writer.
    let store = self::store();
    store.inject(Rule {
        verb: Some(Verb::Put),
        times: u64::MAX,
        ..Rule::on_any(Fault::Overwrites)
    });
    let repository = create(&store).unwrap();
    assert!(repository.config().single_writer && repository.read_only().is_none());
    back_up(&repository, 1, 7).unwrap();
}

#[test]
fn a_store_that_loses_or_forks_entries_is_found_out() {
    // What was "created" is not there afterwards.
    let store = store();
    let repository = create(&store).unwrap();
    let gets = |fault, nth| Rule {
        verb: Some(Verb::Get),
        prefix: "log/".to_owned(),
        nth,
        times: 20,
        ..Rule::on_any(fault)
    };
    // The first reading of the log since it was opened is that of the new entry.
    store.inject(gets(Fault::Before(ErrorKind::NotFound), 1));
    assert!(matches!(
        back_up(&repository, 1, 7).unwrap_err(),
        Error::StoreLies { .. }
    ));
    // The next slot is taken already, by somebody who never saw our entry.
    let store = self::store();
    let repository = create(&store).unwrap();
    let foreign = store.get(&slot_key(0)).unwrap();
    let _ = store
        .inner()
        .put(&slot_key(2), &foreign, PutMode::Create)
        .unwrap();
    assert!(matches!(
        back_up(&repository, 1, 7).unwrap_err(),
        Error::StoreLies { .. }
    ));
}

#[test]
fn a_slot_lost_to_another_is_followed() {
    let store = store();
    let slow = create(&store).unwrap();
    let session = slow.begin(None).unwrap();
    let root = fill(&slow, &session, 1);
    let quick = open(&store).unwrap();
    let first = back_up(&quick, 2, 1).unwrap();
    let second = session
        .commit(&facts(Uuid::from_u128(2)), root, BackupFigures::default())
        .unwrap();
    assert_eq!((first.slot, second.slot), (1, 2));
    assert_eq!(slow.backups(), [first, second]);
}

#[test]
fn deleted_once_whoever_asks_how_often() {
    let store = store();
    let repository = create(&store).unwrap();
    let made = back_up(&repository, 1, 1).unwrap();
    let op = Uuid::from_u128(50);
    assert_eq!(repository.delete(made.id, op).unwrap(), Outcome::Changed);
    assert_eq!(
        open(&store).unwrap().delete(made.id, op).unwrap(),
        Outcome::Changed
    );
    assert_eq!(
        repository.delete(made.id, Uuid::from_u128(51)).unwrap(),
        Outcome::Unchanged
    );
    assert_eq!(
        repository.delete(Uuid::nil(), op).unwrap(),
        Outcome::Changed,
        "this operation was done"
    );
    let unknown = repository.delete(Uuid::nil(), Uuid::from_u128(52));
    assert_eq!(unknown.unwrap_err().kind(), Kind::NotFound);
    assert!(repository.backups().is_empty());
    assert_eq!(
        repository.backup(made.id).unwrap_err().kind(),
        Kind::NotFound
    );
    assert_eq!(open(&store).unwrap().slots(), 3);
}

#[test]
fn a_newer_kind_of_entry_makes_us_read_only() {
    let store = store();
    let repository = create(&store).unwrap();
    let made = back_up(&repository, 1, 1).unwrap();
    append_raw(
        &store,
        &Body::Keep(Keep {
            session: crate::SessionId([1; 16]),
        }),
    );
    // The same entry under a kind of the future: the MAC covers the kind, so it is made again.
    let key = slot_key(2);
    let mut bytes = store.get(&key).unwrap();
    bytes[10] = 15;
    let keys = Keys::derive(&repository.config().secret);
    let (signed, body) = (bytes[..96].to_vec(), bytes[128..].to_vec());
    bytes[96..128].copy_from_slice(&keys.mac(false, &signed, &body));
    put(&store, key.as_str(), &bytes);
    let repository = open(&store).unwrap();
    assert_eq!(repository.backups(), [made]);
    assert!(repository.read_only().unwrap().contains("kind 15"));
    let error = back_up(&repository, 2, 2).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(open(&store).unwrap().slots(), 3);
}

#[test]
fn a_newer_feature_is_refused_by_name() {
    let store = store();
    create(&store).unwrap();
    let config = String::from_utf8(store.get(&"config".parse().unwrap()).unwrap()).unwrap();
    let newer = config.replace("\"incompat\": []", "\"incompat\": [\"encryption-v1\"]");
    put(&store, "config", newer.as_bytes());
    let error = open(&store).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("encryption-v1"), "{error}");
    put(
        &store,
        "config",
        config.replace("86400", "86401").as_bytes(),
    );
    let error = open(&store).unwrap_err();
    assert!(
        matches!(&error, Error::Damaged { object, .. } if object == "config"),
        "{error}"
    );
}

#[test]
fn collected_under_a_writer() {
    let store = store();
    let repository = create(&store).unwrap();
    let first = back_up(&repository, 1, 1).unwrap();
    let session = repository.begin(None).unwrap();
    let root = fill(&repository, &session, 1);
    let packs = |fold: &Fold| -> Vec<Run> {
        fold.segments()
            .iter()
            .map(|name| Run {
                session: name.session,
                from: 0,
                to: 2,
            })
            .collect()
    };
    let packs = packs(&repository.fold());
    append_raw(
        &store,
        &Body::Delete(Backups {
            backups: vec![first.id],
        }),
    );
    append_raw(
        &store,
        &Body::Forget(Backups {
            backups: vec![first.id],
        }),
    );
    append_raw(
        &store,
        &Body::Warn(Listed {
            packs: packs.clone(),
            basis: 4,
        }),
    );
    append_raw(&store, &Body::Sweep(Listed { packs, basis: 5 }));
    let error = session
        .commit(&facts(Uuid::from_u128(2)), root, BackupFigures::default())
        .unwrap_err();
    assert!(matches!(error, Error::Overtaken { .. }), "{error}");
    // Another session finds nothing to reuse, makes the chunk again, and gets through.
    let again = back_up(&repository, 1, 2).unwrap();
    let mut plain = Vec::new();
    let id = repository.blob_id(BlobKind::Chunk, &[1; 4096]);
    repository
        .inner
        .read_one(BlobKind::Chunk, &id, &mut plain)
        .unwrap();
    assert_eq!(repository.backups(), [again]);
    assert!(matches!(
        repository.begin(Some(first.id)).unwrap_err(),
        Error::Overtaken { .. }
    ));
}

#[test]
fn a_warned_writer_keeps_its_packs() {
    let store = store();
    let repository = create(&store).unwrap();
    let session = repository.begin(None).unwrap();
    let root = fill(&repository, &session, 1);
    let own = Run {
        session: session.id(),
        from: 0,
        to: 1,
    };
    append_raw(
        &store,
        &Body::Warn(Listed {
            packs: vec![own],
            basis: 1,
        }),
    );
    session.poll().unwrap();
    assert_eq!(repository.slots(), 3, "a keep was appended");
    session.poll().unwrap();
    assert_eq!(repository.slots(), 3, "and only one");
    append_raw(
        &store,
        &Body::Sweep(Listed {
            packs: vec![own],
            basis: 3,
        }),
    );
    session
        .commit(&facts(Uuid::from_u128(1)), root, BackupFigures::default())
        .unwrap();
}

#[test]
fn a_warned_pack_is_not_reused() {
    let store = store();
    let repository = create(&store).unwrap();
    back_up(&repository, 1, 1).unwrap();
    let pack = Run {
        session: repository.fold().segments()[0].session,
        from: 0,
        to: 2,
    };
    append_raw(
        &store,
        &Body::Warn(Listed {
            packs: vec![pack],
            basis: 2,
        }),
    );
    let session = repository.begin(None).unwrap();
    let id = repository.blob_id(BlobKind::Chunk, &[1; 4096]);
    assert!(!session.reuse(&id).unwrap());
}

#[test]
fn forged_collection_does_not_count() {
    // A writer's MAC under a collector's kind: the flag is wrong for the kind.
    let store = store();
    let repository = create(&store).unwrap();
    let made = back_up(&repository, 1, 1).unwrap();
    append_raw(
        &store,
        &Body::Forget(Backups {
            backups: vec![made.id],
        }),
    );
    let key = slot_key(2);
    let mut bytes = store.get(&key).unwrap();
    bytes[11] = 0;
    let keys = Keys::derive(&repository.config().secret);
    let (signed, body) = (bytes[..96].to_vec(), bytes[128..].to_vec());
    bytes[96..128].copy_from_slice(&keys.mac(false, &signed, &body));
    put(&store, key.as_str(), &bytes);
    let opened = open(&store).unwrap();
    assert_eq!(opened.backups().len(), 1);
    // Void for good, by a rule that every version knows: a stolen writer's key cannot stop the others.
    assert_eq!(opened.read_only(), None);
    back_up(&opened, 2, 2).unwrap();
}

#[test]
fn a_host_remembers_what_it_saw() {
    let folder = tempfile::tempdir().unwrap();
    let store = store();
    create(&store).unwrap();
    let cached = || {
        Repository::open(
            store.clone(),
            &OpenOptions {
                cache_dir: Some(folder.path().to_owned()),
                ..options()
            },
        )
    };
    let repository = cached().unwrap();
    for n in 0..5 {
        back_up(&repository, n + 1, u128::from(n)).unwrap();
    }
    // The cache saves reading the log again.
    let before = store.operations();
    let again = cached().unwrap();
    assert_eq!(again.backups(), repository.backups());
    assert!(
        store.operations() - before <= 4,
        "{:?}",
        &store.log()[before..]
    );
    // A torn cache is only slower.
    let log = std::fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("log");
    let bytes = std::fs::read(&log).unwrap();
    std::fs::write(&log, &bytes[..bytes.len() - 7]).unwrap();
    assert_eq!(cached().unwrap().backups().len(), 5);
    assert_eq!(std::fs::read(&log).unwrap(), bytes);
    // Another config is not believed because an old entry 0 is at hand.
    let config = store.get(&"config".parse::<Key>().unwrap()).unwrap();
    let mut other = config.clone();
    other.push(b' ');
    put(&store, "config", &other);
    assert_eq!(cached().unwrap_err().kind(), Kind::Integrity);
    put(&store, "config", &config);
    assert!(cached().is_ok());
    // A repository that was rolled back is refused.
    store.inner().delete(&slot_key(5)).unwrap();
    let error = cached().unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(error.to_string().contains("rolled back"), "{error}");
    assert_eq!(
        open(&store).unwrap().backups().len(),
        4,
        "one that never saw it cannot know"
    );
}

#[test]
fn a_commit_that_lands_late_lands_at_its_own_slot() {
    // Case 12 and I5: a writer that slept cannot create a slot whose past it has not read.
    let store = store();
    let repository = create(&store).unwrap();
    let sleeper = open(&store).unwrap();
    let session = sleeper.begin(None).unwrap();
    let root = fill(&sleeper, &session, 9);
    for n in 0..4 {
        back_up(&repository, n + 1, u128::from(n)).unwrap();
    }
    let made = session
        .commit(&facts(Uuid::from_u128(99)), root, BackupFigures::default())
        .unwrap();
    assert_eq!(made.slot, 5);
}

#[test]
fn limits_are_kept() {
    let store = store();
    let repository = create(&store).unwrap();
    let session = repository.begin(None).unwrap();
    let mut many = facts(Uuid::from_u128(1));
    many.labels
        .extend((0..65).map(|n| (n.to_string(), String::new())));
    assert_eq!(
        session
            .commit(&many, None, BackupFigures::default())
            .unwrap_err()
            .kind(),
        Kind::Invalid
    );
    let mut empty = facts(Uuid::from_u128(1));
    empty.volume_size = Bytes(0);
    assert_eq!(
        session
            .commit(&empty, None, BackupFigures::default())
            .unwrap_err()
            .kind(),
        Kind::Invalid
    );
    // An entry with such a commit, from somebody else, is void and stops us from writing.
    let made = back_up(&repository, 1, 1).unwrap();
    let Ok(Body::Commit(commit)) = entry::decode(
        &Keys::derive(&repository.config().secret),
        1,
        FullHash::of(&store.get(&slot_key(0)).unwrap()),
        &store.get(&slot_key(1)).unwrap(),
    )
    .unwrap()
    .body
    else {
        panic!("slot 1 holds a commit");
    };
    let mut backup = commit.backups[0].clone();
    (backup.id, backup.size) = (Uuid::from_u128(4), 1 << 63);
    append_raw(
        &store,
        &Body::Commit(Commit {
            session: crate::SessionId([3; 16]),
            backups: vec![backup],
            ..commit
        }),
    );
    let opened = open(&store).unwrap();
    assert_eq!(opened.backups(), [made]);
    assert!(opened.read_only().is_some());
}

#[test]
fn the_first_entry_is_the_init_of_this_config() {
    let made = store();
    let repository = create(&made).unwrap();
    let keys = Keys::derive(&repository.config().secret);
    let config = FullHash::of(&made.get(&"config".parse::<Key>().unwrap()).unwrap());
    let with = |body: &Body| {
        let stamp = Stamp {
            slot: 0,
            prev: FullHash([0; 32]),
            op: Uuid::from_u128(1),
            host: Uuid::nil(),
            time: 0,
        };
        put(
            &made,
            slot_key(0).as_str(),
            &entry::encode(&keys, &stamp, body),
        );
        open(&made).map(|_| ()).map_err(|error| error.kind())
    };
    let init = |repository, config| Body::Init(crate::body::Init { repository, config });
    assert_eq!(with(&init(repository.id(), config)), Ok(()));
    assert_eq!(with(&init(Uuid::nil(), config)), Err(Kind::Integrity));
    assert_eq!(
        with(&init(repository.id(), FullHash([0; 32]))),
        Err(Kind::Integrity)
    );
    let keep = Body::Keep(Keep {
        session: crate::SessionId([1; 16]),
    });
    assert_eq!(with(&keep), Err(Kind::Integrity));
}

/// Removes, or cuts, the object of this prefix that is the `nth`.
fn damage(store: &Store, prefix: &str, nth: usize, cut: bool) -> Key {
    let page = store.inner().list(prefix, None, 1000).unwrap();
    let key = page.entries[nth].key.clone();
    if cut {
        let whole = store.inner().get(&key).unwrap();
        put(store, key.as_str(), &whole[..whole.len() - 1]);
    } else {
        store.inner().delete(&key).unwrap();
    }
    key
}

/// The index went on naming packs that were gone: every later backup of the same bytes was reported
/// complete, and could not be restored.
#[test]
fn a_pack_that_is_gone_or_cut_is_not_reused() {
    for (nth, cut) in [(0, false), (1, false), (0, true), (1, true)] {
        let store = store();
        let repository = create(&store).unwrap();
        back_up(&repository, 7, 1).unwrap();
        damage(&store, "packs/", nth, cut);
        for repository in [&repository, &open(&store).unwrap()] {
            let made = back_up(repository, 7, Uuid::new_v4().as_u128()).unwrap();
            let fresh = open(&store).unwrap();
            fresh.read_node(&made.root.unwrap()).unwrap();
            let id = fresh.blob_id(BlobKind::Chunk, &[7; 4096]);
            let mut read = 0;
            let wanted = [crate::Wanted { tag: 0, id }];
            fresh
                .read_chunks(&wanted, &mut |_, chunk| {
                    assert_eq!(chunk.unwrap(), [7; 4096]);
                    read += 1;
                    true
                })
                .unwrap();
            assert_eq!(read, 1);
        }
    }
}

#[test]
fn a_pack_found_damaged_is_distrusted_by_later_processes_of_the_host() {
    let store = store();
    let cache = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        cache_dir: Some(cache.path().to_owned()),
        ..options()
    };
    let made = back_up(&create(&store).unwrap(), 7, 1).unwrap();
    let root = made.root.unwrap();
    let repository = Repository::open(store.clone(), &options).unwrap();
    let place = repository.locate(&root).unwrap()[0];
    let key = place.pack.name.pack_key();
    let mut bytes = store.inner().get(&key).unwrap();
    bytes[place.offset as usize + crate::codec::BLOB_HEADER] ^= 1;
    put(&store, key.as_str(), &bytes);
    let error = repository.read_node(&root).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    drop(repository);
    // Of the same length: only who has read it can know.
    let repository = Repository::open(store.clone(), &options).unwrap();
    assert_eq!(repository.known_damage(), 1);
    assert!(!repository.is_trusted(&root).unwrap());
    back_up(&repository, 7, 2).unwrap();
    assert!(repository.is_trusted(&root).unwrap());
    open(&store).unwrap().read_node(&root).unwrap();
}

/// A segment whose put had failed was named by the next attempt to commit: published, and unreadable.
#[test]
fn a_commit_repeated_after_a_failed_segment_names_none_that_was_not_stored() {
    let store = store();
    let repository = create(&store).unwrap();
    let session = repository.begin(None).unwrap();
    let root = fill(&repository, &session, 9);
    store.inject(Rule {
        prefix: "index/".to_owned(),
        ..Rule::on_any(Fault::Before(ErrorKind::Permanent))
    });
    let commit = || session.commit(&facts(Uuid::from_u128(5)), root, BackupFigures::default());
    commit().unwrap_err();
    commit().unwrap();
    let fresh = open(&store).unwrap();
    fresh.read_node(&root.unwrap()).unwrap();
    assert_eq!(fresh.known_damage(), 0);
}

/// Packs were counted, not known: one that was sent twice made up for one that never was.
#[test]
fn a_pack_sent_twice_does_not_stand_for_another() {
    let store = store();
    let repository = create(&store).unwrap();
    let session = repository.begin(None).unwrap();
    let mut packs = Vec::new();
    for byte in 0..2u8 {
        let plain = [byte; 4096];
        let id = repository.blob_id(BlobKind::Chunk, &plain);
        let mut sealer = repository.sealer().unwrap();
        let blob = sealer.seal(BlobKind::Chunk, id, &plain).unwrap();
        session.add(&blob).unwrap();
        packs.push(session.finish_chunks().unwrap().unwrap());
    }
    session.upload(&packs[0]).unwrap();
    let sent = session.stored();
    session.upload(&packs[0]).unwrap();
    assert_eq!(session.stored(), sent);
    let commit = || session.commit(&facts(Uuid::from_u128(5)), None, BackupFigures::default());
    assert!(matches!(commit(), Err(Error::Invalid(_))));
    session.upload(&packs[1]).unwrap();
    commit().unwrap();
}

#[test]
fn a_segment_is_closed_before_it_has_more_packs_than_readers_take() {
    let store = store();
    let repository = create(&store).unwrap();
    let mut session = repository.begin(None).unwrap();
    session.segment_packs = 2;
    for byte in 0..3 {
        fill(&repository, &session, byte);
    }
    let root = fill(&repository, &session, 3);
    session
        .commit(&facts(Uuid::from_u128(5)), root, BackupFigures::default())
        .unwrap();
    assert!(open(&store).unwrap().fold().segments().len() >= 2);
}

/// A new config over a log makes every backup in it unreadable, where the old config might come back.
#[test]
fn a_lost_config_is_not_replaced() {
    let store = store();
    back_up(&create(&store).unwrap(), 1, 1).unwrap();
    damage(&store, "config", 0, false);
    let error = create(&store).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
    let config: Key = "config".parse().unwrap();
    assert_eq!(store.inner().size(&config).unwrap(), None);
}

/// A full or read-only disk under the cache once kept a host from restoring anything.
#[test]
fn a_cache_that_cannot_be_made_is_gone_without() {
    let store = store();
    let made = back_up(&create(&store).unwrap(), 1, 1).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = OpenOptions {
        cache_dir: Some(file.path().to_owned()),
        ..options()
    };
    let repository = Repository::open(store, &options).unwrap();
    repository.read_node(&made.root.unwrap()).unwrap();
}

/// Some stores say for a while that a new object is not there.
#[test]
fn a_stale_absence_is_not_damage() {
    let store = store();
    let repository = create(&store).unwrap();
    let made = back_up(&repository, 1, 1).unwrap();
    store.inject(Rule {
        prefix: "packs/".to_owned(),
        times: 4,
        ..Rule::on_any(Fault::Before(ErrorKind::NotFound))
    });
    repository.read_node(&made.root.unwrap()).unwrap();
    assert_eq!(repository.known_damage(), 0);
}

/// One copy that cannot be had now says nothing of the other.
#[test]
fn any_failure_of_one_copy_leaves_the_other() {
    let store = store();
    let repository = create(&store).unwrap();
    let made = back_up(&repository, 1, 1).unwrap();
    let root = made.root.unwrap();
    repository.distrust(&repository.locate(&root).unwrap()[0].pack.name);
    back_up(&repository, 1, 2).unwrap();
    let places = repository.locate(&root).unwrap();
    assert_eq!(places.len(), 2);
    for place in places {
        for kind in [ErrorKind::Permanent, ErrorKind::Auth, ErrorKind::Damaged] {
            store.inject(Rule {
                prefix: place.pack.name.pack_key().to_string(),
                times: u64::MAX,
                ..Rule::on_any(Fault::Before(kind))
            });
            repository.read_node(&root).unwrap();
            store.revive();
        }
    }
}

/// A segment on a bad disk block once kept everything in the repository from being read.
#[test]
fn a_segment_that_cannot_be_read_hides_only_its_own() {
    let store = store();
    let repository = create(&store).unwrap();
    let made = [1, 2].map(|byte| back_up(&repository, byte, u128::from(byte)).unwrap());
    let lost = repository.fold().segments()[0].segment_key();
    store.inject(Rule {
        prefix: lost.to_string(),
        times: u64::MAX,
        ..Rule::on_any(Fault::Before(ErrorKind::Damaged))
    });
    let fresh = open(&store).unwrap();
    fresh.read_node(&made[1].root.unwrap()).unwrap();
    let error = fresh.read_node(&made[0].root.unwrap()).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(error.to_string().contains(lost.as_str()), "{error}");
}

/// A flipped bit in a segment beyond the index's limit was blamed on an innocent pack, or on nobody.
#[test]
fn damage_of_a_cold_segment_is_named() {
    let store = store();
    let repository = create(&store).unwrap();
    let made: Vec<_> = (1..4u8)
        .map(|byte| back_up(&repository, byte, u128::from(byte)).unwrap())
        .collect();
    let segments = repository.fold().segments().to_vec();
    let key = segments[1].segment_key();
    let whole = store.get(&key).unwrap();
    let cold = || {
        let repository = open(&store).unwrap();
        *repository.inner.index() = crate::index::Index::with_limit(repository.id(), 0);
        repository
    };
    let check = |context: &str| {
        let repository = cold();
        for (n, backup) in made.iter().enumerate() {
            let node = repository.read_node(&backup.root.unwrap());
            match node {
                Ok(_) => assert!(n != 1, "{context}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(n == 1 && text.contains(key.as_str()), "{context}: {text}");
                }
            }
        }
        // No pack is blamed, and whoever builds on it looks closer.
        assert_eq!(repository.known_damage(), 1, "{context}");
        assert!(repository.look_for_packs().unwrap() == 0);
    };
    let repository = cold();
    for backup in &made {
        repository.read_node(&backup.root.unwrap()).unwrap();
    }
    assert_eq!(repository.known_damage(), 0);
    // A miss costs an upload: what only cold segments know is not reused.
    let session = repository.begin(None).unwrap();
    assert!(!session.reuse(&made[0].root.unwrap()).unwrap());
    // The two records are the last 88 bytes: an id, a pack, an offset, a length of each.
    for at in [0, 32, 36, 40] {
        let mut bytes = whole.clone();
        let first = bytes.len() - 88;
        bytes[first + at] ^= 1;
        bytes[first + 44 + at] ^= 1;
        put(&store, key.as_str(), &bytes);
        check(&format!("byte {at} of each record"));
    }
    store.inner().delete(&key).unwrap();
    let repository = cold();
    let gone = repository.read_node(&made[1].root.unwrap()).unwrap_err();
    assert!(gone.to_string().contains(key.as_str()), "{gone}");
}

#[test]
fn packs_that_vanished_are_found_by_one_listing() {
    let store = store();
    let repository = create(&store).unwrap();
    back_up(&repository, 1, 1).unwrap();
    back_up(&repository, 2, 2).unwrap();
    let packs = |store: &Store| {
        let page = store.inner().list("packs/", None, 10).unwrap();
        page.entries
            .into_iter()
            .map(|entry| entry.key)
            .collect::<Vec<_>>()
    };
    let requests = |expected: usize, lost: usize| {
        let repository = open(&store).unwrap();
        repository.locate(&crate::BlobId([0; 32])).unwrap();
        let before = store.operations();
        assert_eq!(repository.look_for_packs().unwrap(), lost);
        assert_eq!(store.operations() - before, expected);
        repository.known_damage()
    };
    assert_eq!(requests(1, 0), 0);
    // Listings that lie are not believed, and those that fail are done without.
    for fault in [
        Fault::EmptyList,
        Fault::PartialList,
        Fault::Before(ErrorKind::Auth),
    ] {
        let asked = match fault {
            Fault::EmptyList => 5,
            Fault::PartialList => 3,
            _ => 1,
        };
        store.inject(Rule {
            verb: Some(Verb::List),
            ..Rule::on_any(fault)
        });
        assert_eq!(requests(asked, 0), 0);
        store.revive();
    }
    let gone = packs(&store)[0].clone();
    store.inner().delete(&gone).unwrap();
    let short = packs(&store)[1].clone();
    put(&store, short.as_str(), b"short");
    // The absent one is asked for twice: a store may say so for a while.
    assert_eq!(requests(4, 2), 2);
}

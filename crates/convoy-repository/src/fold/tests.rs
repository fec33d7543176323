//! The fold, rule by rule, and the interleavings that broke the draft of the protocol.
//!
//! Numbered cases are those of the table "what broke the draft"; each is decided by the fold alone.

use super::*;
use crate::body::{Backups, Body, Compact, Init, Keep, Volume, WireBackup, WirePool, WireSnapshot};
use crate::id::{FullHash, ObjectHash};
use crate::run_set::PackId;
use proptest::prelude::*;

/// A log written line by line, with names for sessions, backups and packs.
struct World {
    fold: Fold,
}

fn uuid(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

fn session(n: u8) -> SessionId {
    SessionId([n; 16])
}

/// Pack 0 of session `n`.
fn pack(n: u8) -> Run {
    Run {
        session: session(n),
        from: 0,
        to: 1,
    }
}

fn segment(n: u8) -> ObjectName {
    ObjectName {
        session: session(n),
        seq: 0,
        hash: ObjectHash([n; 16]),
    }
}

fn backup(id: u8, base: Option<u8>) -> WireBackup {
    let time = "2026-01-01T00:00:00Z".parse().unwrap();
    WireBackup {
        id: uuid(id),
        name: format!("backup-{id:016x}"),
        volume: uuid(200),
        volume_name: "v".to_owned(),
        size: 1,
        root: None,
        base: base.map(uuid),
        snapshot: WireSnapshot {
            id: uuid(201),
            name: "s".to_owned(),
            created: time,
        },
        created: time,
        volume_created: time,
        filesystem: String::new(),
        driver: "devicemapper".to_owned(),
        host: uuid(202),
        pool: WirePool {
            id: uuid(203),
            dev_id: 1,
            transaction: 1,
            block_size: 1 << 21,
        },
        labels: BTreeMap::new(),
        owner: None,
        group: None,
        changed_bytes: 0,
        read_bytes: 0,
        new_bytes: 0,
        stored_bytes: 0,
    }
}

/// Session `n` commits backup `n` using these packs.
fn commit(n: u8, base: Option<u8>, uses: &[Run]) -> Body {
    commit_begun(n, base, uses, 0)
}

fn commit_begun(n: u8, base: Option<u8>, uses: &[Run], began: u64) -> Body {
    Body::Commit(Commit {
        session: session(n),
        began,
        backups: vec![backup(n, base)],
        uses: uses.to_vec(),
        segments: vec![segment(n)],
    })
}

fn backups(ids: &[u8]) -> Backups {
    Backups {
        backups: ids.iter().copied().map(uuid).collect(),
    }
}

fn delete(id: u8) -> Body {
    Body::Delete(backups(&[id]))
}

fn forget(id: u8) -> Body {
    Body::Forget(backups(&[id]))
}

fn warn(packs: &[Run], basis: u64) -> Body {
    Body::Warn(Listed {
        packs: packs.to_vec(),
        basis,
    })
}

fn sweep(packs: &[Run], basis: u64) -> Body {
    Body::Sweep(Listed {
        packs: packs.to_vec(),
        basis,
    })
}

fn keep(n: u8) -> Body {
    Body::Keep(Keep {
        session: session(n),
    })
}

fn moved(from: &[Run], to: &[Run], basis: u64) -> Body {
    Body::Move(Move {
        from: from.to_vec(),
        to: to.to_vec(),
        segments: vec![segment(99)],
        basis,
    })
}

fn volume(id: u8) -> Body {
    Body::Volume(Volume {
        id: uuid(id),
        name: "v".to_owned(),
        created: None,
    })
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            fold: Fold::default(),
        };
        let init = Body::Init(Init {
            repository: uuid(250),
            config: FullHash([0; 32]),
        });
        assert_eq!(world.say(init), Verdict::Counts);
        world
    }

    /// Appends under a fresh operation.
    fn say(&mut self, body: Body) -> Verdict {
        let op = Uuid::from_u128(1000 + u128::from(self.fold.slots()));
        self.say_as(op, Ok(body))
    }

    fn say_as(&mut self, op: Uuid, body: Result<Body, Unreadable>) -> Verdict {
        let entry = Entry {
            slot: self.fold.slots(),
            op,
            host: uuid(251),
            time: 0,
            body,
        };
        self.fold.apply(&entry)
    }

    #[track_caller]
    fn counts(&mut self, body: Body) {
        assert_eq!(self.say(body), Verdict::Counts);
    }

    #[track_caller]
    fn void(&mut self, body: Body, why: Void) {
        let before = self.visible();
        assert_eq!(self.say(body), Verdict::Void(why));
        assert_eq!(self.visible(), before, "a void entry changes nothing");
    }

    /// Slots read so far: what a list made now has as its basis.
    fn now(&self) -> u64 {
        self.fold.slots()
    }

    fn is_dead(&self, n: u8) -> bool {
        self.fold.dead().contains(PackId {
            session: session(n),
            seq: 0,
        })
    }

    fn is_warned(&self, n: u8) -> bool {
        self.fold.warned().contains(PackId {
            session: session(n),
            seq: 0,
        })
    }

    fn status(&self, id: u8) -> Option<Status> {
        self.fold.backup(uuid(id)).map(|stored| stored.status)
    }

    fn visible(&self) -> (Vec<Stored>, Vec<ObjectName>, RunSet, RunSet, usize) {
        let backups = self.fold.all_backups().cloned().collect();
        let segments = self.fold.segments().to_vec();
        let volumes = self.fold.volumes().count();
        (
            backups,
            segments,
            self.fold.dead().clone(),
            self.fold.warned().clone(),
            volumes,
        )
    }
}

// -- each row of the table

#[test]
fn init_is_first_and_only_there() {
    let mut world = World {
        fold: Fold::default(),
    };
    assert_eq!(world.say(volume(1)), Verdict::Void(Void::Misplaced));
    let mut world = World::new();
    let again = Body::Init(Init {
        repository: uuid(250),
        config: FullHash([0; 32]),
    });
    world.void(again, Void::Misplaced);
}

#[test]
fn an_operation_takes_effect_once() {
    let mut world = World::new();
    assert_eq!(world.say_as(uuid(7), Ok(volume(1))), Verdict::Counts);
    for body in [
        volume(2),
        keep(1),
        commit(1, None, &[]),
        warn(&[pack(1)], 0),
        sweep(&[], 0),
    ] {
        assert_eq!(
            world.say_as(uuid(7), Ok(body)),
            Verdict::Void(Void::Repeated)
        );
    }
    // An operation that was void has not taken effect: it may come again.
    assert_eq!(
        world.say_as(uuid(8), Ok(delete(1))),
        Verdict::Void(Void::NotThere(uuid(1)))
    );
    world.counts(commit(1, None, &[]));
    assert_eq!(world.say_as(uuid(8), Ok(delete(1))), Verdict::Counts);
}

#[test]
fn a_volume_exists_once() {
    let mut world = World::new();
    world.counts(volume(1));
    world.void(volume(1), Void::VolumeExists(uuid(1)));
    assert!(world.fold.has_volume(uuid(1)) && !world.fold.has_volume(uuid(2)));
}

#[test]
fn a_commit_makes_backups_live_and_segments_current() {
    let mut world = World::new();
    world.counts(warn(&[pack(1), pack(2)], 1));
    world.counts(commit(1, None, &[pack(1)]));
    assert_eq!(world.status(1), Some(Status::Live));
    assert_eq!(world.fold.segments(), [segment(1)]);
    assert!(!world.is_warned(1) && world.is_warned(2));
    world.void(commit(1, None, &[]), Void::Committed(session(1)));
    let Body::Commit(mut other) = commit(2, None, &[]) else {
        unreachable!()
    };
    other.backups = vec![backup(1, None)];
    world.void(Body::Commit(other.clone()), Void::BackupExists(uuid(1)));
    other.backups = vec![backup(3, None), backup(3, None)];
    world.void(Body::Commit(other), Void::BackupExists(uuid(3)));
}

#[test]
fn a_commit_needs_living_packs() {
    let mut world = World::new();
    world.counts(warn(&[pack(1)], 1));
    world.counts(sweep(&[pack(1)], 1));
    world.void(commit(2, None, &[pack(2), pack(1)]), Void::Dead(pack(1)));
    // A void commit does not use up its session.
    world.counts(commit(2, None, &[pack(2)]));
}

#[test]
fn a_commit_needs_a_protected_base() {
    let mut world = World::new();
    world.void(commit(2, Some(1), &[]), Void::BaseGone(uuid(1)));
    world.counts(commit(1, None, &[]));
    world.counts(commit(2, Some(1), &[]));
    world.counts(delete(1));
    world.counts(commit(3, Some(1), &[]));
    world.counts(forget(1));
    world.void(commit(4, Some(1), &[]), Void::BaseGone(uuid(1)));
}

#[test]
fn a_commit_began_within_reach() {
    let mut world = World::new();
    let later = world.now() + 1;
    world.void(commit_begun(1, None, &[], later), Void::Began(later));
    world.fold.slots = MAX_AGE + 2;
    world.void(commit_begun(1, None, &[], 1), Void::Began(1));
    world.counts(commit_begun(1, None, &[], 3));
}

#[test]
fn delete_and_undelete_are_whole_or_nothing() {
    let mut world = World::new();
    world.counts(commit(1, None, &[]));
    world.counts(commit(2, None, &[]));
    world.void(Body::Delete(backups(&[1, 3])), Void::NotThere(uuid(3)));
    world.void(Body::Undelete(backups(&[1])), Void::NotThere(uuid(1)));
    world.counts(Body::Delete(backups(&[1, 2])));
    assert_eq!(
        (world.status(1), world.fold.is_protected(uuid(1))),
        (Some(Status::Trash), true)
    );
    world.void(delete(1), Void::NotThere(uuid(1)));
    world.counts(Body::Undelete(backups(&[1])));
    assert_eq!(
        (world.status(1), world.status(2)),
        (Some(Status::Live), Some(Status::Trash))
    );
}

#[test]
fn forget_takes_what_is_in_trash_only() {
    let mut world = World::new();
    world.counts(commit(1, None, &[]));
    world.counts(commit(2, None, &[]));
    world.counts(delete(1));
    world.counts(Body::Forget(backups(&[1, 2, 9])));
    assert_eq!(
        (world.status(1), world.status(2), world.status(9)),
        (Some(Status::Gone), Some(Status::Live), None)
    );
    assert!(!world.fold.is_protected(uuid(1)));
    world.void(Body::Undelete(backups(&[1])), Void::NotThere(uuid(1)));
}

#[test]
fn a_keep_lifts_the_warnings_of_its_session() {
    let mut world = World::new();
    let long = Run {
        session: session(1),
        from: 0,
        to: 1_000_000,
    };
    world.counts(warn(&[long, pack(2)], 1));
    world.counts(keep(1));
    assert!(!world.is_warned(1) && world.is_warned(2));
}

#[test]
fn a_warning_spares_what_was_named_since_its_basis() {
    let mut world = World::new();
    let basis = world.now();
    world.counts(commit(1, None, &[pack(1)]));
    world.counts(keep(2));
    world.counts(warn(&[pack(1), pack(2), pack(3)], basis));
    assert!(!world.is_warned(1) && !world.is_warned(2) && world.is_warned(3));
    let now = world.now();
    world.counts(warn(&[pack(1)], now));
    assert!(
        world.is_warned(1),
        "named before the basis: the mark has seen it"
    );
    let later = world.now() + 1;
    world.void(warn(&[pack(1)], later), Void::Outdated { basis: later });
}

#[test]
fn a_sweep_kills_the_warned_and_spares_the_named() {
    let mut world = World::new();
    world.counts(warn(&[pack(1), pack(2), pack(3)], 1));
    let basis = world.now();
    world.counts(commit(1, None, &[pack(1)]));
    // Warned again by an older list's writer: named at or after the basis spares it all the same.
    world.counts(warn(&[pack(1)], world.now()));
    world.counts(keep(2));
    world.counts(sweep(&[pack(1), pack(2), pack(3), pack(4)], basis));
    assert_eq!(
        [1, 2, 3, 4].map(|n| world.is_dead(n)),
        [false, false, true, false]
    );
    assert!(!world.is_warned(3));
    let later = world.now() + 1;
    world.void(sweep(&[], later), Void::Outdated { basis: later });
}

#[test]
fn a_move_kills_from_and_makes_its_segments_current() {
    let mut world = World::new();
    world.counts(commit(1, None, &[pack(1)]));
    let basis = world.now();
    world.counts(warn(&[pack(1)], basis));
    world.counts(moved(&[pack(1)], &[pack(9)], basis));
    assert!(world.is_dead(1) && !world.is_warned(1) && !world.is_dead(9));
    assert_eq!(world.fold.segments(), [segment(1), segment(99)]);
}

#[test]
fn a_move_is_void_when_outdated_named_dead_or_twisted() {
    let mut world = World::new();
    world.counts(commit(1, None, &[pack(1)]));
    world.void(moved(&[pack(1)], &[pack(9)], 1), Void::CannotMove);
    let basis = world.now();
    world.void(moved(&[pack(1)], &[pack(1)], basis), Void::CannotMove);
    world.counts(warn(&[pack(5), pack(9)], basis));
    world.counts(sweep(&[pack(5)], basis));
    world.void(
        moved(&[pack(1)], &[pack(9)], basis),
        Void::Outdated { basis },
    );
    let basis = world.now();
    world.void(moved(&[pack(5)], &[pack(9)], basis), Void::CannotMove);
    world.void(moved(&[pack(1)], &[pack(5)], basis), Void::CannotMove);
    world.counts(keep(1));
    world.void(moved(&[pack(1)], &[pack(9)], basis), Void::CannotMove);
    let later = world.now() + 1;
    world.void(
        moved(&[pack(1)], &[pack(9)], later),
        Void::Outdated { basis: later },
    );
}

#[test]
fn compact_replaces_current_segments_only() {
    let mut world = World::new();
    world.counts(commit(1, None, &[]));
    world.counts(commit(2, None, &[]));
    let compact = |old: &[u8], new: u8| {
        Body::Compact(Compact {
            old: old.iter().map(|n| segment(*n)).collect(),
            new: vec![segment(new)],
        })
    };
    world.void(compact(&[1, 7], 8), Void::NotCurrent(segment(7)));
    world.counts(compact(&[1, 2], 8));
    assert_eq!(world.fold.segments(), [segment(8)]);
    world.void(compact(&[1], 9), Void::NotCurrent(segment(1)));
}

#[test]
fn what_is_not_understood_ends_writing_not_reading() {
    let mut world = World::new();
    world.counts(commit(1, None, &[]));
    assert_eq!(
        world.say_as(uuid(9), Err(Unreadable::UnknownKind(33))),
        Verdict::Unknown(33)
    );
    let (slot, why) = world.fold.strange().unwrap();
    assert!(slot == 2 && why.contains("kind 33"), "{why}");
    world.counts(delete(1));
    let mut world = World::new();
    let malformed = Unreadable::Malformed("no".to_owned());
    assert!(matches!(
        world.say_as(uuid(9), Err(malformed)),
        Verdict::Void(Void::Malformed(_))
    ));
    assert!(world.fold.strange().is_some());
}

// -- the interleavings that the fold alone decides

#[test]
fn case_2_a_pack_found_by_an_old_segment_is_dead_for_ever() {
    let mut world = World::new();
    world.counts(commit(1, None, &[pack(1)]));
    world.counts(delete(1));
    world.counts(forget(1));
    world.counts(warn(&[pack(1)], world.now()));
    world.counts(sweep(&[pack(1)], world.now()));
    assert_eq!(
        world.fold.segments(),
        [segment(1)],
        "the segment still says where it was"
    );
    world.void(commit(2, None, &[pack(2), pack(1)]), Void::Dead(pack(1)));
}

#[test]
fn case_5_two_collectors_never_kill_both_copies() {
    let mut world = World::new();
    world.counts(commit(1, None, &[pack(1)]));
    let basis = world.now();
    world.counts(warn(&[pack(9)], basis));
    // G1 moves 1 → 9; G2's list, made before, would sweep 9.
    world.counts(moved(&[pack(1)], &[pack(9)], basis));
    world.void(sweep(&[pack(9)], basis), Void::Outdated { basis });
    assert!(world.is_dead(1) && !world.is_dead(9));
}

#[test]
fn case_5b_two_sweeps_with_older_lists() {
    let mut world = World::new();
    world.counts(commit(1, None, &[pack(1)]));
    world.counts(commit(2, None, &[pack(2)]));
    let basis = world.now();
    world.counts(warn(&[pack(1), pack(2)], basis));
    let basis = world.now();
    world.counts(sweep(&[pack(2)], basis));
    world.void(sweep(&[pack(1)], basis), Void::Outdated { basis });
}

#[test]
fn case_5c_reuse_is_always_named() {
    let mut world = World::new();
    world.counts(commit(1, None, &[pack(1)]));
    let basis = world.now();
    world.counts(commit(2, Some(1), &[pack(2), pack(1)]));
    world.void(moved(&[pack(1)], &[pack(9)], basis), Void::CannotMove);
}

#[test]
fn case_6_a_writer_of_days_keeps_its_packs() {
    let mut world = World::new();
    for _ in 0..5 {
        let basis = world.now();
        world.counts(warn(&[pack(1)], basis));
        world.counts(keep(1));
        world.counts(sweep(&[pack(1)], basis));
        assert!(!world.is_dead(1));
    }
    world.counts(commit(1, None, &[pack(1)]));
}

#[test]
fn case_7_nothing_dies_in_the_run_that_first_sees_it() {
    let mut world = World::new();
    world.counts(sweep(&[pack(1)], world.now()));
    assert!(!world.is_dead(1));
}

#[test]
fn case_8_an_old_list_spares_the_commit_in_between() {
    let mut world = World::new();
    world.counts(warn(&[pack(1)], world.now()));
    let basis = world.now();
    world.counts(commit(1, None, &[pack(1)]));
    world.counts(sweep(&[pack(1)], basis));
    assert!(!world.is_dead(1));
    // A commit that is void spares what it names, too.
    let mut world = World::new();
    world.counts(warn(&[pack(1)], world.now()));
    let basis = world.now();
    world.void(commit(1, Some(77), &[pack(1)]), Void::BaseGone(uuid(77)));
    world.counts(sweep(&[pack(1)], basis));
    assert!(!world.is_dead(1));
}

#[test]
fn case_9_a_commit_behind_a_sweep_is_void() {
    let mut world = World::new();
    world.counts(warn(&[pack(1)], world.now()));
    world.counts(sweep(&[pack(1)], world.now()));
    world.void(commit(1, None, &[pack(1)]), Void::Dead(pack(1)));
    assert_eq!(world.status(1), None);
}

#[test]
fn case_10_a_commit_sent_twice_is_one_backup() {
    let mut world = World::new();
    assert_eq!(
        world.say_as(uuid(5), Ok(commit(1, None, &[pack(1)]))),
        Verdict::Counts
    );
    assert_eq!(
        world.say_as(uuid(5), Ok(commit(1, None, &[pack(1)]))),
        Verdict::Void(Void::Repeated)
    );
    assert_eq!(
        world.say(commit(1, None, &[pack(1)])),
        Verdict::Void(Void::Committed(session(1)))
    );
    assert_eq!(world.fold.all_backups().count(), 1);
}

#[test]
fn case_14_a_move_onto_a_swept_pack_is_void() {
    let mut world = World::new();
    world.counts(commit(1, None, &[pack(1)]));
    world.counts(warn(&[pack(9)], world.now()));
    world.counts(sweep(&[pack(9)], world.now()));
    let basis = world.now();
    world.void(moved(&[pack(1)], &[pack(9)], basis), Void::CannotMove);
    assert!(!world.is_dead(1));
}

#[test]
fn case_17_a_base_swept_under_a_writer() {
    let mut world = World::new();
    world.counts(commit(1, None, &[pack(1)]));
    world.counts(delete(1));
    world.counts(forget(1));
    world.counts(warn(&[pack(1)], world.now()));
    world.counts(sweep(&[pack(1)], world.now()));
    world.void(commit(2, Some(1), &[pack(2)]), Void::BaseGone(uuid(1)));
}

// -- properties

fn any_body(now: u64) -> impl Strategy<Value = Body> {
    let packs = || prop::collection::vec((1u8..6).prop_map(pack), 1..4);
    let basis = 0..=now;
    prop_oneof![
        4 => (1u8..30, prop::option::of(1u8..30), packs()).prop_map(|(n, base, uses)| commit(n, base, &uses)),
        2 => (1u8..30).prop_map(delete),
        1 => (1u8..30).prop_map(|n| Body::Undelete(backups(&[n]))),
        1 => (1u8..30).prop_map(forget),
        1 => (1u8..6).prop_map(keep),
        2 => (packs(), basis.clone()).prop_map(|(packs, basis)| warn(&packs, basis)),
        2 => (packs(), basis.clone()).prop_map(|(packs, basis)| sweep(&packs, basis)),
        1 => (packs(), packs(), basis).prop_map(|(from, to, basis)| moved(&from, &to, basis)),
    ]
}

proptest! {
    /// Dead is for ever; no commit that counts names a dead pack; nothing is dead and warned; gone is
    /// for ever; the same entries give the same state.
    #[test]
    fn invariants_hold_over_any_log(bodies in prop::collection::vec((0u64..1, any_body(40)), 1..60)) {
        let (mut world, mut twin) = (World::new(), World::new());
        for (_, body) in bodies {
            let before = world.fold.clone();
            let verdict = world.say(body.clone());
            prop_assert_eq!(&twin.say(body.clone()), &verdict);
            prop_assert_eq!(world.visible(), twin.visible());
            let mut lost = before.dead().clone();
            lost.subtract(world.fold.dead());
            prop_assert!(lost.is_empty());
            prop_assert!(!world.fold.dead().intersects(world.fold.warned()));
            if let (Verdict::Counts, Body::Commit(commit)) = (&verdict, &body) {
                prop_assert!(!before.dead().intersects(&RunSet::of(&commit.uses)));
            }
            for stored in before.all_backups().filter(|stored| stored.status == Status::Gone) {
                prop_assert_eq!(world.fold.backup(stored.record.id).map(|now| now.status), Some(Status::Gone));
            }
        }
    }
}

//! A whole log: bodies of every kind in any order, folded.

use super::{KEYS, REPOSITORY};
use crate::Target;
use convoy_repository::fold::{Fold, Status, Verdict};
use convoy_repository::format::{Body, Entry, Stamp, Unreadable, decode_entry, encode_entry};
use convoy_repository::{FullHash, ObjectName, Run, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The target.
pub const TARGET: Target = Target {
    name: "log",
    about: "the bodies of log entries and what they add up to",
    run,
    seeds,
    words: &[
        "\"session\":",
        "\"backups\":",
        "\"uses\":",
        "\"segments\":",
        "\"basis\":",
        "\"packs\":",
        "\"from\":",
        "\"to\":",
        "\"old\":",
        "\"new\":",
        "\"began\":",
        "null",
        "\n",
    ],
    max_len: 4000,
    weight: 6,
};

/// Kinds by letter: a line of an input begins with one.
const KINDS: [(u8, u8); 11] = [
    (b'I', 1),
    (b'V', 2),
    (b'C', 3),
    (b'D', 4),
    (b'U', 5),
    (b'K', 6),
    (b'F', 16),
    (b'W', 17),
    (b'S', 18),
    (b'M', 19),
    (b'X', 20),
];

/// Entries are lines: a letter for the kind, a byte for the operation, then the JSON of the body.
pub fn run(data: &[u8]) {
    let mut fold = Fold::default();
    let mut prev = FullHash([0; 32]);
    for (slot, line) in (0..64).zip(data.split(|byte| *byte == b'\n')) {
        let (kind, op, json) = split(line);
        let body = Body::parse(kind, json);
        let entry = Entry {
            slot,
            op: Uuid::from_bytes([op; 16]),
            host: Uuid::nil(),
            time: 0,
            body,
        };
        if let Ok(body) = &entry.body {
            prev = there_and_back(&entry, body, prev);
        }
        step(&mut fold, &entry);
    }
}

fn split(line: &[u8]) -> (u8, u8, &[u8]) {
    let letter = line.first().copied().unwrap_or(0);
    let kind = KINDS.iter().find(|(known, _)| *known == letter);
    let op = line.get(1).copied().unwrap_or(0);
    (
        kind.map_or(letter, |(_, kind)| *kind),
        op,
        line.get(2..).unwrap_or_default(),
    )
}

/// A body that was read is written, signed and read again as the same.
fn there_and_back(entry: &Entry, body: &Body, prev: FullHash) -> FullHash {
    assert_eq!(Body::parse(body.kind(), &body.to_json()).as_ref(), Ok(body));
    let stamp = Stamp {
        slot: entry.slot,
        prev,
        op: entry.op,
        host: entry.host,
        time: entry.time,
    };
    let bytes = encode_entry(&KEYS, &stamp, body);
    assert_eq!(
        decode_entry(&KEYS, entry.slot, prev, &bytes).as_ref(),
        Ok(entry)
    );
    FullHash(*blake3::hash(&bytes).as_bytes())
}

/// What may be seen of a fold.
#[derive(Debug, PartialEq)]
struct Seen {
    volumes: Vec<Uuid>,
    backups: BTreeMap<Uuid, Status>,
    segments: Vec<ObjectName>,
    dead: Vec<Run>,
    warned: Vec<Run>,
}

fn seen(fold: &Fold) -> Seen {
    Seen {
        volumes: fold.volumes().map(|volume| volume.id).collect(),
        backups: fold
            .all_backups()
            .map(|stored| (stored.record.id, stored.status))
            .collect(),
        segments: fold.segments().to_vec(),
        dead: fold.dead().runs().collect(),
        warned: fold.warned().runs().collect(),
    }
}

/// One entry: judged as it is applied, and within what the protocol allows.
fn step(fold: &mut Fold, entry: &Entry) {
    let before = seen(fold);
    let judged = entry
        .body
        .as_ref()
        .map(|body| fold.judge(body, entry.op, entry.slot));
    let mut twin = fold.clone();
    let verdict = fold.apply(entry);
    assert_eq!(twin.apply(entry), verdict, "the fold is a function");
    let after = seen(fold);
    match (&verdict, judged) {
        (Verdict::Counts, Ok(Ok(()))) => assert!(fold.has_op(entry.op)),
        (Verdict::Void(void), Ok(Err(why))) => assert_eq!(*void, why),
        (Verdict::Unknown(kind), Err(Unreadable::UnknownKind(found))) => {
            assert_eq!(kind, found);
            assert!(fold.strange().is_some());
        }
        (Verdict::Void(_), Err(_)) => {}
        (verdict, judged) => panic!("{verdict:?} where {judged:?} was foretold"),
    }
    if verdict != Verdict::Counts {
        assert_eq!(before, after, "a void entry does nothing");
    }
    assert_eq!(fold.slots(), entry.slot + 1);
    laws(fold, &before, &after, entry);
}

/// Whatever happens, this holds.
fn laws(fold: &Fold, before: &Seen, after: &Seen, entry: &Entry) {
    for (id, old) in &before.backups {
        let new = after
            .backups
            .get(id)
            .expect("no backup is ever unknown again");
        let allowed = match (old, new) {
            (Status::Gone, new) => *new == Status::Gone,
            (Status::Live, new) => *new != Status::Gone,
            (Status::Trash, _) => true,
        };
        assert!(allowed, "a backup went from {old:?} to {new:?}");
        assert_eq!(fold.is_protected(*id), *new != Status::Gone);
    }
    assert!(before.volumes.iter().all(|id| fold.has_volume(*id)));
    assert!(
        before.dead.iter().all(|run| covers(&after.dead, *run)),
        "what is dead stays dead"
    );
    assert!(
        !fold.dead().intersects(fold.warned()),
        "dead is more than warned"
    );
    let distinct: BTreeSet<&ObjectName> = after.segments.iter().collect();
    assert_eq!(distinct.len(), after.segments.len());
    apart(&after.dead);
    apart(&after.warned);
    if let Ok(Body::Commit(commit)) = &entry.body
        && before.backups.len() < after.backups.len()
    {
        assert!(commit.uses.iter().all(|run| !fold.dead().touches(*run)));
        assert!(commit.uses.iter().all(|run| !fold.warned().touches(*run)));
    }
}

fn covers(runs: &[Run], run: Run) -> bool {
    runs.iter()
        .any(|whole| whole.session == run.session && whole.from <= run.from && run.to <= whole.to)
}

/// Runs of a set neither touch nor overlap, and none is empty.
fn apart(runs: &[Run]) {
    assert!(runs.iter().all(|run| run.from < run.to));
    for pair in runs.windows(2) {
        let apart = pair[0].session < pair[1].session || pair[0].to < pair[1].from;
        assert!(apart, "{pair:?}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let session = |n: u8| SessionId([n; 16]).to_string();
    let uuid = |n: u8| Uuid::from_bytes([n; 16]);
    let segment = |n: u8| format!("{}-{:08x}-{}", session(n), 0, "ab".repeat(16));
    let backup = |n: u8, base: Option<u8>| {
        serde_json::json!({
            "id": uuid(n), "name": format!("backup-{n:016x}"), "volume": uuid(200), "size": 4096, "root": null,
            "base": base.map(uuid),
        })
    };
    let commit = |n: u8, base: Option<u8>, uses: serde_json::Value| {
        serde_json::json!({
            "session": session(n), "began": 0, "backups": [backup(n, base)], "uses": uses, "segments": [segment(n)],
        })
    };
    let run = |n: u8, from: u32, to: u32| serde_json::json!([session(n), from, to]);
    let init = serde_json::json!({"repository": REPOSITORY, "config": "00".repeat(32)});
    let volume =
        serde_json::json!({"id": uuid(200), "name": "v", "created": "2026-01-01T00:00:00Z"});
    let list = |n: u8| serde_json::json!({"backups": [uuid(n)]});
    let packs =
        |packs: serde_json::Value, basis: u64| serde_json::json!({"packs": packs, "basis": basis});
    let log = |lines: &[(char, u8, serde_json::Value)]| {
        let lines: Vec<String> = lines
            .iter()
            .map(|(kind, op, json)| format!("{kind}{}{json}", char::from(*op)))
            .collect();
        lines.join("\n").into_bytes()
    };
    let begin = [('I', b'0', init), ('V', b'1', volume)];
    let first = (
        'C',
        b'2',
        commit(1, None, serde_json::json!([run(1, 0, 2)])),
    );
    let second = (
        'C',
        b'3',
        commit(2, Some(1), serde_json::json!([run(2, 0, 1), run(1, 1, 2)])),
    );
    let moved = serde_json::json!({"from": [run(1, 0, 1)], "to": [run(9, 0, 1)], "segments": [segment(9)], "basis": 4});
    let compact = serde_json::json!({"old": [segment(1)], "new": [segment(8)]});
    let keep = serde_json::json!({"session": session(5)});
    vec![
        log(&begin),
        log(&[&begin[..], &[first.clone(), second.clone()]].concat()),
        log(&[
            &begin[..],
            &[first.clone(), ('D', b'4', list(1)), ('U', b'5', list(1))],
        ]
        .concat()),
        log(&[
            &begin[..],
            &[
                first.clone(),
                ('D', b'4', list(1)),
                ('F', b'5', list(1)),
                second.clone(),
            ],
        ]
        .concat()),
        log(&[
            &begin[..],
            &[
                ('W', b'4', packs(serde_json::json!([run(5, 0, 9)]), 2)),
                ('K', b'6', keep),
                ('W', b'7', packs(serde_json::json!([run(6, 0, 9)]), 4)),
                ('S', b'8', packs(serde_json::json!([run(6, 2, 5)]), 5)),
                first.clone(),
            ],
        ]
        .concat()),
        log(&[
            &begin[..],
            &[first, second, ('M', b'9', moved), ('X', b'a', compact)],
        ]
        .concat()),
    ]
}

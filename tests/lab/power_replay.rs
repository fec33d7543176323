//! Every write of a workload played again up to every flush, as a power cut may have left it, and everything
//! looked at there.
//!
//! The filesystem with catalog and backups, the pool's metadata and its data are three parts of one device under
//! `log-writes`, so that there is one order of all writes; what was begun and done is marked in between. Each
//! point is played onto a second device, and looked at through a snapshot, which is thrown away with all that
//! recovery wrote. At some points a part of the writes that the next flush would have made durable is there too,
//! in pieces of 4 KiB: a disk's cache is written in any order.

mod points;
mod record;
mod replay;
mod stack;
mod torn;

use convoy_tests::story::Verb;
use record::Workload;
use replay::Score;

/// What is done in each, from a first opening on.
const WORKLOADS: [Workload; 5] = [
    Workload {
        name: "volumes",
        verbs: &[Verb::Create, Verb::Write, Verb::Mount, Verb::Delete],
        busy: false,
    },
    Workload {
        name: "snapshots",
        verbs: &[Verb::Snapshot, Verb::DeleteSnapshot, Verb::Write],
        busy: true,
    },
    Workload {
        name: "backups",
        verbs: &[Verb::Snapshot, Verb::Backup, Verb::DeleteBackup],
        busy: false,
    },
    Workload {
        name: "restores",
        verbs: &[Verb::Backup, Verb::Restore, Verb::Delete],
        busy: false,
    },
    Workload {
        name: "mixed",
        verbs: &Verb::ALL,
        busy: true,
    },
];

/// Deeds after the first opening.
const DEEDS: u32 = 12;
/// Points of the one workload that is played where nobody asks for all of them.
const SAMPLE: usize = 9;

#[test]
fn what_a_cut_leaves_at_any_flush_is_recovered() {
    let all = std::env::var_os("CONVOY_TORTURE").is_some();
    let most = std::env::var("CONVOY_POINTS").ok();
    let most = most.and_then(|most| most.parse().ok());
    let mut score = Score::default();
    // `CONVOY_WORKLOAD` names the only one.
    let only = std::env::var("CONVOY_WORKLOAD").ok();
    let only = only.or((!all).then(|| "mixed".to_owned()));
    for (number, workload) in WORKLOADS.iter().enumerate() {
        if only.as_ref().is_some_and(|only| only != workload.name) {
            continue;
        }
        stack::prepare(number);
        let seed = record::seed();
        record::run(number, workload, seed);
        let most = most.unwrap_or(if all { usize::MAX } else { SAMPLE });
        replay::run(number, workload.name, seed, most, &mut score);
    }
    score.close();
}

//! A process killed at any instant, and a disk that fills up.
//!
//! The test binary runs itself as the victim: one test of it, with a path in the environment.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use convoy_fault::chain;
use tempfile::TempDir;

use super::*;

const VICTIM: &str = "CONVOY_CATALOG_VICTIM";

/// What the victim writes for ever: generation `n` puts `n` in several places at once.
fn generation(catalog: &Catalog, n: u64) -> Result<(), Error> {
    let changes = [1, 2].map(|which| {
        let mut volume = volume(which);
        volume.size = Bytes(n);
        Change::PutVolume(volume)
    });
    let begun = catalog.begin(&intent(vec![]), &changes)?;
    catalog.complete(&begun, &[])
}

/// The generation that a catalog holds, after checking that it holds it everywhere.
fn generation_of(catalog: &Catalog) -> u64 {
    let state = State::of(catalog);
    let sizes: BTreeSet<u64> = state.volumes.iter().map(|volume| volume.size.0).collect();
    assert!(sizes.len() <= 1, "nothing half applied: {sizes:?}");
    let size = sizes.into_iter().next().unwrap_or(0);
    let completed = state.pools[0].transaction.0;
    let pending = u64::try_from(state.intents.len()).unwrap();
    assert_eq!(
        completed + pending,
        size,
        "an intent and its rows come together"
    );
    size
}

#[test]
fn victim() {
    let Some(path) = std::env::var_os(VICTIM) else {
        return; // Not a test by itself.
    };
    let catalog = Catalog::open(Path::new(&path)).unwrap();
    if let Some(intent) = catalog.pending_intents().unwrap().pop() {
        catalog.complete(&intent, &[]).unwrap();
    }
    for n in generation_of(&catalog) + 1.. {
        match generation(&catalog, n) {
            Ok(()) => println!("\ndone {n}"),
            Err(error) => {
                println!("\nfailed {n} {:?} {}", error.kind(), chain(&error));
                return;
            }
        }
    }
}

fn victim_of(path: &Path, prelude: &str) -> Command {
    let run = "exec \"$0\" --exact catalog::tests::crash::victim --nocapture";
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{prelude} {run}")])
        .arg(std::env::current_exe().unwrap())
        .env(VICTIM, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn acknowledged(line: &str) -> Option<u64> {
    line.strip_prefix("done ")?.parse().ok()
}

#[test]
fn a_kill_at_any_instant_keeps_what_was_acknowledged() {
    let fixture = Fixture::new();
    for round in 0..8_usize {
        let mut child = victim_of(&fixture.path(), "").spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut done = lines
            .map_while(Result::ok)
            .filter_map(|line| acknowledged(&line));
        // Later each time, and some microseconds into the next transaction.
        let first = done.nth(round * 3).unwrap();
        thread::sleep(Duration::from_micros(371).saturating_mul(u32::try_from(round).unwrap()));
        child.kill().unwrap();
        let last = done.last().unwrap_or(first);
        child.wait().unwrap();
        let found = generation_of(&Catalog::open(&fixture.path()).unwrap());
        assert!(
            found == last || found == last + 1,
            "acknowledged {last}, found {found}"
        );
    }
}

#[test]
fn a_file_that_may_not_grow_is_an_error_with_nothing_half_applied() {
    let Fixture { directory, catalog } = Fixture::new();
    drop(catalog);
    let path = directory.path().join("catalog.db");
    // 500 blocks of 512 bytes; the signal is ignored, so that the write itself fails.
    let output = victim_of(&path, "trap '' XFSZ; ulimit -f 500;")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = text.lines().find(|line| line.starts_with("failed"));
    let failed = failed.expect("it runs out of space");
    assert!(failed.contains(" Failed "), "{failed}");
    let last = text
        .lines()
        .filter_map(acknowledged)
        .next_back()
        .unwrap_or(0);
    let found = generation_of(&Catalog::open(&path).unwrap());
    assert!(
        found == last || found == last + 1,
        "acknowledged {last}, found {found}"
    );
}

#[test]
fn a_full_disk_is_told_and_passes() {
    let fixture = &Fixture::new();
    let catalog = &fixture.catalog;
    let limit = |pages: i64| {
        // What SQLite answers beyond it is what it answers to ENOSPC.
        let set = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        catalog
            .lock()
            .pragma_update_and_check(None, "max_page_count", pages, set)
            .unwrap();
    };
    let mut big = volume(1);
    big.labels = [("fill".to_owned(), "x".repeat(100_000))].into();
    limit(1);
    let before = State::of(catalog);
    let changes = [Change::PutVolume(volume(2)), Change::PutVolume(big.clone())];
    let error = catalog.apply(&changes).unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{}", chain(&error));
    assert_eq!((error.kind(), error.hint().is_some()), (Kind::Failed, true));
    assert_eq!(State::of(catalog), before);
    limit(1_000_000);
    catalog.apply(&[Change::PutVolume(big)]).unwrap();
}

#[test]
fn a_catalog_that_somebody_moves_away_is_not_recreated() {
    let fixture = &Fixture::new();
    let elsewhere = TempDir::new().unwrap();
    std::fs::rename(fixture.path(), elsewhere.path().join("moved")).unwrap();
    assert!(matches!(
        Catalog::open(&fixture.path()),
        Err(Error::Lost { .. })
    ));
}

/// An fsync failed, the process was killed, the next one wrote behind what only the page cache had, and the
/// power failed: everything acknowledged since would be gone.
#[test]
fn an_opening_leaves_nothing_to_the_log() {
    let fixture = Fixture::new();
    let log = fixture.directory.path().join("catalog.db-wal");
    let mut child = victim_of(&fixture.path(), "").spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut done = lines
        .map_while(Result::ok)
        .filter_map(|line| acknowledged(&line));
    let first = done.nth(3).unwrap();
    child.kill().unwrap();
    let last = done.last().unwrap_or(first);
    child.wait().unwrap();
    assert!(
        std::fs::metadata(&log).unwrap().len() > 0,
        "it died with a log"
    );
    let catalog = Catalog::open(&fixture.path()).unwrap();
    let found = generation_of(&catalog);
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    // The database alone has it all.
    let alone = fixture.directory.path().join("alone.db");
    std::fs::copy(fixture.path(), &alone).unwrap();
    assert_eq!(generation_of(&Catalog::open(&alone).unwrap()), found);
    assert!(found >= last, "acknowledged {last}, found {found}");
}

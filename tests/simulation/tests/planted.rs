//! Each planted mistake is found, within a bounded number of seeds; those that take hundreds with `CONVOY_TORTURE=1` only.
//!
//! The table of `docs/reliability.md` is made by
//! `CONVOY_TORTURE=1 cargo test -p convoy-simulation --test planted -- --nocapture`.

use convoy_simulation::{Options, Planted, run};
use std::path::Path;

/// Seeds that a mistake may stay hidden.
const SEEDS: u64 = 1_000;
/// Mistakes that need a rare place for a crash.
const SLOW: [&str; 3] = [
    "intents not settled",
    "append without looking first",
    "restore not flushed",
];

#[test]
fn every_planted_mistake_is_found() {
    let memory = Path::new("/dev/shm");
    let temporary = std::env::temp_dir();
    let directory = if memory.is_dir() { memory } else { &temporary };
    let torture = std::env::var_os("CONVOY_TORTURE").is_some();
    let mut hidden = Vec::new();
    for (name, planted) in Planted::ALL {
        if SLOW.contains(&name) && !torture {
            continue;
        }
        let options = Options {
            planted: Some(planted),
            ..Options::default()
        };
        let found = (0..SEEDS).find_map(|seed| {
            let outcome = run(seed, directory, options);
            let violation = outcome.violations.into_iter().next()?;
            Some((seed + 1, violation))
        });
        match found {
            Some((seeds, violation)) => {
                let violation: String = violation.chars().take(110).collect();
                println!("| {name} | {seeds} | {violation} |");
            }
            None => hidden.push(name),
        }
    }
    assert_eq!(hidden, Vec::<&str>::new(), "not found in {SEEDS} seeds");
}

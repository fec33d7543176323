//! A test that runs over several guests on the same disks, each killed when the test calls for it.
//!
//! What a guest's test says in lines that begin with `@` is kept in a file outside, which the next guest's
//! finds named in `CONVOY_TOLD`: that is all that survives of a guest besides its disks.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;

use super::guests::{Guest, Heard, listen, side_by_side};
use super::tally::Tally;
use crate::places;

/// The module whose tests are run so.
pub(crate) const MODULE: &str = "power_cuts";

/// What a test says when its power is to be cut.
const CUT: &str = "@cut ";
/// What it says of itself for people, at the end.
const TABLE: &str = "@table ";
/// The disks: the root directory's filesystem, the pool's metadata, its data.
const DISKS: &[(&str, &str)] = &[("root", "1G"), ("metadata", "16M"), ("data", "512M")];
/// Beyond this a story does not come to its end.
const MOST_GUESTS: u32 = 200;

/// The seeds of the stories: one, or with `CONVOY_TORTURE` more; `CONVOY_SEED` names the first.
fn seeds() -> Vec<u64> {
    let given = std::env::var("CONVOY_SEED").ok();
    let first = given.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let count = if std::env::var_os("CONVOY_TORTURE").is_some() {
        8
    } else {
        1
    };
    (first..first + count).collect()
}

/// Tells every story of every test, as many at a time as told.
pub(crate) fn run(guest: &Guest<'_>, tests: &[String], at_once: usize) -> Tally {
    let stories = tests
        .iter()
        .flat_map(|test| seeds().into_iter().map(move |seed| (test, seed)));
    let mut total = Tally::default();
    for told in side_by_side(at_once, stories.collect(), |(test, seed)| {
        story(guest, test, seed)
            .unwrap_or_else(|error| Tally::one_failed(format!("{test}, seed {seed}: {error:#}")))
    }) {
        total.add(told);
    }
    total
}

/// One story: a guest after the other until its test ends.
fn story(guest: &Guest<'_>, test: &str, seed: u64) -> anyhow::Result<Tally> {
    let start = Instant::now();
    let place = Place::make()?;
    let tests = [test.to_owned()];
    for number in 1..=MOST_GUESTS {
        let mut command = guest.command(MODULE, 180);
        for (name, size) in DISKS {
            let file = place.dir.join(name);
            command
                .arg("--disk")
                .arg(format!("{}:{size}", file.display()));
        }
        command.args(["--power-cut-on", CUT]);
        guest.run_tests(&mut command, &tests);
        command
            .env("CONVOY_TOLD", place.told())
            .env("CONVOY_SEED", seed.to_string());
        let heard = listen(command)?;
        place.keep(&heard.said)?;
        if heard.code == Some(137) {
            continue;
        }
        return Ok(end(test, seed, number, heard, &tests, start, place));
    }
    anyhow::bail!("{MOST_GUESTS} guests, and no end")
}

fn end(
    test: &str,
    seed: u64,
    guests: u32,
    heard: Heard,
    tests: &[String],
    start: Instant,
    place: Place,
) -> Tally {
    let took = start.elapsed().as_secs_f64();
    println!("{test}, seed {seed}: {guests} guests, {took:.1} s");
    println!("{} points", guests - 1);
    for line in heard.said.lines() {
        if let Some(row) = line.strip_prefix(TABLE) {
            println!("    {row}");
        }
    }
    let said = heard.said.clone();
    let tally = heard.finish(tests);
    if tally.failed > 0 {
        println!("---- {test}, seed {seed}: all the last guest said ----\n{said}---- end ----");
        println!("told and disks are kept in {}", place.dir.display());
        std::mem::drop(place.keep_all());
    }
    tally
}

/// The folder of a story, gone when dropped.
struct Place {
    dir: PathBuf,
    keep: bool,
}

impl Place {
    /// Below the build's folder, which guests see.
    fn make() -> anyhow::Result<Self> {
        let dir = nix::unistd::mkdtemp(&places::target().join("power-XXXXXX"))
            .context("make a folder for disks")?;
        File::create(dir.join("told")).context("make the file of what is told")?;
        Ok(Self { dir, keep: false })
    }

    fn told(&self) -> PathBuf {
        self.dir.join("told")
    }

    /// Adds what a guest told.
    fn keep(&self, said: &str) -> anyhow::Result<()> {
        let mut told = File::options()
            .append(true)
            .open(self.told())
            .context("open the file of what is told")?;
        for line in whole_lines(said).filter_map(|line| line.strip_prefix('@')) {
            writeln!(told, "{line}").context("keep what is told")?;
        }
        Ok(())
    }

    fn keep_all(mut self) -> PathBuf {
        self.keep = true;
        self.dir.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            std::fs::remove_dir_all(&self.dir).ok();
        }
    }
}

/// A line that the cut tore is none: nobody can say what it would have been.
fn whole_lines(said: &str) -> impl Iterator<Item = &str> {
    let whole = said.rfind('\n').map_or("", |end| &said[..end]);
    whole.lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_kept_in_order_but_for_a_torn_line() {
        let place = Place::make().unwrap();
        place.keep("noise\n@begin a create v1 -\n@done").unwrap();
        place.keep("@done a\nnoise\n").unwrap();
        let told = std::fs::read_to_string(place.told()).unwrap();
        assert_eq!(told, "begin a create v1 -\ndone a\n");
        let dir = place.dir.clone();
        drop(place);
        assert!(!dir.exists());
    }

    #[test]
    fn a_failed_story_keeps_its_disks() {
        let dir = Place::make().unwrap().keep_all();
        assert!(dir.join("told").exists());
        std::fs::remove_dir_all(dir).unwrap();
    }
}

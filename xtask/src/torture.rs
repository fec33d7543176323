//! The long versions of all tests that have one, in one command, with one table at the end.

mod parts;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::run::usage;
use crate::setup::Environment;
use crate::test::guests;
use crate::test::tally::{Libtest, Tally};
use crate::{places, setup};
use parts::{PARTS, Part, Work};

const HELP: &str = "\
usage: cargo xtask torture [OPTIONS] [PART...]

The long versions of the tests that have one, hours of them; without a PART, all. Prints, for each, how many
points were tried, how many did not hold, and the time. Exit status 0 only if everything held. What each said is
kept in the build's folder, under torture.

  --list         the parts
  --points N     no more than N points of each kind, rather than all: to see that every part starts and ends
  --seed N       another beginning for what goes by seeds";

/// The hidden word that makes this program run tests in guests and nothing else.
const GUESTS_WORD: &str = "__torture-guests";

/// What to run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    list: bool,
    points: Option<u64>,
    seed: Option<u64>,
    parts: Vec<String>,
}

fn parse(words: &[String]) -> anyhow::Result<Options> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().and_then(|value| value.parse().ok());
            value.ok_or_else(|| usage(format!("{word} needs a number")))
        };
        match word.as_str() {
            "--list" => options.list = true,
            "--points" => options.points = Some(number()?),
            "--seed" => options.seed = Some(number()?),
            _ if word.starts_with('-') => return Err(usage(format!("unknown option {word}"))),
            _ if !PARTS.iter().any(|part| part.name == word) => {
                return Err(usage(format!("no part is called {word}: see --list")));
            }
            _ => options.parts.push(word.clone()),
        }
    }
    Ok(options)
}

/// Runs tests in guests, when the words say so: in a process of its own, which has the variables that ask for
/// the long versions.
pub(crate) fn hidden(words: &[String]) -> Option<ExitCode> {
    let [word, filter] = words else { return None };
    if word != GUESTS_WORD {
        return None;
    }
    let run = || guests::run(&setup::prepare()?.with_judges()?, Some(filter), false);
    Some(match run() {
        Ok(tally) if tally.failed == 0 && tally.passed > 0 => ExitCode::SUCCESS,
        Ok(tally) => {
            for failure in tally.failures {
                println!("FAILED {failure}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("FAILED {filter}: {error:#}");
            ExitCode::FAILURE
        }
    })
}

/// `cargo xtask torture`.
pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = parse(words)?;
    if options.list {
        for Part {
            name, about, unit, ..
        } in PARTS
        {
            println!("{name:<14}{unit:<11}{about}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let env = setup::prepare()?.with_judges()?;
    let wanted = |part: &&Part| {
        options.parts.is_empty() || options.parts.iter().any(|name| name == part.name)
    };
    let rows = PARTS
        .iter()
        .filter(wanted)
        .map(|part| run(part, &options, &env))
        .collect::<Result<Vec<Row>, _>>()?;
    Ok(close(&rows))
}

/// What came of a part.
struct Row {
    name: &'static str,
    unit: &'static str,
    points: u64,
    tally: Tally,
    took: Duration,
}

fn run(part: &Part, options: &Options, env: &Environment) -> anyhow::Result<Row> {
    println!("==> {}: {}", part.name, part.about);
    let start = Instant::now();
    let mut command = match &part.work {
        Work::Guests(filter) => {
            let mut command = env.command("/proc/self/exe");
            command.args([GUESTS_WORD, filter]);
            command
        }
        Work::Here(words) => {
            let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
            let mut command = env.command(&cargo);
            command.arg("test").args(*words);
            command
        }
    };
    command
        .env("CONVOY_TORTURE", "1")
        .envs(part.env.iter().copied());
    let number = |number: u64| number.to_string();
    let few = options.points.filter(|_| !part.few.is_empty());
    command.envs(few.map(|n| (part.few, number(n))));
    // Where seeds are many, one is the first.
    let seed = match part.work {
        Work::Guests(_) => "CONVOY_SEED",
        Work::Here(_) => "CONVOY_FIRST_SEED",
    };
    command.envs(options.seed.map(|n| (seed, number(n))));
    let (points, tally) = listen(command, &log(part.name)?, part.name)?;
    let took = start.elapsed();
    Ok(Row {
        name: part.name,
        unit: part.unit,
        points,
        tally,
        took,
    })
}

/// Where what a part says is kept.
fn log(name: &str) -> anyhow::Result<PathBuf> {
    let dir = places::target().join("torture");
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(dir.join(format!("{name}.log")))
}

/// Runs it to its end; counts points and verdicts, and shows them as they come.
fn listen(mut command: Command, log: &PathBuf, name: &str) -> anyhow::Result<(u64, Tally)> {
    let mut file = File::create(log).with_context(|| format!("make {}", log.display()))?;
    let (reader, writer) = std::io::pipe().context("make a pipe")?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn().context("start it")?;
    // It holds the pipe's writing ends: unless they are gone, the reader never ends.
    drop(command);
    let (mut points, mut libtest) = (0, Libtest::default());
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("read what it says")?;
        let line = String::from_utf8_lossy(&line);
        writeln!(file, "{line}").context("keep what it says")?;
        if let Some(more) = counted(&line) {
            points += more;
            println!("    {}", line.trim());
        }
        if line.contains("VIOLATION") || line.starts_with("FAILED") {
            println!("    {}", line.trim());
        }
        libtest.line(&line);
    }
    let status = child.wait().context("wait for it")?;
    let mut tally = libtest.finish(name, status.success());
    for failure in &mut tally.failures {
        *failure = format!("{failure} (see {})", log.display());
    }
    Ok((points, tally))
}

/// The number in a line such as `373 points`: what a long version prints of itself.
fn counted(line: &str) -> Option<u64> {
    let line = line.trim_start().trim_start_matches("MEASURED ");
    let mut words = line.split_whitespace();
    let number = words.next()?.parse().ok();
    let what = words.next()?.trim_end_matches([',', ':', ';']);
    let counts = ["points", "seeds", "histories", "flips", "snapshots"];
    counts.contains(&what).then_some(number)?
}

/// The table, as a document takes it.
fn close(rows: &[Row]) -> ExitCode {
    println!("\n| part | points | tests | violations | minutes |");
    println!("|---|---:|---:|---:|---:|");
    let (mut failed, mut took) = (0, Duration::ZERO);
    for row in rows {
        let points = match row.points {
            0 => String::new(),
            points => format!("{points} {}", row.unit),
        };
        let (name, passed, violations) = (row.name, row.tally.passed, row.tally.failed);
        let minutes = row.took.as_secs_f64() / 60.0;
        println!("| {name} | {points} | {passed} | {violations} | {minutes:.1} |");
        failed += violations;
        took += row.took;
    }
    println!(
        "{failed} violations in {:.0} minutes",
        took.as_secs_f64() / 60.0
    );
    for failure in rows.iter().flat_map(|row| &row.tally.failures) {
        println!("FAILED {failure}");
    }
    ExitCode::from(u8::from(failed > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn words_become_options() {
        let options = parse(&words("--points 7 kills --seed 3 flips")).unwrap();
        assert_eq!((options.points, options.seed), (Some(7), Some(3)));
        assert_eq!(options.parts, ["kills", "flips"]);
        for wrong in ["--points", "--points many", "nonsense", "--nonsense"] {
            assert!(parse(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_part_counts_is_read() {
        assert_eq!(counted("373 points"), Some(373));
        assert_eq!(counted("100000 seeds, 3 s\r"), Some(100_000));
        assert_eq!(counted("MEASURED 1000 histories: Tally"), Some(1000));
        assert_eq!(counted("500 snapshots in 9 s: of the first"), Some(500));
        assert_eq!(counted("backups: 3 of 9 points, 1 s"), None);
        assert_eq!(counted("many points"), None);
        assert_eq!(counted(""), None);
    }

    #[test]
    fn a_part_that_fails_is_counted_with_its_points() {
        let dir = nix::unistd::mkdtemp(&std::env::temp_dir().join("torture-XXXXXX")).unwrap();
        let said = "echo 5 points; echo '7 points'; exit 1";
        let mut command = Command::new("sh");
        command.args(["-c", said]);
        let (points, tally) = listen(command, &dir.join("log"), "x").unwrap();
        assert_eq!((points, tally.failed), (12, 1));
        let kept = std::fs::read_to_string(dir.join("log")).unwrap();
        assert_eq!(kept, "5 points\n7 points\n");
        std::fs::remove_dir_all(dir).unwrap();
    }
}

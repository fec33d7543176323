//! Coverage-guided fuzzing on stable Rust: builds the targets of `tests/fuzz` for libFuzzer and runs them.
//!
//! What is found is kept under the build's folder; the small corpus that `cargo test` replays is renewed from it.
//! `docs/fuzzing.md` says how to read the figures and keeps them.

mod build;
mod run;

use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::places;
use crate::run::usage;
use crate::setup;
use build::Programs;
use run::Figures;

const HELP: &str = "\
usage: cargo xtask fuzz [TARGET] [--seconds N] [--jobs N] [--keep]

Runs one target, or all by their weights, at the lowest priority. Prints for each what it cost and reached, and
renews its corpus in tests/fuzz/corpus. Exit status 1 if anything broke; the inputs that did lie under the
build's folder, and `cargo run -p convoy-fuzz -- run TARGET FILE` feeds one again.

  --seconds N  time altogether (default 600)
  --jobs N     processes at a time for a target (default 1)
  --keep       leave the corpus in tests/fuzz/corpus as it is";

/// Seconds unless chosen otherwise.
const SECONDS: u64 = 600;

#[derive(Debug, PartialEq, Eq)]
struct Options {
    target: Option<String>,
    seconds: u64,
    jobs: u64,
    keep: bool,
}

fn parse(words: &[String]) -> anyhow::Result<Options> {
    let mut options = Options {
        target: None,
        seconds: SECONDS,
        jobs: 1,
        keep: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let number = words.next().and_then(|word| word.parse().ok());
            number
                .filter(|n| *n > 0)
                .ok_or_else(|| usage(format!("{word} takes a whole number above 0")))
        };
        match word.as_str() {
            "--seconds" => options.seconds = number()?,
            "--jobs" => options.jobs = number()?,
            "--keep" => options.keep = true,
            _ if word.starts_with('-') => return Err(usage(format!("unknown option {word}"))),
            _ if options.target.is_some() => return Err(usage("one TARGET at most")),
            _ => options.target = Some(word.clone()),
        }
    }
    Ok(options)
}

/// A target as its own list tells it.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    name: String,
    weight: u64,
    max_len: u64,
}

fn read_list(text: &str) -> anyhow::Result<Vec<Target>> {
    let line = |line: &str| {
        let mut fields = line.split('\t');
        Some(Target {
            name: fields.next()?.to_owned(),
            weight: fields.next()?.parse().ok()?,
            max_len: fields.next()?.parse().ok()?,
        })
    };
    let targets: Option<Vec<Target>> = text.lines().map(line).collect();
    targets.context("read the list of targets")
}

/// The targets to run, with the seconds of each: shares of the whole by weight, and never none.
fn shares(targets: Vec<Target>, options: &Options) -> anyhow::Result<Vec<(Target, u64)>> {
    let chosen = |target: &Target| {
        options
            .target
            .as_ref()
            .is_none_or(|name| *name == target.name)
    };
    let names: Vec<String> = targets.iter().map(|target| target.name.clone()).collect();
    let targets: Vec<Target> = targets.into_iter().filter(chosen).collect();
    let weights: u64 = targets.iter().map(|target| target.weight).sum();
    if weights == 0 {
        return Err(usage(format!("the targets are {}", names.join(", "))));
    }
    let share = |target: Target| {
        let seconds = (options.seconds * target.weight / weights).max(1);
        (target, seconds)
    };
    Ok(targets.into_iter().map(share).collect())
}

/// `cargo xtask fuzz`.
pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = parse(words)?;
    let env = setup::prepare()?;
    let programs = Programs::build(&env, &places::target().join("fuzz"))?;
    let targets = shares(read_list(&programs.ask(&["list"])?)?, &options)?;
    let mut all = Figures::default();
    println!("{}", Figures::HEAD);
    for (target, seconds) in targets {
        let found = run::target(&programs, &target, seconds, &options)?;
        println!("{}", found.row(&target.name));
        all.add(&found);
    }
    println!("{}", all.row("all"));
    if !all.crashes.is_empty() {
        for crash in &all.crashes {
            println!("fuzz: broken by {}", crash.display());
        }
        bail!("{} inputs broke something", all.crashes.len());
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    //! Words, the list, and how time is shared.

    use super::*;

    fn words(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn command_lines() {
        let options = parse(&words("diff --seconds 5 --jobs 2 --keep")).unwrap();
        let expected = Options {
            target: Some("diff".to_owned()),
            seconds: 5,
            jobs: 2,
            keep: true,
        };
        assert_eq!(options, expected);
        for wrong in ["--seconds", "--seconds 0", "--jobs x", "a b", "--what"] {
            assert!(parse(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn time_is_shared_by_weight() {
        let list = || read_list("a\t1\t10\tthis\nb\t3\t20\tthat\n").unwrap();
        let seconds = |words: &str, text: &str| -> Vec<u64> {
            let options = parse(&self::words(words)).unwrap();
            let shares = shares(read_list(text).unwrap(), &options).unwrap();
            shares.iter().map(|(_, seconds)| *seconds).collect()
        };
        let text = "a\t1\t10\tthis\nb\t3\t20\tthat\n";
        assert_eq!(list()[1].max_len, 20);
        assert_eq!(seconds("--seconds 100", text), [25, 75]);
        assert_eq!(seconds("b --seconds 100", text), [100]);
        assert_eq!(seconds("--seconds 1", text), [1, 1]);
        assert!(shares(list(), &parse(&words("c")).unwrap()).is_err());
        assert!(read_list("a\n").is_err());
    }
}

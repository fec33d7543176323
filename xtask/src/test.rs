//! Everything continuous integration runs, in one command; all failures are told together at the end.

mod cuts;
pub(crate) mod guests;
mod loop_disks;
mod servers;
mod steps;
pub(crate) mod tally;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::run::usage;
use crate::setup;
use tally::Tally;

const HELP: &str = "\
usage: cargo xtask test [--quick] [--host] [FILTER]

Formatting, clippy, `xtask tidy`, tests on this machine, the client built alone, then the tests that
need a kernel, in lab guests. Goes on after a failure and tells all of them at the end; the last line
counts. Exit status 0 only if nothing failed.

  --quick   leave out what needs a kernel
  --host    run what needs a kernel on this machine's own, as root, instead of in the lab
  FILTER    only tests whose name contains it, and no other check";

/// What to run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    quick: bool,
    host: bool,
    filter: Option<String>,
}

fn parse(words: &[String]) -> anyhow::Result<Options> {
    let mut options = Options::default();
    for word in words {
        match word.as_str() {
            "--quick" => options.quick = true,
            "--host" => options.host = true,
            _ if word.starts_with('-') => return Err(usage(format!("unknown option {word}"))),
            _ if options.filter.is_some() => return Err(usage("one FILTER at most")),
            _ => options.filter = Some(word.clone()),
        }
    }
    Ok(options)
}

/// `cargo xtask test`.
pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = parse(words)?;
    let start = Instant::now();
    let mut report = Report::default();
    let env = setup::prepare()?.with_judges()?;
    if options.filter.is_none() {
        for check in steps::CHECKS {
            report.step(check.name, || steps::check(check, &env));
        }
    }
    report.step("tests on this machine", || {
        steps::host_tests(&env, options.filter.as_deref())
    });
    if !options.quick {
        report.step("tests on servers", || {
            servers::run(&env, options.filter.as_deref())
        });
        report.step("tests in the lab", || {
            guests::run(&env, options.filter.as_deref(), options.host)
        });
    }
    Ok(report.close(start.elapsed()))
}

/// The steps so far.
#[derive(Debug, Default)]
struct Report {
    rows: Vec<(String, Duration, Tally)>,
}

impl Report {
    fn step(&mut self, name: &str, run: impl FnOnce() -> anyhow::Result<Tally>) {
        println!("==> {name}");
        let start = Instant::now();
        let tally = run().unwrap_or_else(|error| Tally::one_failed(format!("{name}: {error:#}")));
        let took = start.elapsed();
        println!(
            "    {name}: {} passed, {} failed, {}",
            tally.passed,
            tally.failed,
            show(took)
        );
        self.rows.push((name.to_owned(), took, tally));
    }

    /// Prints the table, every failure, and the line that counts.
    fn close(self, took: Duration) -> ExitCode {
        println!(
            "\n{:<28}{:>8}{:>8}{:>9}",
            "step", "passed", "failed", "time"
        );
        let mut total = Tally::default();
        for (name, took, tally) in self.rows {
            println!(
                "{name:<28}{:>8}{:>8}{:>9}",
                tally.passed,
                tally.failed,
                show(took)
            );
            total.add(tally);
        }
        println!("{:<28}{:>25}", "all", show(took));
        if total.passed + total.failed == 0 {
            total.fail("nothing ran: no test has that name");
        }
        for failure in &total.failures {
            println!("FAILED {failure}");
        }
        for skipped in &total.skipped {
            println!("SKIPPED {skipped}");
        }
        let skipped = match total.skipped.len() {
            0 => String::new(),
            some => format!(", {some} skipped"),
        };
        println!("{} passed, {} failed{skipped}", total.passed, total.failed);
        ExitCode::from(u8::from(total.failed > 0))
    }
}

fn show(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_options() {
        let words = ["--quick", "snapshot"].map(str::to_owned);
        let filter = Some("snapshot".to_owned());
        assert_eq!(
            parse(&words).unwrap(),
            Options {
                quick: true,
                host: false,
                filter
            }
        );
        assert!(parse(&["--slow".to_owned()]).is_err());
        assert!(parse(&["a", "b"].map(str::to_owned)).is_err());
    }
}

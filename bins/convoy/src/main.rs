//! The convoy command line.
//!
//! Three steps, three types: parsed arguments (`args`), what shall be done (`options`), what is printed
//! (`run`). Only this file writes to stdout and ends the process.

mod args;
mod complete;
mod failure;
mod manual;
mod options;
mod progress;
mod render;
mod run;
mod safe;

use args::{Cli, Output, When};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use convoy_fault::Kind;
use failure::Failure;
use run::{Outcome, Terminals};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Does nothing, and returns, unless a shell's script asks for completions by this variable.
    let completions = clap_complete::CompleteEnv::with_factory(Cli::command);
    completions.var(manual::VARIABLE).complete();
    let outcome = match Cli::try_parse() {
        Ok(cli) => command(cli),
        Err(error) => usage(&error),
    };
    let status = print(&mut io::stdout().lock(), &outcome.stdout, outcome.status);
    // Nobody at stderr changes nothing of what was done.
    drop(io::stderr().write_all(outcome.stderr.as_bytes()));
    ExitCode::from(status)
}

fn command(cli: Cli) -> Outcome {
    let global = cli.global.clone();
    match options::resolve(cli) {
        Ok(action) => run::run(action, &global, terminals(global.color)),
        Err(failure) => run::failed(&failure, global.output, terminals(global.color)),
    }
}

fn terminals(color: When) -> Terminals {
    let stdout = io::stdout().is_terminal();
    let width = comfy_table::Table::new().width();
    Terminals {
        // A terminal that does not tell its width, or tells 0 as serial lines do, is taken for the
        // narrowest in use.
        stdout: stdout.then(|| width.filter(|width| *width >= 20).unwrap_or(80)),
        stderr: io::stderr().is_terminal(),
        colors: colors(color, stdout, std::env::var_os::<&str>),
    }
}

/// What was asked for; else on a terminal, by the rules of no-color.org: `NO_COLOR` set to anything but nothing
/// means none. A dumb terminal shows none either.
fn colors(
    asked: When,
    terminal: bool,
    variable: impl Fn(&'static str) -> Option<std::ffi::OsString>,
) -> bool {
    let refused = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = variable("TERM").is_some_and(|value| value == "dumb");
    match asked {
        When::Always => true,
        When::Never => false,
        When::Auto => terminal && !refused && !dumb,
    }
}

/// Help and version on stdout, anything else as a failure of usage; as an object too where the arguments
/// ask for JSON, which nobody has parsed yet.
fn usage(error: &clap::Error) -> Outcome {
    let text = error.render();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return Outcome {
            stdout: text.to_string(),
            ..Outcome::default()
        };
    }
    let words: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let message = text
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    let message = message.trim_start_matches("error: ").to_owned();
    let failure = Failure::new(Kind::Invalid, message, "see convoy --help");
    if asks_for_json(&words) {
        return run::failed(&failure, Output::Json, terminals(When::Auto));
    }
    // clap says more than our two lines: where the mistake is, and the usage.
    Outcome {
        stderr: text.to_string(),
        ..run::failed(&failure, Output::Auto, terminals(When::Auto))
    }
}

fn asks_for_json(words: &[String]) -> bool {
    let together = ["--output=json", "-ojson", "-o=json"];
    words.iter().any(|word| together.contains(&word.as_str()))
        || words.windows(2).any(|pair| matches!(pair, [flag, json] if (flag == "--output" || flag == "-o") && json == "json"))
}

/// A closed pipe is success: whoever reads has what they wanted. Anything else that keeps the answer from
/// being written is a failure, even when the verb was done.
fn print(stdout: &mut impl Write, text: &str, status: u8) -> u8 {
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            drop(writeln!(
                io::stderr(),
                "convoy: cannot write the answer: {error}"
            ));
            status.max(Kind::Failed.exit_code())
        }
        _ => status,
    }
}

#[cfg(test)]
mod tests;

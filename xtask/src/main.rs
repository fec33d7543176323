//! Every chore of the project: `cargo xtask` followed by the name of one.
//!
//! It depends on no native library, since it is what fetches them, and on no tool beyond Rust, cc
//! and what Debian's base system has.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore talks to a person"
)]

mod bench;
mod debs;
mod demo;
mod fuzz;
mod lab;
mod places;
mod run;
mod setup;
mod test;
mod tidy;
mod torture;

use std::process::ExitCode;

/// A chore: its name, what it is for, and its code.
struct Chore {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<ExitCode>,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "demo",
        about: "the main job on a real dm-thin kernel, proved",
        run: demo::main,
    },
    Chore {
        name: "test",
        about: "everything continuous integration runs",
        run: test::main,
    },
    Chore {
        name: "torture",
        about: "the long versions of the tests, and what came of them",
        run: torture::main,
    },
    Chore {
        name: "lab",
        about: "run a command as root in a throw-away kernel",
        run: lab::main,
    },
    Chore {
        name: "bench",
        about: "ours beside Debian's tools, measured",
        run: bench::main,
    },
    Chore {
        name: "fuzz",
        about: "hostile input for every reader, guided by coverage",
        run: fuzz::main,
    },
    Chore {
        name: "tidy",
        about: "check layers, code map, file headers, licences",
        run: tidy::main,
    },
    Chore {
        name: "setup",
        about: "install or unpack what the build needs",
        run: setup::main,
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = match read_words() {
        Ok(words) => words,
        Err(word) => return usage(&format!("not valid UTF-8: {}", word.display())),
    };
    if let Some(code) = lab::hidden(&words)
        .or_else(|| bench::hidden(&words))
        .or_else(|| torture::hidden(&words))
    {
        return code;
    }
    let Some((name, rest)) = words.split_first() else {
        return usage("which chore?");
    };
    if matches!(name.as_str(), "-h" | "--help" | "help") {
        println!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        return usage(&format!("no chore is called {name}"));
    };
    match (chore.run)(rest) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask {name}: {error:#}");
            ExitCode::from(if error.is::<run::Usage>() { 2 } else { 1 })
        }
    }
}

fn read_words() -> Result<Vec<String>, std::ffi::OsString> {
    std::env::args_os()
        .skip(1)
        .map(std::ffi::OsString::into_string)
        .collect()
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("xtask: {problem}\n\n{}", help());
    ExitCode::from(2)
}

fn help() -> String {
    let mut text = String::from("usage: cargo xtask CHORE [--help]\n");
    for Chore { name, about, .. } in CHORES {
        text.extend(["\n  ", name, &" ".repeat(8 - name.len()), about]);
    }
    text
}

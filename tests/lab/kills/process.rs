//! A process of this very program that does as it is told, from outside.

use super::worker::PLACE;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// One such process; dropping it kills it.
pub(crate) struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What a worker did with an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Did {
    /// It said these lines, the last of them last.
    Said(Vec<String>),
    /// It was killed.
    Killed,
    /// It died otherwise: something did not hold.
    Broke,
}

impl Worker {
    /// Starts the test of this path, which plays the worker over the folder.
    pub(crate) fn start(test: &str, dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(PLACE, dir)
            // Panics on purpose are many, and take seconds to trace in a guest.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives an order and waits until it is done, or the process is dead.
    pub(crate) fn obey(&mut self, order: &str) -> Did {
        let mut stdin = self.child.stdin.as_ref().expect("it is piped");
        if stdin.write_all(format!("{order}\n").as_bytes()).is_err() {
            return self.ended();
        }
        let mut said = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            let Some(line) = line.strip_prefix('@') else {
                if line.contains("panicked") {
                    println!("    {line}");
                }
                continue;
            };
            said.push(line.to_owned());
            if matches!(line, "done" | "finished" | "undone") {
                return Did::Said(said);
            }
        }
        self.ended()
    }

    fn ended(&mut self) -> Did {
        let status = self.child.wait().unwrap();
        if status.signal() == Some(9) {
            Did::Killed
        } else {
            Did::Broke
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

//! One run of a program: how long it took and how much memory it had at its peak.
//!
//! The kernel tells a process the peak of all its children together, so each run gets a parent of its own: this program
//! again, with a word that nobody types.

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::resource::{UsageWho, getrusage};

use crate::run::quietly;

const WORD: &str = "bench-measure";

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// From before it was started until after it had ended.
    pub(super) wall: Duration,
    /// Processor time, in the program and in the kernel for it.
    pub(super) cpu: Duration,
    /// Most memory resident at a time, in KiB. A few MiB are counted for any program.
    pub(super) peak_kib: u64,
}

/// Runs `program` with `words`, its output into the file `output`.
pub(super) fn run(output: &Path, program: &Path, words: &[&str]) -> anyhow::Result<Run> {
    let me = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(me);
    command.arg(WORD).arg(output).arg(program).args(words);
    let said = quietly(&mut command)?;
    let numbers: Vec<u64> = said
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("understand {said:?}"))?;
    let [wall, cpu, peak_kib] = numbers[..] else {
        anyhow::bail!("{said:?} is not three numbers");
    };
    Ok(Run {
        wall: Duration::from_micros(wall),
        cpu: Duration::from_micros(cpu),
        peak_kib,
    })
}

/// The parent of a run, when the words say so.
pub(crate) fn hidden(words: &[String]) -> Option<ExitCode> {
    let [word, output, program, rest @ ..] = words else {
        return None;
    };
    if word != WORD {
        return None;
    }
    Some(match measure(Path::new(output), program, rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    })
}

fn measure(output: &Path, program: &str, words: &[String]) -> anyhow::Result<()> {
    let output = File::create(output).with_context(|| format!("write {}", output.display()))?;
    let start = Instant::now();
    let status = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(output)
        .status()
        .with_context(|| format!("start {program}"))?;
    let wall = start.elapsed();
    ensure!(status.success(), "{program} ended with {status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("ask what it took")?;
    let micros = |time: nix::sys::time::TimeVal| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000
            + u64::try_from(time.tv_usec()).unwrap_or(0)
    };
    println!(
        "{} {} {}",
        wall.as_micros(),
        micros(usage.user_time()) + micros(usage.system_time()),
        usage.max_rss()
    );
    Ok(())
}

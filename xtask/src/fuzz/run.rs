//! One target: seeds and corpus in, libFuzzer for a while, the smallest corpus of the same coverage out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};

use super::build::Programs;
use super::{Options, Target};
use crate::places;
use crate::run::quietly;

/// Memory of one process at the most, in MiB.
const MEMORY: &str = "256";
/// Seconds for one input at the most, by the clock: on a busy machine the lowest priority waits long.
const PATIENCE: &str = "60";
/// Bytes of a corpus in the source tree at the most.
const MAX_CORPUS: u64 = 200 << 10;

/// What a run cost and reached.
#[derive(Debug, Default)]
pub(super) struct Figures {
    cpu_seconds: u64,
    executions: u64,
    edges: u64,
    files: u64,
    bytes: u64,
    /// Inputs that broke something.
    pub(super) crashes: Vec<PathBuf>,
}

impl Figures {
    pub(super) const HEAD: &'static str =
        "target        cpu seconds   executions   edges   corpus files   corpus bytes   broken";

    pub(super) fn row(&self, name: &str) -> String {
        let Self {
            cpu_seconds,
            executions,
            edges,
            files,
            bytes,
            crashes,
        } = self;
        let broken = crashes.len();
        format!(
            "{name:<12}{cpu_seconds:>13}{executions:>13}{edges:>8}{files:>15}{bytes:>15}{broken:>9}"
        )
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.cpu_seconds += other.cpu_seconds;
        self.executions += other.executions;
        self.edges = self.edges.max(other.edges);
        self.files += other.files;
        self.bytes += other.bytes;
        self.crashes.extend(other.crashes.iter().cloned());
    }
}

/// Where a target's files are.
struct Folders {
    /// All that was found interesting.
    corpus: PathBuf,
    crashes: PathBuf,
    words: PathBuf,
    /// What the source tree keeps.
    kept: PathBuf,
    /// Old crashes: good inputs to begin with.
    regressions: PathBuf,
}

impl Folders {
    fn prepare(programs: &Programs, name: &str) -> anyhow::Result<Self> {
        let source = places::workspace().join("tests/fuzz");
        let folders = Self {
            corpus: programs.work.join("corpus").join(name),
            crashes: programs.work.join("crashes").join(name),
            words: programs.work.join("words").join(name),
            kept: source.join("corpus").join(name),
            regressions: source.join("regressions").join(name),
        };
        for folder in [
            &folders.corpus,
            &folders.crashes,
            &folders.kept,
            &programs.work.join("words"),
        ] {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        fs::write(&folders.words, programs.ask(&["words", name])?)?;
        programs.ask(&["seeds", name, path(&folders.corpus)?])?;
        copy(&folders.kept, &folders.corpus)?;
        copy(&folders.regressions, &folders.corpus)?;
        Ok(folders)
    }
}

/// Runs a target for so many seconds.
pub(super) fn target(
    programs: &Programs,
    target: &Target,
    seconds: u64,
    options: &Options,
) -> anyhow::Result<Figures> {
    let folders = Folders::prepare(programs, &target.name)?;
    let before = children_seconds()?;
    let known = files(&folders.crashes)?;
    let mut figures = Figures::default();
    let logs: Vec<PathBuf> = (0..options.jobs)
        .map(|job| programs.work.join(format!("{}-{job}.log", target.name)))
        .collect();
    let children = logs
        .iter()
        .map(|log| start(programs, target, seconds, &folders, log))
        .collect::<anyhow::Result<Vec<Child>>>()?;
    let mut failed = None;
    for (mut child, log) in children.into_iter().zip(&logs) {
        let status = child.wait().context("wait for the fuzzer")?;
        let said = String::from_utf8_lossy(&fs::read(log)?).into_owned();
        if !status.success() {
            failed = Some((status, log));
        }
        figures.executions += executions(&said);
        figures.edges = figures.edges.max(edges(&said));
    }
    figures.cpu_seconds = children_seconds()?.saturating_sub(before);
    let broken = files(&folders.crashes)?
        .into_iter()
        .filter(|file| !known.contains(file));
    figures.crashes = broken.collect();
    if let (Some((status, log)), true) = (failed, figures.crashes.is_empty()) {
        // It did not run: nothing may be taken for tried.
        bail!("the fuzzer ended with {status}: see {}", log.display());
    }
    if !options.keep {
        renew(programs, target, &folders)?;
    }
    for file in files(&folders.kept)? {
        figures.files += 1;
        figures.bytes += file.metadata()?.len();
    }
    Ok(figures)
}

fn start(
    programs: &Programs,
    target: &Target,
    seconds: u64,
    folders: &Folders,
    log: &Path,
) -> anyhow::Result<Child> {
    let mut command = fuzzer(programs, &target.name);
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={}", target.max_len),
        format!("-artifact_prefix={}/", path(&folders.crashes)?),
        "-print_final_stats=1".to_owned(),
        format!("-report_slow_units={PATIENCE}"),
        "-use_value_profile=1".to_owned(),
    ]);
    // An empty dictionary is an error to it.
    if folders.words.metadata()?.len() > 0 {
        command.arg(format!("-dict={}", path(&folders.words)?));
    }
    command.arg(&folders.corpus).stderr(fs::File::create(log)?);
    command.spawn().context("start the fuzzer")
}

/// libFuzzer at the lowest priority, on this target.
fn fuzzer(programs: &Programs, name: &str) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(&programs.fuzzer);
    command.env("CONVOY_FUZZ_TARGET", name);
    command
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-timeout={PATIENCE}"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The fewest inputs that reach every edge that all of them reach take the place of the kept corpus.
fn renew(programs: &Programs, target: &Target, folders: &Folders) -> anyhow::Result<()> {
    let fresh = programs.work.join("fresh").join(&target.name);
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let mut command = fuzzer(programs, &target.name);
    command.args(["-set_cover_merge=1", "-use_counters=0"]);
    quietly(command.arg(&fresh).arg(&folders.corpus)).context("minimise the corpus")?;
    let mut bytes = 0;
    for file in files(&fresh)? {
        bytes += file.metadata()?.len();
    }
    anyhow::ensure!(
        bytes <= MAX_CORPUS,
        "the corpus of {} would have {bytes} bytes, more than {MAX_CORPUS}",
        target.name
    );
    for old in files(&folders.kept)? {
        fs::remove_file(old)?;
    }
    copy(&fresh, &folders.kept)
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    for file in files(from)? {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(&file, to.join(name)).with_context(|| format!("copy {}", file.display()))?;
    }
    Ok(())
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .context("the build's folder has a name that is not UTF-8")
}

/// How many inputs were tried: the last statistics, else the last progress line.
fn executions(log: &str) -> u64 {
    let stated = log
        .lines()
        .filter_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .filter_map(|number| number.trim().parse().ok())
        .next_back();
    let counted = log
        .lines()
        .filter_map(|line| {
            line.strip_prefix('#')?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .next_back();
    stated.or(counted).unwrap_or(0)
}

/// How many edges were reached.
fn edges(log: &str) -> u64 {
    let line = |line: &str| {
        let (_, after) = line.split_once(" cov: ")?;
        after.split_whitespace().next()?.parse().ok()
    };
    log.lines().filter_map(line).next_back().unwrap_or(0)
}

/// Processor seconds of all children waited for so far, from `/proc/self/stat` (`proc(5)`: fields 16 and 17, in
/// hundredths of a second).
fn children_seconds() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    let (_, after) = text.rsplit_once(')').context("read /proc/self/stat")?;
    let hundredths: u64 = after
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(hundredths / 100)
}

#[cfg(test)]
mod tests {
    //! libFuzzer's words as it says them.

    use super::*;

    #[test]
    fn figures_of_a_log() {
        let log = "INFO: seed corpus: files: 9\n#9\tINITED cov: 100 ft: 120 corp: 8/300b\n\
            #2048\tpulse  cov: 131 ft: 200 corp: 20/1Kb lim: 12 exec/s: 1024 rss: 40Mb\n\
            Done 3000 runs in 3 second(s)\nstat::number_of_executed_units: 3000\n";
        assert_eq!((executions(log), edges(log)), (3000, 131));
        let cut = "#2048\tpulse  cov: 131 ft: 2\n==1== ERROR: libFuzzer: deadly signal\n";
        assert_eq!((executions(cut), edges(cut)), (2048, 131));
        assert_eq!((executions(""), edges("")), (0, 0));
    }

    #[test]
    fn children_are_counted() {
        let before = children_seconds().unwrap();
        quietly(&mut Command::new("true")).unwrap();
        assert!(children_seconds().unwrap() >= before);
    }
}

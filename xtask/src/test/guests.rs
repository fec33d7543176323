//! The tests that need a kernel: built once, then run in lab guests, one guest for each module.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::cuts;
use super::loop_disks::LoopDisks;
use super::steps::cargo_command;
use super::tally::{Libtest, Tally};
use crate::run::quietly;
use crate::setup::Environment;
use crate::{debs, places, setup};

/// Packages the tests use. What the host lacks of them lies over its root in the guest; on the host's own
/// kernel they are installed.
const TOOLS: &[&str] = &[
    "dmsetup",
    "e2fsprogs",
    "fdisk",
    "mount",
    "procps",
    "python3",
    "strace",
    "thin-provisioning-tools",
    "util-linux",
    "xfsprogs",
    "zstd",
];

/// The module of container engines, and what its guest has besides.
const ENGINES: &str = "engines";
const ENGINE_TOOLS: &[&str] = &["busybox-static", "crun", "docker.io", "podman", "netavark"];

/// One test after the other, those named and no others; a guest's serial line looks like a terminal.
const LIBTEST: &[&str] = &["--test-threads=1", "--color=never", "--exact"];
/// Modules that take long for the tests they count.
const LONGEST: &[&str] = &["kills", "power_cuts", "daemon"];
/// Guests at a time: each is one busy processor.
const AT_ONCE: usize = 2;
/// The scratch disks of a guest.
const DISKS: &[&str] = &["/dev/ubda", "/dev/ubdb", "/dev/ubdc"];
const DISK_SIZE: &str = "4G";

/// Builds the tests and runs those the filter leaves, in guests or on this machine's own kernel.
pub(crate) fn run(env: &Environment, filter: Option<&str>, host: bool) -> anyhow::Result<Tally> {
    let binary = build(env)?;
    let listed = quietly(
        env.command(&binary.to_string_lossy())
            .args(["--list", "--format=terse"]),
    )?;
    let groups = group(&listed, filter);
    if host {
        return on_host(env, &binary, groups);
    }
    let layer = if groups.is_empty() {
        None
    } else {
        debs::closure(&places::lab_cache()?, TOOLS)?
    };
    let engines = if groups.contains_key(ENGINES) {
        debs::closure(&places::lab_cache()?, &[TOOLS, ENGINE_TOOLS].concat())?
    } else {
        None
    };
    let guest = Guest {
        env,
        binary: &binary,
        layer: layer.as_deref(),
        engines: engines.as_deref(),
    };
    let mut total = Tally::default();
    for tally in side_by_side(AT_ONCE, longest_first(groups), |(module, tests)| {
        if module == cuts::MODULE {
            cuts::run(&guest, &tests, if is_torture() { AT_ONCE } else { 1 })
        } else {
            guest.run(&module, &tests)
        }
    }) {
        total.add(tally);
    }
    Ok(total)
}

/// Whether the long versions are asked for.
fn is_torture() -> bool {
    std::env::var_os("CONVOY_TORTURE").is_some()
}

/// The longest first, so that none begins when all others are done: those known to be long, then those
/// with the most tests.
fn longest_first(groups: BTreeMap<String, Vec<String>>) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(module, tests)| {
        let known = LONGEST.contains(&module.as_str());
        std::cmp::Reverse((known, tests.len()))
    });
    groups
}

/// Does the work on all jobs, in order, as many at a time as told; the results come in no order.
pub(crate) fn side_by_side<J: Send, R: Send>(
    at_once: usize,
    jobs: Vec<J>,
    work: impl Fn(J) -> R + Sync,
) -> Vec<R> {
    let queue = Mutex::new(VecDeque::from(jobs));
    // (A function of its own: in `while let Some(job) = lock(…).pop_front()` the lock would be held
    // while the job is done.)
    let next = || {
        queue
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .pop_front()
    };
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..at_once)
            .map(|_| scope.spawn(|| std::iter::from_fn(next).map(&work).collect::<Vec<R>>()))
            .collect();
        hands
            .into_iter()
            .flat_map(|hand| match hand.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// Builds the programs and the test binary, with the features the other steps had, so that nothing is
/// built twice.
fn build(env: &Environment) -> anyhow::Result<PathBuf> {
    let words = ["build", "--workspace", "--bins", "--examples", "--locked"];
    let status = cargo_command(env, &words).status().context("start cargo")?;
    anyhow::ensure!(
        status.success(),
        "`cargo {}` ended with {status}",
        words.join(" ")
    );
    let words = [
        "test",
        "--workspace",
        "--features",
        "convoy-tests/lab",
        "--test",
        "lab",
    ];
    let more = [
        "--no-run",
        "--locked",
        "--message-format=json-render-diagnostics",
    ];
    let mut command = cargo_command(env, &[&words[..], &more].concat());
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo")?;
    anyhow::ensure!(
        output.status.success(),
        "building the lab's tests ended with {}",
        output.status
    );
    test_binary(&String::from_utf8_lossy(&output.stdout))
        .context("cargo named no test binary `lab`")
}

/// One of cargo's messages, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

fn test_binary(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .find_map(|message| {
            let target = message.target?;
            message.executable.filter(|_| target.name == "lab")
        })
}

/// The tests by their top-level module.
fn group(listed: &str, filter: Option<&str>) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
    {
        if filter.is_none_or(|filter| name.contains(filter)) {
            let module = name.split("::").next().unwrap_or(name);
            groups
                .entry(module.to_owned())
                .or_default()
                .push(name.to_owned());
        }
    }
    groups
}

/// What every guest has in common.
pub(crate) struct Guest<'a> {
    env: &'a Environment,
    binary: &'a Path,
    layer: Option<&'a Path>,
    /// The same with container engines, where they are tested.
    engines: Option<&'a Path>,
}

impl Guest<'_> {
    /// Runs one module's tests in a guest of their own, one after the other.
    fn run(&self, module: &str, tests: &[String]) -> Tally {
        let mut command = self.command(module, time(tests.len()));
        for _ in DISKS {
            command.args(["--disk", &format!(":{DISK_SIZE}")]);
        }
        let with_engines = Guest {
            layer: self.engines.filter(|_| module == ENGINES).or(self.layer),
            ..*self
        };
        with_engines.run_tests(&mut command, tests);
        collect(command, module, tests)
    }

    /// A guest that ends after so many seconds, without disks and without anything to do.
    pub(crate) fn command(&self, module: &str, timeout: usize) -> Command {
        let mut command = self.env.command("/proc/self/exe");
        let timeout = timeout.to_string();
        command.args(["lab", "--bound", "--mem", "2G"]);
        command.args(["--hostname", module, "--timeout", &timeout]);
        command
    }

    /// Completes the command: it runs these tests.
    pub(crate) fn run_tests(&self, command: &mut Command, tests: &[String]) {
        if let Some(layer) = self.layer {
            command.arg("--layer").arg(layer);
        }
        command.arg("--").arg(self.binary).args(LIBTEST).args(tests);
        if is_torture() {
            // The long versions print what they counted.
            command.arg("--show-output");
        }
        tell_tests(command, DISKS.iter().map(|disk| (*disk).to_owned()));
    }
}

/// Seconds that so many tests may take.
fn time(tests: usize) -> usize {
    let each = if is_torture() { 3600 } else { 60 };
    120 + each * tests
}

/// What a test needs to know of the world outside.
fn tell_tests(command: &mut Command, disks: impl Iterator<Item = String>) {
    let programs = places::target().join("debug");
    command
        .env("CONVOY_EXAMPLE_DIR", programs.join("examples"))
        .env("CONVOY_BIN_DIR", programs);
    command
        .env("CONVOY_LAB", "1")
        .env("CONVOY_DISKS", disks.collect::<Vec<_>>().join(":"));
    command.env("RUST_BACKTRACE", "1");
}

/// Runs the command, shows each verdict as it comes, and everything it said if something failed.
fn collect(command: Command, module: &str, tests: &[String]) -> Tally {
    let start = Instant::now();
    let heard = match listen(command) {
        Ok(heard) => heard,
        Err(error) => {
            println!("{module}: {error:#}");
            return Libtest::default().finish_expecting(tests, "it could not be run");
        }
    };
    let said = heard.said.clone();
    let tally = heard.finish(tests);
    if tally.failed > 0 || is_torture() {
        println!("---- {module}: all it said ----\n{said}---- {module}: end ----");
    }
    let took = start.elapsed().as_secs_f64();
    println!(
        "{module}: {} passed, {} failed, {took:.1} s",
        tally.passed, tally.failed
    );
    tally
}

/// What a guest said, and how it ended.
pub(crate) struct Heard {
    pub(crate) said: String,
    /// Its exit status.
    pub(crate) code: Option<i32>,
    libtest: Libtest,
    end: String,
}

impl Heard {
    /// The counts of what it was to run.
    pub(crate) fn finish(self, tests: &[String]) -> Tally {
        self.libtest.finish_expecting(tests, &self.end)
    }
}

/// Runs it to its end, and shows each verdict as it comes.
pub(crate) fn listen(mut command: Command) -> anyhow::Result<Heard> {
    let (reader, writer) = std::io::pipe().context("make a pipe")?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn().context("start the guest")?;
    // It holds the pipe's writing ends: unless they are gone, the reader never ends.
    drop(command);
    let mut libtest = Libtest::default();
    let mut said = String::new();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let read = reader.read_until(b'\n', &mut line);
        if read.context("read the guest's output")? == 0 {
            break;
        }
        let line = String::from_utf8_lossy(&line);
        if line.starts_with("test ") && !line.starts_with("test result") {
            println!("{}", line.trim_end());
        }
        libtest.line(&line);
        // As it is: the last line of a guest that was killed may be torn.
        said.push_str(&line);
    }
    let status = child.wait().context("wait for the guest")?;
    let end = match status.code() {
        Some(124) => "its time was up".to_owned(),
        Some(125) => "the guest's kernel died".to_owned(),
        Some(137) => "its power was cut".to_owned(),
        _ => format!("the tests ended with {status}"),
    };
    Ok(Heard {
        said,
        code: status.code(),
        libtest,
        end,
    })
}

/// The same on this machine's kernel, with loop devices for disks.
fn on_host(
    env: &Environment,
    binary: &Path,
    mut groups: BTreeMap<String, Vec<String>>,
) -> anyhow::Result<Tally> {
    // Nobody cuts this machine's power.
    groups.remove(cuts::MODULE);
    if !nix::unistd::geteuid().is_root() {
        bail!("--host needs root: the tests make devices");
    }
    setup::install_tools(TOOLS)?;
    let disks = LoopDisks::attach(DISKS.len(), DISK_SIZE)?;
    let mut total = Tally::default();
    for (module, tests) in groups {
        let mut command = env.command(&binary.to_string_lossy());
        command.args(LIBTEST).args(&tests);
        tell_tests(&mut command, disks.devices().iter().cloned());
        total.add(collect(command, &module, &tests));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_grouped_by_module() {
        let listed =
            "pool::a: test\npool::deep::b: test\nbackup::c: test\nalone: test\n\n4 tests\n";
        let groups = group(listed, None);
        assert_eq!(
            groups.keys().collect::<Vec<_>>(),
            ["alone", "backup", "pool"]
        );
        assert_eq!(groups["pool"], ["pool::a", "pool::deep::b"]);
        assert_eq!(group(listed, Some("deep")).len(), 1);
    }

    #[test]
    fn long_modules_begin_first() {
        let tests = |count| vec![String::new(); count];
        let groups = [
            ("backup", 16),
            ("daemon", 9),
            ("diff", 1),
            ("kills", 1),
            ("pool", 18),
        ];
        let groups = groups.map(|(module, count)| (module.to_owned(), tests(count)));
        let order: Vec<String> = longest_first(groups.into())
            .into_iter()
            .map(|(module, _)| module)
            .collect();
        assert_eq!(order, ["daemon", "kills", "pool", "backup", "diff"]);
    }

    #[test]
    fn two_jobs_are_done_at_once_and_all_are_done() {
        // Each of the first two waits for the other: one at a time would never end.
        let both = std::sync::Barrier::new(2);
        let mut done = side_by_side(2, vec![1, 2, 3], |job| {
            if job < 3 {
                both.wait();
            }
            job
        });
        done.sort_unstable();
        assert_eq!(done, [1, 2, 3]);
    }

    #[test]
    fn the_binary_is_found_in_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"x\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"lab\"},\"executable\":\"/t/lab-1\"}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(test_binary(messages), Some(PathBuf::from("/t/lab-1")));
        assert_eq!(test_binary("not json"), None);
    }

    #[test]
    fn a_program_that_dies_fails_what_it_did_not_report() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo 'test m::a ... ok'; printf 'test m::b ... '; kill -9 $$",
        ]);
        let tests = ["m::a", "m::b"].map(str::to_owned);
        let tally = collect(command, "m", &tests);
        assert_eq!((tally.passed, tally.failed), (1, 1));
    }
}

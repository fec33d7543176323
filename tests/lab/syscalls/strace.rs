//! strace, put on a running process and taken off again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A trace that is being made; dropping it lets the process go.
pub(super) struct Trace {
    strace: Child,
    log: PathBuf,
}

/// What a trace saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The most calls of one name that one thread made.
    pub(super) most: BTreeMap<String, u32>,
    /// Whether anything was made to happen, and where first.
    pub(super) injected: Option<String>,
}

impl Trace {
    /// Puts strace on all threads of a process, and on what it will start, and waits until it is there.
    /// `inject` is for the one call that is traced.
    pub(super) fn attach(pid: u32, calls: &[&str], inject: Option<&str>, log: &Path) -> Self {
        let named: Vec<String> = calls.iter().map(|call| format!("?{call}")).collect();
        let named = named.join(",");
        let mut command = Command::new("strace");
        command.args(["-f", "-o"]).arg(log);
        command.arg("-e").arg(format!("trace={named}"));
        if let Some(inject) = inject {
            command.arg("-e").arg(format!("inject={named}:{inject}"));
        }
        let pid = pid.to_string();
        let mut strace = command
            .args(["-p", &pid])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(strace.stderr.take().unwrap());
        let mut said = said.lines().map(Result::unwrap);
        let attached = said.find(|line| line.contains("attached"));
        assert!(attached.is_some(), "strace does not attach to {pid}");
        // It goes on telling of new threads: read, so that it never waits.
        std::thread::spawn(move || said.for_each(drop));
        Self {
            strace,
            log: log.to_owned(),
        }
    }

    /// Takes it off.
    pub(super) fn detach(mut self) -> Seen {
        self.end();
        read(&fs::read_to_string(&self.log).unwrap())
    }

    fn end(&mut self) {
        if self.strace.try_wait().unwrap().is_none() {
            let pid = Pid::from_raw(i32::try_from(self.strace.id()).unwrap());
            kill(pid, Signal::SIGINT).unwrap();
            self.strace.wait().unwrap();
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.end();
    }
}

/// `PID name(…) = …`; what another thread interrupted is `PID name(… <unfinished ...>` and, later, `PID <... name resumed>…`.
fn read(log: &str) -> Seen {
    let mut seen = Seen::default();
    let mut calls: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if rest.contains("(INJECTED)") || rest.contains("killed by SIGKILL") {
            seen.injected.get_or_insert_with(|| rest.to_owned());
        }
        if let Some((name, _)) = rest.split_once('(')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            *calls.entry((thread, name)).or_default() += 1;
        }
    }
    for ((_, name), count) in calls {
        let most = seen.most.entry(name.to_owned()).or_default();
        *most = count.max(*most);
    }
    seen
}

#[test]
fn a_log_is_read() {
    let log = "\
        10 pwrite64(3, \"a\", 1, 0) = 1\n\
        11 pwrite64(3, \"a\", 1, 0 <unfinished ...>\n\
        10 pwrite64(3, \"a\", 1, 0) = 1\n\
        11 <... pwrite64 resumed>) = -1 EIO (Input/output error) (INJECTED)\n\
        11 fsync(3) = 0\n\
        11 +++ exited with 0 +++\n";
    let seen = read(log);
    let most = [("fsync", 1), ("pwrite64", 2)];
    assert_eq!(seen.most, most.map(|(name, n)| (name.to_owned(), n)).into());
    assert!(seen.injected.unwrap().starts_with("<... pwrite64 resumed"));
    assert!(read("10 fsync(3) = 0\n").injected.is_none());
}

//! A daemon of one test: started over a root folder, asked through the command line, killed at will.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::{Ran, run, word};
use crate::programs;

/// How long a daemon may take to answer, or to end: a guest on a busy machine is slow.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running daemon; dropping it kills it, and leaves its pool and mounts as a crash would.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts `convoyd` over `root`, with further words such as `--driver-opts dm.fs=ext4`, and waits
    /// until its socket answers. Its socket and log lie beside `root`.
    ///
    /// # Panics
    ///
    /// When it ends, or does not answer within a minute; with its log.
    #[track_caller]
    pub fn start(root: &Path, words: &[&str]) -> Self {
        Self::spawn(root, words).answering()
    }

    #[track_caller]
    fn answering(mut self) -> Self {
        let start = Instant::now();
        while !answers(&self.socket) {
            let ended = self.child.try_wait().expect("our own child can be asked");
            assert!(ended.is_none(), "convoyd ended: {ended:?}\n{}", self.log());
            assert!(
                start.elapsed() < PATIENCE,
                "convoyd does not answer\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    /// Starts `convoyd` with exactly these words, which make it serve on `socket`; its log lies beside it.
    ///
    /// # Panics
    ///
    /// As [`Daemon::start`].
    #[track_caller]
    pub fn start_told(words: &[&str], socket: &Path) -> Self {
        let folder = socket.parent().expect("a socket is in a folder");
        std::fs::create_dir_all(folder).expect("the socket's folder can be made");
        Self::spawn_told(words, socket, socket.with_extension("log")).answering()
    }

    /// Starts `convoyd` where it is expected to refuse, and returns its exit status and log.
    ///
    /// # Panics
    ///
    /// When it does not end within a minute.
    #[track_caller]
    pub fn refuse(root: &Path, words: &[&str]) -> (Option<i32>, String) {
        let mut daemon = Self::spawn(root, words);
        let code = daemon.wait();
        (code, daemon.log())
    }

    #[track_caller]
    fn spawn(root: &Path, words: &[&str]) -> Self {
        let (socket, log) = (root.with_extension("sock"), root.with_extension("log"));
        let places = ["--root", word(root), "--socket", word(&socket)];
        let words = [&places[..], words].concat();
        Self::spawn_told(&words, &socket, log)
    }

    #[track_caller]
    fn spawn_told(words: &[&str], socket: &Path, log: PathBuf) -> Self {
        let stderr = File::options().create(true).append(true).open(&log);
        let child = Command::new(programs().join("convoyd"))
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr.expect("the root's folder can be written"))
            .spawn()
            .expect("convoyd was built and can be started");
        Self {
            child,
            socket: socket.to_owned(),
            log,
        }
    }

    /// Runs `convoy` with these words against this daemon.
    #[track_caller]
    pub fn convoy(&self, words: &[&str]) -> Ran {
        run(self.command().args(words))
    }

    /// The answer of a command that must succeed, without its last newline.
    ///
    /// # Panics
    ///
    /// When it failed.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        self.convoy(words).ok().to_owned()
    }

    /// The one JSON document of a command that must succeed.
    ///
    /// # Panics
    ///
    /// When it failed, or its answer is not one JSON document.
    #[track_caller]
    pub fn json(&self, words: &[&str]) -> serde_json::Value {
        self.convoy(words).json()
    }

    /// Backs a snapshot up, and gives the answer's JSON.
    ///
    /// # Panics
    ///
    /// As [`Self::json`].
    #[track_caller]
    pub fn back_up(&self, snapshot: &str, dest: &str) -> serde_json::Value {
        let words = [
            "--output", "json", "backup", "create", snapshot, "--dest", dest,
        ];
        self.json(&words)
    }

    /// A command that must fail with this exit status, saying so in these words.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn fails(&self, words: &[&str], code: i32, with: &str) -> Ran {
        let ran = self.convoy(words);
        ran.expect_code(code);
        assert!(ran.stderr.contains(with), "no {with:?} in {ran:?}");
        ran
    }

    /// A `convoy` command against this daemon, for a test that starts it itself.
    #[track_caller]
    pub fn command(&self) -> Command {
        let mut command = Command::new(programs().join("convoy"));
        command.env("CONVOY_SOCKET", &self.socket);
        command
    }

    /// The socket it serves.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The daemon's process, for `/proc/<pid>`.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has logged so far, over restarts too.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Peak resident memory so far, in bytes (`VmHWM` of proc(5)).
    ///
    /// # Panics
    ///
    /// When the daemon is gone.
    #[track_caller]
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the daemon runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("the kernel tells VmHWM in KiB") * 1024
    }

    /// Asks it to end, as a service manager does, and returns its exit status.
    ///
    /// # Panics
    ///
    /// When it does not end within a minute.
    #[track_caller]
    pub fn stop(mut self) -> Option<i32> {
        let pid = i32::try_from(self.pid()).expect("process ids fit");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("our own child can be signalled");
        self.wait()
    }

    /// Ends it with SIGKILL: nothing is finished, nothing undone.
    pub fn kill(self) {
        drop(self);
    }

    #[track_caller]
    fn wait(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child can be asked") {
                return status.code();
            }
            assert!(
                start.elapsed() < PATIENCE,
                "convoyd does not end\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether a daemon answers there: one that only has its socket may not have said all that it says at its start.
fn answers(socket: &Path) -> bool {
    let ask = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: convoy\r\nConnection: close\r\n\r\n")?;
        stream.read(&mut [0; 16])
    };
    ask().is_ok_and(|read: usize| read > 0)
}

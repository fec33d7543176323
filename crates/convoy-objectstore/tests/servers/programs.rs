//! Starting servers: moto out of its Python environment, Ceph out of a folder where its packages are unpacked.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Programs that run for one test, and their files.
#[derive(Debug)]
pub(crate) struct Programs {
    running: Vec<Child>,
    folder: tempfile::TempDir,
}

impl Programs {
    pub(crate) fn new() -> Self {
        Self {
            running: Vec::new(),
            folder: tempfile::tempdir().expect("a folder for a server"),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts one and leaves it running.
    pub(crate) fn start(&mut self, command: &mut Command) {
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = quiet.spawn();
        self.running
            .push(child.unwrap_or_else(|error| panic!("start {command:?}: {error}")));
    }

    /// Waits until somebody answers at this port.
    pub(crate) fn wait(&mut self, port: u16) {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            for child in &mut self.running {
                let ended = child.try_wait().expect("it is ours");
                assert!(ended.is_none(), "a server ended with {ended:?}");
            }
            assert!(begin.elapsed() < PATIENCE, "nobody answers at port {port}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for child in self.running.iter_mut().rev() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Runs one to its end, which must be good; what it said.
pub(crate) fn done(command: &mut Command) -> String {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn();
    let child = child.unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    let (ended, end) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            kill(pid, Signal::SIGKILL).ok();
        }
    });
    let output = child.wait_with_output().expect("it is ours");
    drop(ended);
    watch.join().expect("it only waits");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {words}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The folder that a variable names.
pub(crate) fn folder(variable: &str) -> PathBuf {
    let folder = std::env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} names no folder of a server: `cargo xtask test` installs it and sets it")
    });
    folder.into()
}

/// A port that nobody has at this moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("it is bound").port()
}

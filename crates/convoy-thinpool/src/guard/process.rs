//! The guard as a process of its own, as seen from whom it guards.

use super::protocol::{Answer, READY, Request};
use super::{Guard, GuardError, Ticket, Verdict};
use crate::names::DmUuid;
use std::fmt;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a new guard may take to come up: a program is loaded, perhaps from a slow disk.
const START: Duration = Duration::from_secs(20);
/// How long a guard may take to answer; one that is resuming something else waits for the kernel.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a guard that was told to end may take.
const END: Duration = Duration::from_secs(1);

/// A guard in a process of its own: a socket leads to it, which closes when we die.
///
/// It is started by [`GuardProcess::start`] or by the first arming, and again whenever it is found dead or
/// dumb: without a guard that answered, nothing is armed. Dropping this ends the process.
pub struct GuardProcess {
    command: Box<dyn Fn() -> Command + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    tickets: u64,
}

struct Running {
    child: Child,
    stream: BufReader<UnixStream>,
}

impl fmt::Debug for GuardProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuardProcess")
    }
}

impl GuardProcess {
    /// A guard that is started by this command. Its standard input becomes the socket, on which it calls
    /// [`super::serve`]; its output goes nowhere, and its directory is the root, so that it holds nothing.
    pub fn new(command: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        Self {
            command: Box::new(command),
            state: Mutex::default(),
        }
    }

    /// Starts it now rather than when it is first needed.
    ///
    /// # Errors
    /// [`GuardError::Start`], [`GuardError::Lost`] when it does not come up.
    pub fn start(&self) -> Result<(), GuardError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.running(&mut state).map(drop)
    }

    /// The guard's process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running.as_ref().map(|running| running.child.id())
    }

    fn running<'a>(&self, state: &'a mut State) -> Result<&'a mut Running, GuardError> {
        if state.running.as_mut().is_some_and(Running::is_dead) {
            tracing::warn!("the guard process is gone: starting another");
            state.running = None;
        }
        match &mut state.running {
            Some(running) => Ok(running),
            none => Ok(none.insert(Running::start((self.command)())?)),
        }
    }

    /// Asks the guard that runs, and sees to it that one which did not answer as it should is none any more.
    fn ask(
        state: &mut State,
        request: &Request,
        expected: impl FnOnce(&Answer) -> bool,
    ) -> Result<Answer, GuardError> {
        let Some(running) = &mut state.running else {
            return Err(GuardError::Lost(ErrorKind::NotConnected.into()));
        };
        let answer = running.ask(request, ANSWER);
        let answer = answer.and_then(|answer| {
            let fits = expected(&answer);
            fits.then_some(answer)
                .ok_or_else(|| GuardError::Answer(answer.to_string()))
        });
        if answer.is_err()
            && let Some(mut running) = state.running.take()
        {
            // Before anything else: a late answer, or a late deed, would be taken for another's.
            running.kill();
        }
        answer
    }
}

impl Guard for GuardProcess {
    fn arm(&self, device: &DmUuid, limit: Duration) -> Result<Ticket, GuardError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tickets += 1;
        let ticket = Ticket(state.tickets);
        let request = Request::Arm {
            ticket,
            limit,
            device: device.clone(),
        };
        let armed = |answer: &Answer| *answer == Answer::Armed(ticket);
        // A guard may have died since it was last asked: that is found out here, and another one is asked.
        self.running(&mut state)?;
        match Self::ask(&mut state, &request, armed) {
            Err(GuardError::Lost(error)) => {
                tracing::warn!(%error, "the guard process does not answer: starting another");
                self.running(&mut state)?;
                Self::ask(&mut state, &request, armed)?
            }
            answer => answer?,
        };
        Ok(ticket)
    }

    fn disarm(&self, ticket: Ticket) -> Result<Verdict, GuardError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the guard that was armed can tell: no other one is started for this.
        let disarmed =
            |answer: &Answer| matches!(answer, Answer::Disarmed(given, _) if *given == ticket);
        match Self::ask(&mut state, &Request::Disarm(ticket), disarmed)? {
            Answer::Disarmed(_, verdict) => Ok(verdict),
            Answer::Armed(_) => Ok(Verdict::Resumed),
        }
    }
}

impl Running {
    fn start(mut command: Command) -> Result<Self, GuardError> {
        let (ours, theirs) = UnixStream::pair().map_err(GuardError::Start)?;
        let child = command
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()
            .map_err(GuardError::Start)?;
        // The command holds the other end: were it kept open here, a dead guard would look alive.
        drop(command);
        let mut running = Self {
            child,
            stream: BufReader::new(ours),
        };
        match running.line(START)?.as_str() {
            READY => Ok(running),
            other => Err(GuardError::Answer(other.to_owned())),
        }
    }

    fn is_dead(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn ask(&mut self, request: &Request, patience: Duration) -> Result<Answer, GuardError> {
        let stream = self.stream.get_mut();
        stream
            .set_write_timeout(Some(patience))
            .and_then(|()| stream.write_all(format!("{request}\n").as_bytes()))
            .map_err(GuardError::Lost)?;
        let line = self.line(patience)?;
        Answer::parse(&line).ok_or(GuardError::Answer(line))
    }

    fn line(&mut self, patience: Duration) -> Result<String, GuardError> {
        let stream = self.stream.get_mut();
        stream
            .set_read_timeout(Some(patience))
            .map_err(GuardError::Lost)?;
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err(GuardError::Lost(ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(GuardError::Lost(error)),
        }
    }
}

impl Drop for Running {
    /// Closing the socket ends a guard that has nothing to do, and makes one that has do it: that one is left
    /// to it.
    fn drop(&mut self) {
        if let Err(error) = self.stream.get_ref().shutdown(Shutdown::Both) {
            tracing::debug!(%error, "the guard's socket was closed already");
        }
        self.wait(END);
    }
}

impl Running {
    /// Waits until it has ended, and not for ever; says whether it has.
    fn wait(&mut self, patience: Duration) -> bool {
        let begin = Instant::now();
        while !self.is_dead() {
            if begin.elapsed() >= patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    fn kill(&mut self) {
        if let Err(error) = self.child.kill() {
            tracing::debug!(%error, "the guard process had ended already");
        }
        if !self.wait(END) {
            // In the kernel still: nothing more can be done, and whoever waits here waits for nothing.
            tracing::error!(pid = self.child.id(), "a guard process does not end");
        }
    }
}

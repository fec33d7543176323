//! The guard's own life: take on duties, do them, end with whoever gave them.

use super::duty::Duties;
use super::protocol::{READY, Request};
use crate::control::Control;
use crate::names::DmUuid;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The pauses between attempts to resume what the kernel will not resume.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// More without a newline is no request of ours.
const LONGEST_LINE: usize = 4096;

/// Serves as a guard on this socket until its other end is closed, by whoever is there or by their death;
/// then resumes what is still armed, however often that takes, and returns. `told` hears of each device
/// that was resumed, with the reason.
///
/// Devices are found by dm uuid. Nothing but the socket and `control` is used, and no file is opened.
pub fn serve(
    mut stream: UnixStream,
    control: &dyn Control,
    mut told: impl FnMut(&DmUuid, &str),
) -> io::Result<()> {
    let mut duties = Duties::default();
    let served = converse(&mut stream, control, &mut duties, &mut told);
    let mut pause = FIRST_PAUSE;
    loop {
        for device in duties.release(control) {
            told(&device, "its daemon ended while the volume was held");
        }
        if duties.is_empty() {
            return served;
        }
        std::thread::sleep(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

fn converse(
    stream: &mut UnixStream,
    control: &dyn Control,
    duties: &mut Duties,
    told: &mut impl FnMut(&DmUuid, &str),
) -> io::Result<()> {
    say(stream, &READY)?;
    let mut lines = Lines::default();
    loop {
        for device in duties.tick(Instant::now(), control) {
            told(&device, "its daemon held the volume for too long");
        }
        // Zero would mean for ever.
        let rest = duties.rest(Instant::now());
        let rest = rest.map(|rest| rest.max(Duration::from_millis(1)));
        stream.set_read_timeout(rest)?;
        match lines.read(stream) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if is_pause(&error) => continue,
            Err(error) => return Err(error),
        }
        while let Some(line) = lines.next() {
            // The time may have run out while this was on its way.
            for device in duties.tick(Instant::now(), control) {
                told(&device, "its daemon held the volume for too long");
            }
            match Request::parse(&line) {
                Some(request) => say(stream, &duties.answer(request, Instant::now()))?,
                None => say(stream, &line)?,
            }
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

fn say(stream: &mut UnixStream, line: &dyn std::fmt::Display) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes())
}

/// Bytes as they come, given on as whole lines: a read that times out loses none.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn read(&mut self, stream: &mut impl Read) -> io::Result<usize> {
        let mut bytes = [0; 512];
        let count = stream.read(&mut bytes)?;
        self.0.extend(bytes.iter().take(count));
        if self.0.len() > LONGEST_LINE {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(count)
    }

    fn next(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.0.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

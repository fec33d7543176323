//! The guest's serial lines: raw, so that every byte passes as it is.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Context;
use nix::fcntl::OFlag;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

/// Opens `/dev/ttyS<number>` raw: 0 is standard output, 1 standard error, 2 standard input.
pub(crate) fn open(number: u8) -> anyhow::Result<File> {
    let name = format!("/dev/ttyS{number}");
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits());
    let line = options
        .open(&name)
        .with_context(|| format!("open {name}"))?;
    let mut settings = tcgetattr(&line).with_context(|| format!("read {name}'s settings"))?;
    cfmakeraw(&mut settings);
    tcsetattr(&line, SetArg::TCSANOW, &settings).with_context(|| format!("make {name} raw"))?;
    Ok(line)
}

/// Makes the lines this process's standard output, error and, when asked to, input.
pub(crate) fn take_lines(stdin: bool) -> anyhow::Result<()> {
    let input = if stdin {
        open(2)?
    } else {
        File::open("/dev/null").context("open /dev/null")?
    };
    dup2_stdin(&input).context("take standard input")?;
    dup2_stdout(&open(0)?).context("take standard output")?;
    dup2_stderr(&open(1)?).context("take standard error")
}

/// Makes the console this session's terminal: the leader of a session gets the first it opens.
pub(crate) fn take_console() -> anyhow::Result<()> {
    let console = File::options()
        .read(true)
        .write(true)
        .open("/dev/tty0")
        .context("open tty0")?;
    dup2_stdin(&console).context("take standard input")?;
    dup2_stdout(&console).context("take standard output")?;
    dup2_stderr(&console).context("take standard error")
}

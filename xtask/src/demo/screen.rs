//! What a person sees: each command as they would type it, its output, and how long it took.

use anyhow::{Context, bail};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A chapter's heading.
pub(super) fn chapter(title: &str) {
    println!(
        "\n── {title} {}",
        "─".repeat(76_usize.saturating_sub(title.chars().count()))
    );
}

/// A sentence of the story.
pub(super) fn say(line: impl std::fmt::Display) {
    println!("   {line}");
}

/// Something proved.
pub(super) fn proved(line: impl std::fmt::Display) {
    println!(" ✔ {line}");
}

/// Seconds as people read them.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{}.{} KiB", bytes / 1024, bytes % 1024 * 10 / 1024),
        _ => format!("{}.{} MiB", bytes >> 20, bytes % (1 << 20) * 10 / (1 << 20)),
    }
}

/// Runs the command line the way a person at a terminal does.
pub(super) struct Shell {
    program: PathBuf,
    socket: PathBuf,
}

impl Shell {
    /// Speaks to the daemon at `socket`.
    pub(super) fn new(bins: &Path, socket: &Path) -> Self {
        Self {
            program: bins.join("convoy"),
            socket: socket.to_owned(),
        }
    }

    /// Shows and runs `convoy WORDS` at a terminal of its own; returns the last line of what it printed.
    pub(super) fn convoy(&self, words: &[&str]) -> anyhow::Result<(String, Duration)> {
        println!("\n $ convoy {}", typed(words));
        let begin = Instant::now();
        let pair = nix::pty::openpty(None, None).context("open a terminal")?;
        let output: OwnedFd = pair.slave;
        let mut child = Command::new(&self.program)
            .args(words)
            .env("CONVOY_SOCKET", &self.socket)
            .env("TERM", "dumb")
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .stderr(Stdio::from(
                output.try_clone().context("share the terminal")?,
            ))
            .stdout(Stdio::from(output))
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        let printed = read_terminal(pair.master);
        let status = child.wait().context("wait for convoy")?;
        let took = begin.elapsed();
        let mut last = String::new();
        for line in screen_lines(&printed) {
            println!("   {line}");
            last = line;
        }
        println!("   ({})", seconds(took));
        if !status.success() {
            bail!("convoy {} ended with {status}", words.join(" "));
        }
        Ok((last, took))
    }

    /// Runs `convoy WORDS --output json` unseen, for a figure the story needs.
    pub(super) fn ask(&self, words: &[&str]) -> anyhow::Result<serde_json::Value> {
        let output = Command::new(&self.program)
            .args(words)
            .args(["--output", "json"])
            .env("CONVOY_SOCKET", &self.socket)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("start {}", self.program.display()))?;
        if !output.status.success() {
            bail!(
                "convoy {}: {}",
                words.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        serde_json::from_slice(&output.stdout).context("read convoy's JSON")
    }
}

/// Words as one types them to a shell.
fn typed(words: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,".contains(c);
    let quoted = words.iter().map(|word| {
        if word.chars().all(plain) {
            (*word).to_owned()
        } else {
            format!("'{word}'")
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Everything written to a terminal until its other end is closed, which reads as an error.
fn read_terminal(master: OwnedFd) -> String {
    let mut file = File::from(master);
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = file.read(&mut piece) {
        all.extend_from_slice(piece.get(..n).unwrap_or_default());
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// What remains on a screen: of a line redrawn in place, the last drawing; no control sequences.
fn screen_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let line = line.trim_end_matches('\r');
        let shown = line.rsplit('\r').next().unwrap_or(line);
        let plain = without_controls(shown);
        let plain = plain.trim_end();
        if !plain.is_empty() {
            lines.push(plain.to_owned());
        }
    }
    lines
}

fn without_controls(line: &str) -> String {
    let mut plain = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            // ESC [ … final letter
            '\u{1b}' => {
                let _ = chars.find(char::is_ascii_alphabetic);
            }
            c if c.is_control() && c != '\t' => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    //! What a terminal would show in the end.

    use super::*;

    #[test]
    fn a_redrawn_line_counts_once() {
        let lines = screen_lines("one\r\n10 %\r90 %\rdone\r\n\u{1b}[2Ktwo\r\n");
        assert_eq!(lines, ["one", "done", "two"]);
    }
}

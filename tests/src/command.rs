//! Programs run to their end, with all they said in the panic when they fail.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a program left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The words it was started with.
    pub line: String,
    /// Its exit status; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed as its answer.
    pub stdout: String,
    /// What it printed besides.
    pub stderr: String,
}

impl Ran {
    /// Its answer without the last newline.
    ///
    /// # Panics
    ///
    /// When it failed.
    #[track_caller]
    pub fn ok(&self) -> &str {
        self.expect_code(0)
    }

    /// Its answer, when this was its exit status.
    ///
    /// # Panics
    ///
    /// When it was another.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &str {
        assert_eq!(
            self.code,
            Some(code),
            "`{}`\n{}{}",
            self.line,
            self.stdout,
            self.stderr
        );
        self.stdout.trim_end()
    }

    /// Its answer as JSON.
    ///
    /// # Panics
    ///
    /// When it failed, or its answer is not one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let value = serde_json::from_str(self.ok());
        assert!(
            value.is_ok(),
            "`{}` printed no JSON document:\n{}",
            self.line,
            self.stdout
        );
        value.unwrap_or_default()
    }
}

/// Runs a command to its end, with nothing on its standard input.
///
/// # Panics
///
/// When it cannot be started.
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for word in command.get_args() {
        line.push(' ');
        line.push_str(&word.to_string_lossy());
    }
    let output = command.stdin(Stdio::null()).output();
    assert!(output.is_ok(), "`{line}` cannot be started: {output:?}");
    let Output {
        status,
        stdout,
        stderr,
    } = output.expect("checked in the line above");
    Ran {
        line,
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Runs one of the system's programs, which must succeed, and returns what it printed.
///
/// # Panics
///
/// When it fails.
#[track_caller]
pub fn tool(program: &str, words: &[&str]) -> String {
    run(Command::new(program).args(words)).ok().to_owned()
}

/// The name of the program that a process runs now (`comm` of proc(5)); none when it is gone.
pub fn runs(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    name.unwrap_or_default().trim_end().to_owned()
}

/// A path as a word of a command line.
///
/// # Panics
///
/// When it is not UTF-8; no test makes such paths.
#[track_caller]
pub fn word(path: &Path) -> &str {
    path.to_str().expect("tests make UTF-8 paths only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_trimmed_and_parsed() {
        let ran = run(Command::new("echo").arg("{\"a\": 1}"));
        assert_eq!(ran.ok(), "{\"a\": 1}");
        assert_eq!(ran.json()["a"], 1);
    }

    #[test]
    #[should_panic(expected = "what it said")]
    fn a_failure_shows_what_was_said() {
        tool("sh", &["-c", "echo what it said >&2; exit 3"]);
    }

    #[test]
    fn a_process_is_known_by_its_program() {
        assert!(!runs(std::process::id()).is_empty());
        assert_eq!(runs(u32::MAX), "");
    }

    #[test]
    fn another_status_can_be_expected() {
        assert_eq!(
            run(Command::new("sh").args(["-c", "echo no; exit 10"])).expect_code(10),
            "no"
        );
    }
}

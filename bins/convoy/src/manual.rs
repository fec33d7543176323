//! What is made of the grammar: manual pages, and the scripts by which shells complete.

use crate::args::{Cli, Shell};
use crate::failure::Failure;
use clap::CommandFactory;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use convoy_fault::Kind;
use std::path::Path;

/// The variable by which the script asks this program to complete.
pub(crate) const VARIABLE: &str = "CONVOY_COMPLETE";

/// A manual page for every command, in a directory that exists: `convoy.1`, `convoy-create.1` and so on.
pub(crate) fn pages(directory: &Path) -> Result<(), Failure> {
    let command = Cli::command().display_name("convoy");
    clap_mangen::generate_to(command, directory).map_err(|error| {
        let message = format!(
            "cannot write manual pages to {}: {error}",
            directory.display()
        );
        Failure::new(Kind::Failed, message, "name a directory that exists")
    })
}

/// The script that makes a shell ask this program.
pub(crate) fn script(shell: Shell) -> String {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "convoy", "convoy", "convoy", &mut script)
        .expect("memory takes what is written to it");
    String::from_utf8(script).expect("the scripts are made of our own words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        pages(folder.path()).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        for command in Cli::command().get_subcommands() {
            if !command.is_hide_set() {
                page(&format!("convoy-{}.1", command.get_name()));
            }
        }
        let create = page("convoy-backup-create.1");
        assert!(create.contains(r"\fB\-\-dest\fR"), "{create}");
        assert!(pages(&folder.path().join("none")).is_err());
    }

    #[test]
    fn every_shell_has_a_script_that_asks_us() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            assert!(script.contains("CONVOY_COMPLETE="), "{script}");
            assert!(script.contains("convoy"), "{script}");
        }
    }
}

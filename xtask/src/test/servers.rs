//! The tests against real servers of S3, each server's apart: one that cannot be had here is told, and skipped.

use crate::setup::Environment;
use crate::setup::servers;

use super::steps;
use super::tally::Tally;

/// Runs them; a server that cannot be installed is a line of its own at the end, never a green one.
pub(crate) fn run(env: &Environment, filter: Option<&str>) -> anyhow::Result<Tally> {
    let mut total = Tally::default();
    for (name, variable, folder) in servers::folders() {
        let folder = match folder {
            Ok(folder) => folder,
            Err(why) => {
                total.skip(format!("tests against {name}: {why:#}"));
                continue;
            }
        };
        let env = env.clone().with_server(variable, folder);
        let package = [
            "-p",
            "convoy-objectstore",
            "--features",
            "servers",
            "--test",
            "servers",
        ];
        let module = format!("{name}::");
        let words = [&["test", "--locked"][..], &package, &["--", &module]].concat();
        // A word narrows it to tests that have it in their name, as it does elsewhere.
        let skip = filter.is_some_and(|word| !module.contains(word) && !"servers".contains(word));
        if !skip {
            total.add(steps::counted(&env, &words)?);
        }
    }
    Ok(total)
}

//! The demonstration: the main job on a real dm-thin kernel, proved against copies kept outside Convoy.
//!
//! This half prepares and builds on the machine itself, then runs the story (`demo/story.rs`) as root:
//! in the lab's kernel, or on this one with `--host`.

mod reference;
mod screen;
mod story;
mod world;

use crate::{debs, lab, places, run, setup};
use anyhow::Context;
use std::path::Path;
use std::process::{Command, ExitCode};

const HELP: &str = "\
usage: cargo xtask demo [--host]

Builds Convoy and shows its main job on a real kernel with dm-thin: a pool, a volume, files, a
snapshot under writes, a backup, an incremental backup of about 1 %, a lost folder, and both
backups restored and compared byte by byte with copies kept outside Convoy.

  --host   use this machine's kernel (root, device mapper) instead of the lab's
";

/// What the story itself uses, beside Convoy.
struct Tool {
    program: &'static str,
    package: &'static str,
}

const TOOLS: [Tool; 4] = [
    Tool {
        program: "dmsetup",
        package: "dmsetup",
    },
    Tool {
        program: "mkfs.ext4",
        package: "e2fsprogs",
    },
    Tool {
        program: "mount",
        package: "mount",
    },
    Tool {
        program: "blkid",
        package: "util-linux",
    },
];

/// The word that makes this program the half inside.
const INSIDE: &str = "--inside";

/// `cargo xtask demo`.
pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["-h" | "--help"] => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        [INSIDE, bins, place] => {
            story::tell(Path::new(bins), place)?;
            Ok(ExitCode::SUCCESS)
        }
        [] => outside(false),
        ["--host"] => outside(true),
        _ => Err(run::usage(format!(
            "demo takes --host or nothing\n\n{HELP}"
        ))),
    }
}

fn outside(host: bool) -> anyhow::Result<ExitCode> {
    let environment = setup::prepare()?;
    println!("Building Convoy …");
    let built = environment
        .command("cargo")
        .args([
            "build",
            "--locked",
            "--quiet",
            "--package",
            "convoy",
            "--package",
            "convoyd",
        ])
        .status()
        .context("start cargo")?;
    anyhow::ensure!(built.success(), "Convoy does not build: {built}");
    let bins = places::target().join("debug");
    let me = std::env::current_exe().context("find this program")?;
    let story = [
        me.display().to_string(),
        "demo".to_owned(),
        INSIDE.to_owned(),
        bins.display().to_string(),
    ];
    if host {
        anyhow::ensure!(
            nix::unistd::geteuid().is_root(),
            "--host needs root: run it with sudo"
        );
        for tool in TOOLS {
            let there = run::find_program(tool.program).is_some();
            anyhow::ensure!(
                there,
                "the demonstration needs {}: apt-get install {}",
                tool.program,
                tool.package
            );
        }
        let mut command = Command::new(&me);
        let status = command
            .args(&story[1..])
            .arg("folder")
            .status()
            .context("start the story")?;
        return Ok(ExitCode::from(u8::from(!status.success())));
    }
    println!("Booting the lab's kernel …\n");
    let mut words: Vec<String> = ["--mem", "1G", "--disk", ":16G", "--timeout", "900"]
        .map(str::to_owned)
        .into();
    let packages: Vec<&str> = TOOLS.iter().map(|tool| tool.package).collect();
    if let Some(layer) = debs::closure(&places::lab_cache()?, &packages)? {
        words.extend(["--layer".to_owned(), layer.display().to_string()]);
    }
    words.push("--".to_owned());
    words.extend(story);
    words.push("disk".to_owned());
    lab::main(&words)
}

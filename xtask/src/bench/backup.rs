//! `cargo xtask bench backup`: one image backed up to a directory and brought back, by ours and by Debian's restic and borg.
//!
//! Ours is told which blocks changed, as dm-thin tells it; the others read the image to find out. That is the difference
//! to be measured, so nothing makes up for it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::folder::Folder;
use super::measure::{self, Run};
use crate::run::{quietly, show, usage};
use crate::{debs, places, setup};

const MIB: u64 = 1 << 20;
/// Blocks of the pool that ours is told of.
const BLOCK: u64 = 2 * MIB;
/// What borg needs of Debian besides itself.
const PACKAGES: [&str; 5] = [
    "restic",
    "borgbackup",
    "python3-msgpack",
    "python3-packaging",
    "libxxhash0",
];

/// What to measure.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Of the image, in MiB.
    size: u64,
    folder: Option<PathBuf>,
}

pub(super) fn parse(words: &[String]) -> anyhow::Result<Options> {
    let mut options = Options {
        size: 2048,
        folder: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| usage(format!("{word} wants a value")))?;
        match word.as_str() {
            "--mib" => {
                let size = value
                    .parse()
                    .ok()
                    .filter(|size| size % 8 == 0 && *size >= 64);
                options.size = size
                    .ok_or_else(|| usage(format!("{value:?} is not a multiple of 8 from 64 on")))?;
            }
            "--folder" => options.folder = Some(value.into()),
            _ => return Err(usage(format!("unknown option {word}"))),
        }
    }
    Ok(options)
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let folder = options.folder.clone().unwrap_or_else(places::target);
    let folder = Folder::make(&folder)?;
    let tools = tools(&folder)?;
    let image = folder.file("image");
    println!(
        "an image of {} MiB: half noise, a quarter text, a quarter zeros",
        options.size
    );
    println!(
        "{:<12}{:<10}{:>10}{:>10}{:>12}{:>12}{:>9}",
        "what", "by", "wall", "cpu", "peak", "stored", "objects"
    );
    write_image(&image, options.size)?;
    measure_all(&tools, &folder, "cold", &Step::Cold)?;
    let changed = change(&image, options.size)?;
    measure_all(&tools, &folder, "1 % run", &Step::Changed(changed))?;
    measure_all(&tools, &folder, "unchanged", &Step::Unchanged)?;
    measure_all(&tools, &folder, "restore", &Step::Restore)
}

/// What is asked of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Cold,
    /// The range of blocks that changed, as `BEGIN:COUNT`.
    Changed(String),
    Unchanged,
    Restore,
}

/// A program under measurement, and how it is asked.
struct Tool {
    name: &'static str,
    program: PathBuf,
    /// Words of a step, given the image, the destination and where to restore to.
    words: fn(&Step, &str, &str, &str) -> Vec<String>,
    /// What to do once, before all.
    prepare: fn(&Path, &str) -> anyhow::Result<()>,
}

fn measure_all(tools: &[Tool], folder: &Folder, what: &str, step: &Step) -> anyhow::Result<()> {
    let image = folder.file("image");
    for tool in tools {
        let place = folder.file(tool.name);
        let back = folder.file("back");
        std::fs::create_dir_all(&place).context("make the destination")?;
        std::fs::create_dir_all(&back).context("make a folder to restore to")?;
        let [image_text, place_text, back_text] =
            [&image, &place, &back].map(|path| path.display().to_string());
        if *step == Step::Cold {
            (tool.prepare)(&tool.program, &place_text)?;
        }
        let (stored, objects) = contents(&place)?;
        let words = (tool.words)(step, &image_text, &place_text, &back_text);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // A cache of the image would be the first tool's work for the second.
        quietly(Command::new("sync").arg("-f").arg(&folder.0))?;
        let run = measure::run(&folder.file("said"), &tool.program, &words)?;
        let (stored_now, objects_now) = contents(&place)?;
        if *step == Step::Restore {
            let restored = find(&back, "image")?;
            quietly(Command::new("cmp").arg(&image).arg(restored))?;
        }
        std::fs::remove_dir_all(&back).context("remove what was restored")?;
        let grown = stored_now.saturating_sub(stored);
        print_row(
            what,
            tool.name,
            &run,
            grown,
            objects_now.saturating_sub(objects),
        );
    }
    Ok(())
}

fn print_row(what: &str, name: &str, run: &Run, stored: u64, objects: u64) {
    let tenths = |kib: u64| format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024);
    println!(
        "{what:<12}{name:<10}{:>8.2} s{:>8.2} s{:>12}{:>12}{objects:>9}",
        run.wall.as_secs_f64(),
        run.cpu.as_secs_f64(),
        tenths(run.peak_kib),
        tenths(stored / 1024),
    );
}

/// Bytes in the files of a folder, and how many files.
fn contents(folder: &Path) -> anyhow::Result<(u64, u64)> {
    let mut sum = (0, 0);
    let read = || format!("read {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(read)? {
        let entry = entry.with_context(read)?;
        let meta = entry.metadata().with_context(read)?;
        let (bytes, files) = if meta.is_dir() {
            contents(&entry.path())?
        } else {
            (meta.size(), 1)
        };
        sum = (sum.0 + bytes, sum.1 + files);
    }
    Ok(sum)
}

/// The file of this name, however deep: tools restore whole paths.
fn find(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            if let Ok(found) = find(&path, name) {
                return Ok(found);
            }
        } else if path.file_name().is_some_and(|file| file == name) {
            return Ok(path);
        }
    }
    anyhow::bail!("{} has no {name}", folder.display())
}

/// Half noise, a quarter text, a quarter zeros: the same bytes each time.
fn write_image(path: &Path, mib: u64) -> anyhow::Result<()> {
    let writing = || format!("write {}", path.display());
    let file = std::fs::File::create(path).with_context(writing)?;
    let mut file = std::io::BufWriter::new(file);
    for number in 0..mib {
        let bytes = match number * 4 / mib {
            0 | 1 => noise(number),
            2 => text(number),
            _ => vec![0; 1 << 20],
        };
        file.write_all(&bytes).with_context(writing)?;
    }
    file.flush().with_context(writing)
}

/// Changes 1 % of the image in one run that begins in its second half of noise; which blocks that are.
fn change(path: &Path, mib: u64) -> anyhow::Result<String> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options()
        .write(true)
        .open(path)
        .context("open the image")?;
    let (begin, count) = (mib * MIB / 4 / BLOCK, (mib * MIB / 100 / BLOCK).max(1));
    for number in 0..count * 2 {
        let at = begin * BLOCK + number * MIB;
        file.write_all_at(&noise(1 << 40 | number), at)
            .context("change the image")?;
    }
    Ok(format!("{begin}:{count}"))
}

/// One MiB that no compressor makes smaller.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    };
    (0..1 << 17).flat_map(|_| next()).collect()
}

/// One MiB of words.
fn text(seed: u64) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "volume", "snapshot", "of", "the", "backup", "and", "a", "block", "which", "was",
        "restored", "to", "pool", "in", "chunk", "\n",
    ];
    let random = noise(seed | 1 << 50);
    let mut bytes = Vec::with_capacity(1 << 20);
    let words = random.iter().map(|byte| {
        WORDS
            .get(usize::from(byte % 16))
            .copied()
            .unwrap_or_default()
    });
    for word in words {
        bytes.extend_from_slice(word.as_bytes());
        bytes.push(b' ');
        if bytes.len() >= 1 << 20 {
            break;
        }
    }
    bytes.resize(1 << 20, b'.');
    bytes
}

/// Ours, built for release; the others from Debian, unpacked.
fn tools(folder: &Folder) -> anyhow::Result<Vec<Tool>> {
    let env: BTreeMap<&str, OsString> = setup::prepare()?.into_iter().collect();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--release",
            "--locked",
            "-p",
            "convoy-backup",
            "--example",
            "image_backup",
        ])
        .envs(&env)
        .current_dir(places::workspace())
        .stdin(Stdio::null());
    let status = command.status().context("start cargo")?;
    ensure!(status.success(), "`{}` ended with {status}", show(&command));
    let names = PACKAGES.map(str::to_owned);
    let roots = debs::fetch(&places::lab_cache()?, &names).context("fetch restic and borg")?;
    let all = |below: &str| {
        let paths: Vec<String> = roots
            .iter()
            .map(|root| root.join(below).display().to_string())
            .collect();
        paths.join(":")
    };
    let (python, libraries) = (
        all("usr/lib/python3/dist-packages"),
        all("usr/lib/x86_64-linux-gnu"),
    );
    let [restic, borg, ..] = &roots[..] else {
        anyhow::bail!("two programs were asked for");
    };
    let home = folder.file("home").display().to_string();
    let restic = format!(
        "HOME='{home}' RESTIC_PASSWORD=bench exec '{}' \"$@\"",
        restic.join("usr/bin/restic").display()
    );
    let borg = format!(
        "if [ \"$1\" = -C ]; then cd \"$2\" && shift 2; fi\nHOME='{home}' BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes PYTHONPATH='{python}' LD_LIBRARY_PATH='{libraries}' exec python3 '{}' \"$@\"",
        borg.join("usr/bin/borg").display()
    );
    Ok(vec![
        Tool {
            name: "ours",
            program: places::target().join("release/examples/image_backup"),
            words: ours,
            prepare: |_, _| Ok(()),
        },
        Tool {
            name: "restic",
            program: script(folder, "run-restic", &restic)?,
            words: restic_words,
            prepare: |program, place| {
                quietly(Command::new(program).args(["init", "-q", "-r", place])).map(drop)
            },
        },
        Tool {
            name: "borg",
            program: script(folder, "run-borg", &borg)?,
            words: borg_words,
            prepare: |program, place| {
                quietly(Command::new(program).args(["init", "-e", "none", place])).map(drop)
            },
        },
    ])
}

fn script(folder: &Folder, name: &str, line: &str) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.file(name);
    let (directory, text) = (path.display(), format!("#!/bin/sh\n{line}\n"));
    let written = std::fs::write(&path, text)
        .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)));
    written.with_context(|| format!("write {directory}"))?;
    Ok(path)
}

fn of(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn ours(step: &Step, image: &str, place: &str, back: &str) -> Vec<String> {
    match step {
        Step::Cold => of(&["create", image, place]),
        Step::Changed(range) => of(&["create", image, place, range]),
        Step::Unchanged => of(&["create", image, place, "-"]),
        Step::Restore => of(&["restore", place, &format!("{back}/image")]),
    }
}

fn restic_words(step: &Step, image: &str, place: &str, back: &str) -> Vec<String> {
    match step {
        Step::Restore => of(&["restore", "-q", "-r", place, "latest", "--target", back]),
        _ => of(&["backup", "-q", "-r", place, image]),
    }
}

/// borg restores into the folder that it runs in, which `-C` tells the script that runs it.
fn borg_words(step: &Step, image: &str, place: &str, back: &str) -> Vec<String> {
    let name = match step {
        Step::Cold => "cold",
        Step::Changed(_) => "changed",
        Step::Unchanged | Step::Restore => "unchanged",
    };
    let archive = format!("{place}::{name}");
    match step {
        Step::Restore => of(&["-C", back, "extract", "--sparse", &archive]),
        _ => of(&["create", "--compression", "zstd,1", &archive, image]),
    }
}

#[cfg(test)]
mod tests {
    //! Words that the benchmark reads, and bytes that stay the same.

    use super::*;

    #[test]
    fn words_become_options() {
        let options = parse(&["--mib", "64"].map(str::to_owned)).unwrap();
        assert_eq!((options.size, options.folder), (64, None));
        for wrong in [&["--mib", "7"][..], &["--mib"], &["--fast", "1"]] {
            let words: Vec<String> = wrong.iter().map(|word| (*word).to_owned()).collect();
            assert!(parse(&words).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_image_is_the_same_each_time_and_a_change_is_one_run() {
        let folder = Folder::make(&std::env::temp_dir()).unwrap();
        let (one, other) = (folder.file("one"), folder.file("other"));
        for path in [&one, &other] {
            write_image(path, 64).unwrap();
            assert_eq!(change(path, 64).unwrap(), "8:1");
        }
        let bytes = std::fs::read(&one).unwrap();
        assert_eq!(bytes.len(), 64 << 20);
        assert!(bytes == std::fs::read(&other).unwrap());
        assert!(bytes[48 << 20..].iter().all(|byte| *byte == 0));
        write_image(&other, 64).unwrap();
        let before = std::fs::read(&other).unwrap();
        let changed =
            (0..64).filter(|mib| bytes[mib << 20..][..1 << 20] != before[mib << 20..][..1 << 20]);
        assert_eq!(changed.collect::<Vec<_>>(), [16, 17]);
    }
}

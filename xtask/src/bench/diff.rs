//! `cargo xtask bench diff`: which blocks changed, asked of ours and of Debian's `thin_delta` in turn.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::folder::Folder;
use super::measure::{self, Run};
use crate::run::{quietly, show, usage};
use crate::{places, setup};

/// What to measure.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    rounds: usize,
    mappings: Vec<u64>,
    folder: Option<PathBuf>,
}

pub(super) fn parse(words: &[String]) -> anyhow::Result<Options> {
    let mut options = Options {
        rounds: 5,
        mappings: vec![1_000_000, 10_000_000],
        folder: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| usage(format!("{word} wants a value")))?;
        let number = |text: &str| {
            let number = text.parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| usage(format!("{text:?} is not a number above 0")))
        };
        match word.as_str() {
            "--rounds" => options.rounds = usize::try_from(number(value)?)?,
            "--mappings" => {
                options.mappings = value.split(',').map(number).collect::<Result<_, _>>()?;
            }
            "--folder" => options.folder = Some(value.into()),
            _ => return Err(usage(format!("unknown option {word}"))),
        }
    }
    Ok(options)
}

/// Which blocks of the second device differ.
struct Case {
    name: &'static str,
    one_in: &'static str,
    spread: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "0.1 % in runs",
        one_in: "1000",
        spread: "1024",
    },
    Case {
        name: "1 % in runs",
        one_in: "100",
        spread: "1024",
    },
    Case {
        name: "0.1 % scattered",
        one_in: "1000",
        spread: "scattered",
    },
    Case {
        name: "1 % scattered",
        one_in: "100",
        spread: "scattered",
    },
];

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let tools = Tools::prepare()?;
    let folder = match &options.folder {
        Some(folder) => folder.clone(),
        None => places::target(),
    };
    let folder = Folder::make(&folder)?;
    let version = quietly(Command::new(tools.debian("thin_delta")).arg("-V"))?;
    println!("thin_delta {}, {} rounds", version.trim(), options.rounds);
    println!(
        "{:>9}  {:<16}{:>11}{:>12}{:>8}{:>11}{:>12}{:>11}{:>12}",
        "mappings",
        "changed",
        "ours",
        "thin_delta",
        "ratio",
        "cpu ours",
        "cpu theirs",
        "peak ours",
        "peak theirs"
    );
    for mappings in &options.mappings {
        for case in CASES {
            tools.measure(&folder, *mappings, case, options.rounds)?;
        }
    }
    Ok(())
}

/// The programs: ours, and Debian's.
struct Tools {
    ours: PathBuf,
    writer: PathBuf,
    debian: PathBuf,
}

impl Tools {
    fn prepare() -> anyhow::Result<Self> {
        let env: BTreeMap<&str, OsString> = setup::prepare()?.with_judges()?.into_iter().collect();
        let debian = env.get("CONVOY_THIN_TOOLS").context("no folder of tools")?;
        let debian = PathBuf::from(debian);
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut command = Command::new(cargo);
        command
            .args(["build", "--release", "--locked"])
            .args(["-p", "convoy-blockdiff", "--example", "changed_ranges"])
            .args(["-p", "convoy-testkit", "--example", "large_metadata"])
            .envs(&env)
            .current_dir(places::workspace())
            .stdin(Stdio::null());
        let status = command.status().context("start cargo")?;
        ensure!(status.success(), "`{}` ended with {status}", show(&command));
        let examples = places::target().join("release/examples");
        Ok(Self {
            ours: examples.join("changed_ranges"),
            writer: examples.join("large_metadata"),
            debian,
        })
    }

    fn debian(&self, tool: &str) -> PathBuf {
        self.debian.join(tool)
    }

    fn measure(
        &self,
        folder: &Folder,
        mappings: u64,
        case: &Case,
        rounds: usize,
    ) -> anyhow::Result<()> {
        let image = folder.file("metadata");
        let words = [&mappings.to_string(), case.one_in, case.spread];
        quietly(Command::new(&self.writer).arg(&image).args(words))?;
        quietly(Command::new(self.debian("thin_check")).arg(&image))?;
        let path = image.to_str().context("a path in UTF-8")?;
        let our_answer = folder.file("ours");
        let their_answer = folder.file("theirs");
        let ask_ours = || measure::run(&our_answer, &self.ours, &[path, "1", "2"]);
        let their_words = ["--thin1", "1", "--thin2", "2", path];
        let theirs = self.debian("thin_delta");
        let ask_them = || measure::run(&their_answer, &theirs, &their_words);
        // The first of each is not measured: it shows that the answers are equal.
        ask_ours()?;
        ask_them()?;
        let (found, expected) = (our_ranges(&our_answer)?, their_ranges(&their_answer)?);
        ensure!(
            found == expected,
            "the answers differ at {mappings}, {}",
            case.name
        );
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(ask_ours()?);
            theirs.push(ask_them()?);
        }
        print_row(mappings, case, &ours, &theirs);
        Ok(())
    }
}

fn print_row(mappings: u64, case: &Case, ours: &[Run], theirs: &[Run]) {
    let wall = |runs: &[Run]| median(runs.iter().map(|run| run.wall).collect());
    let cpu = |runs: &[Run]| median(runs.iter().map(|run| run.cpu).collect());
    let peak = |runs: &[Run]| runs.iter().map(|run| run.peak_kib).max().unwrap_or(0);
    let ratio = wall(theirs).as_secs_f64() / wall(ours).as_secs_f64();
    println!(
        "{mappings:>9}  {:<16}{:>11}{:>12}{ratio:>7.1}x{:>11}{:>12}{:>11}{:>12}",
        case.name,
        millis(wall(ours)),
        millis(wall(theirs)),
        millis(cpu(ours)),
        millis(cpu(theirs)),
        mebi(peak(ours)),
        mebi(peak(theirs)),
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn mebi(kib: u64) -> String {
    format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024)
}

/// A changed range: whether it is a hole now, its begin and its length.
type Range = (bool, u64, u64);

/// Lines `copy BEGIN LENGTH` or `hole BEGIN LENGTH`, and `end` last.
fn our_ranges(answer: &Path) -> anyhow::Result<Vec<Range>> {
    let text = std::fs::read_to_string(answer).context("read our answer")?;
    let (ranges, end) = text.trim_end().rsplit_once('\n').unwrap_or(("", &text));
    ensure!(end.trim_end() == "end", "our answer has no end");
    ranges.lines().map(our_range).collect()
}

fn our_range(line: &str) -> anyhow::Result<Range> {
    let words: Vec<&str> = line.split(' ').collect();
    let [kind, begin, length] = words[..] else {
        anyhow::bail!("{line:?} is no range");
    };
    Ok((kind == "hole", begin.parse()?, length.parse()?))
}

/// The changed ranges of `thin_delta`'s XML, joined as ours are.
fn their_ranges(answer: &Path) -> anyhow::Result<Vec<Range>> {
    let text = std::fs::read_to_string(answer).context("read thin_delta's answer")?;
    let mut ranges: Vec<Range> = Vec::new();
    for line in text.lines() {
        let hole = match line.split_whitespace().next() {
            Some("<different" | "<right_only") => false,
            Some("<left_only") => true,
            _ => continue,
        };
        let (begin, length) = (attribute(line, "begin")?, attribute(line, "length")?);
        match ranges.last_mut() {
            Some(last) if last.0 == hole && last.1 + last.2 == begin => last.2 += length,
            _ => ranges.push((hole, begin, length)),
        }
    }
    Ok(ranges)
}

fn attribute(line: &str, name: &str) -> anyhow::Result<u64> {
    let value = line
        .split_once(&format!(" {name}=\""))
        .and_then(|(_, rest)| rest.split_once('"'))
        .with_context(|| format!("{line:?} has no {name}"))?;
    Ok(value.0.parse()?)
}

#[cfg(test)]
mod tests {
    //! Words and answers that the benchmark reads.

    use super::*;

    #[test]
    fn words_become_options() {
        let words = ["--rounds", "3", "--mappings", "10,20"].map(str::to_owned);
        let options = parse(&words).unwrap();
        assert_eq!((options.rounds, options.mappings), (3, vec![10, 20]));
        assert!(parse(&["--rounds".to_owned()]).is_err());
        assert!(parse(&["--rounds", "0"].map(str::to_owned)).is_err());
        assert!(parse(&["--fast", "1"].map(str::to_owned)).is_err());
    }

    #[test]
    fn both_answers_are_read_alike_and_an_end_is_wanted() {
        let folder = Folder::make(&std::env::temp_dir()).unwrap();
        let file = folder.file("answer");
        let expected = [(false, 3, 5), (true, 9, 1)];
        std::fs::write(&file, "copy 3 5\nhole 9 1\nend\n").unwrap();
        assert_eq!(our_ranges(&file).unwrap(), expected);
        std::fs::write(&file, "copy 3 5\nhole 9 1\n").unwrap();
        assert!(our_ranges(&file).is_err());
        std::fs::write(&file, "end\n").unwrap();
        assert_eq!(our_ranges(&file).unwrap(), []);
        let xml = "<superblock time=\"1\">\n  <diff left=\"1\" right=\"2\">\n    <same begin=\"0\" length=\"3\"/>\n    \
             <different begin=\"3\" length=\"2\"/>\n    <right_only begin=\"5\" length=\"3\"/>\n    \
             <left_only begin=\"9\" length=\"1\"/>\n  </diff>\n</superblock>\n";
        std::fs::write(&file, xml).unwrap();
        assert_eq!(their_ranges(&file).unwrap(), expected);
    }
}

//! One target: under libFuzzer when built for it, else with seeds, words and files from the command line.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod fuzzer {
    //! The entry that libFuzzer calls; `CONVOY_FUZZ_TARGET` names the target.

    use std::sync::LazyLock;

    static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
        let name = std::env::var("CONVOY_FUZZ_TARGET").expect("CONVOY_FUZZ_TARGET names a target");
        convoy_fuzz::find(&name).expect("the target exists").run
    });

    libfuzzer_sys::fuzz_target!(|data: &[u8]| RUN(data));
}

#[cfg(not(fuzzing))]
mod plain {
    //! What `cargo xtask fuzz` asks before it fuzzes, and a way to feed one file.

    use anyhow::{Context, bail};
    use std::path::Path;

    const HELP: &str = "\
usage: convoy-fuzz list                  every target: name, weight, longest input, what it feeds
       convoy-fuzz seeds TARGET FOLDER   write the seeds that are not there yet
       convoy-fuzz words TARGET          its dictionary, as libFuzzer reads it
       convoy-fuzz run TARGET FILE...    feed files";

    #[expect(clippy::print_stdout, reason = "the answer of a command")]
    pub(crate) fn main() -> anyhow::Result<()> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["list"] => print!("{}", list()),
            ["seeds", name, folder] => seeds(target(name)?, Path::new(folder))?,
            ["words", name] => print!("{}", dictionary(target(name)?)),
            ["run", name, ref files @ ..] => {
                for file in files {
                    let data = std::fs::read(file).with_context(|| format!("read {file}"))?;
                    (target(name)?.run)(&data);
                    println!("{file}: nothing broke");
                }
            }
            _ => bail!("{HELP}"),
        }
        Ok(())
    }

    fn target(name: &str) -> anyhow::Result<&'static convoy_fuzz::Target> {
        convoy_fuzz::find(name).with_context(|| format!("no target is called {name}"))
    }

    fn list() -> String {
        let line = |target: &convoy_fuzz::Target| {
            let (name, weight, max, about) =
                (target.name, target.weight, target.max_len, target.about);
            format!("{name}\t{weight}\t{max}\t{about}\n")
        };
        convoy_fuzz::TARGETS.iter().map(line).collect()
    }

    /// Seeds are named by their hash, as libFuzzer names what it finds.
    fn seeds(target: &convoy_fuzz::Target, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        for seed in (target.seeds)() {
            let name: String = blake3::hash(&seed).to_hex().chars().take(16).collect();
            let path = folder.join(name);
            if !path.exists() {
                std::fs::write(&path, &seed)
                    .with_context(|| format!("write {}", path.display()))?;
            }
        }
        Ok(())
    }

    fn dictionary(target: &convoy_fuzz::Target) -> String {
        let escaped = |byte: u8| match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => format!("\\x{byte:02x}"),
            _ => char::from(byte).to_string(),
        };
        let line = |word: &&str| format!("\"{}\"\n", word.bytes().map(escaped).collect::<String>());
        target.words.iter().map(line).collect()
    }
}

#[cfg(not(fuzzing))]
fn main() -> anyhow::Result<()> {
    plain::main()
}

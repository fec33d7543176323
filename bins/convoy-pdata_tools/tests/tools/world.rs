//! Running our tools in this process and Debian's beside them, and images to run them on.

use convoy_testkit::thin::{ImageOptions, PoolModel};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Metadata that a 6.1 kernel made: devices 1, 2, 3 and 5, the last one empty, and a metadata snapshot at block 12.
pub(crate) const FIXTURE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../crates/convoy-thin-metadata/tests/fixtures/kernel-6.1.img"
);

/// What a tool left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The words of a line; `@` stands for the image.
fn words(line: &str, image: &Path) -> Vec<OsString> {
    let word = |word: &str| match word {
        "@" => image.into(),
        other => other.into(),
    };
    line.split_whitespace().map(word).collect()
}

/// Runs our tool that the line begins with, as the subcommand.
pub(crate) fn ours(line: &str, image: &Path) -> Ran {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let words = std::iter::once("convoy-pdata_tools".into()).chain(words(line, image));
    let status = convoy_pdata_tools::run(words, &mut stdout, &mut stderr);
    Ran {
        status: status.into(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// Our answer, which must be one.
#[track_caller]
pub(crate) fn answer(line: &str, image: &Path) -> String {
    let ran = ours(line, image);
    assert_eq!(ran.status, 0, "{line}: {}", ran.stderr);
    ran.stdout
}

/// Runs Debian's tool that the line begins with.
#[track_caller]
pub(crate) fn theirs(line: &str, image: &Path) -> Ran {
    let folder = std::env::var_os("CONVOY_THIN_TOOLS").map(PathBuf::from).expect(
        "Debian's tools are the judge here: run `cargo xtask test`, or `eval \"$(cargo xtask setup)\"` first, which sets CONVOY_THIN_TOOLS",
    );
    let words = words(line, image);
    let (tool, words) = words.split_first().unwrap();
    let output = Command::new(folder.join(tool)).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{line}: {error}"));
    Ran {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Both answer, and alike to the byte.
#[track_caller]
pub(crate) fn same(line: &str, image: &Path) {
    let (ours, theirs) = (ours(line, image), theirs(line, image));
    assert_eq!(theirs.status, 0, "{line}: {}", theirs.stderr);
    assert_eq!(ours.status, 0, "{line}: {}", ours.stderr);
    assert!(
        ours.stdout == theirs.stdout,
        "{line}\nours:\n{}\ntheirs:\n{}",
        ours.stdout,
        theirs.stdout
    );
}

/// Neither answers.
#[track_caller]
pub(crate) fn both_refuse(line: &str, image: &Path) {
    let (ours, theirs) = (ours(line, image), theirs(line, image));
    assert_eq!(
        (ours.status, theirs.status),
        (1, 1),
        "{line}\n{ours:?}\n{theirs:?}"
    );
    assert!(!ours.stderr.is_empty(), "{line}");
}

/// A folder that direct IO works in, where anything does.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Writes the pool's image to a file.
pub(crate) fn write(folder: &Path, pool: &PoolModel, options: ImageOptions) -> PathBuf {
    let path = folder.join("metadata");
    std::fs::write(&path, pool.image(options).bytes).unwrap();
    path
}

/// Compares with `tests/golden/NAME`; `BLESS=1 cargo test` writes it anew, for a person to look at.
#[track_caller]
pub(crate) fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "{name} is not as expected (BLESS=1 rewrites it):\n{text}"
    );
}

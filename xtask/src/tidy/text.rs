//! What every file must begin with, and what no file may contain.

use super::tree::Tree;

/// Unfinished work and paths of one machine. In halves, since this file is checked too.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("TO", "DO"), "finish it, or write down the limit"),
    (concat!("FIX", "ME"), "fix it"),
    (concat!("XX", "X"), "say it in words"),
    (concat!("shared", "/docs"), "the project stands by itself"),
    (
        concat!("#[ign", "ore"),
        "a test that needs more than this machine has is its own target",
    ),
];
/// A folder at the root of one machine; as a part of a longer path it is somebody's own name.
const MACHINE_PATH: &str = concat!("/wo", "rk/");

/// Every Rust file says in its first line what is in it.
pub(crate) fn headers(tree: &Tree) -> Vec<String> {
    let bare = tree
        .ending(".rs")
        .filter(|(_, text)| !text.starts_with("//!"));
    bare.map(|(path, _)| format!("{path}: it does not begin with `//!` and what is here"))
        .collect()
}

/// Words that show unfinished work, or another machine.
pub(crate) fn words(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in tree.ending("").filter(|(path, _)| is_prose(path)) {
        for (number, line) in (1..).zip(text.lines()) {
            if let Some((word, advice)) = found(line) {
                problems.push(format!("{path}:{number}: {word}: {advice}"));
            }
        }
    }
    problems
}

fn is_prose(path: &str) -> bool {
    let endings = [
        ".rs", ".md", ".toml", ".sh", ".py", ".yml", ".yaml", ".json", ".ci/run",
    ];
    endings.iter().any(|ending| path.ends_with(ending))
}

fn found(line: &str) -> Option<(&'static str, &'static str)> {
    if let Some(at) = line.find(MACHINE_PATH) {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        if !before.is_some_and(|c| c.is_alphanumeric() || "}_.-".contains(c)) {
            return Some((MACHINE_PATH, "a path of one machine"));
        }
    }
    FORBIDDEN
        .iter()
        .copied()
        .find(|(word, _)| contains_word(line, word))
}

/// The word, with no letter before or after it: `mkdtemp` templates and the like are not words.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line
            .get(at + word.len()..)
            .and_then(|text| text.chars().next());
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_its_sentence_is_told() {
        let tree = Tree::of(&[
            ("a.rs", "//! Here.\n"),
            ("b.rs", "use x;\n"),
            ("c.md", "text"),
        ]);
        assert_eq!(headers(&tree).len(), 1);
    }

    #[track_caller]
    fn check(line: &str, problem: bool) {
        assert_eq!(
            words(&Tree::of(&[("docs/a.md", line)])).len(),
            usize::from(problem),
            "{line}"
        );
    }

    #[test]
    fn forbidden_words() {
        check(concat!("// TO", "DO: later"), true);
        check(concat!("(FIX", "ME)"), true);
        check(concat!("see ../shared", "/docs/x.md"), true);
        check(concat!("`/wo", "rk/main`"), true);
        check("a folder {dir}/work/x and /home/me/work/y", false);
        check("mkdtemp(\"lab-XXXXXX\")", false);
        check("METHODS", false);
    }

    #[test]
    fn lock_files_and_data_are_not_prose() {
        let data = concat!("XX", "X");
        assert_eq!(
            words(&Tree::of(&[("Cargo.lock", data), ("tests/a.bin", data)])).len(),
            0
        );
    }
}

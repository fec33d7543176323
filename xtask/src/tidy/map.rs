//! The code map in `docs/architecture.md` names exactly the folders that are packages.

use std::collections::BTreeSet;

use super::tree::Tree;

const DOCUMENT: &str = "docs/architecture.md";
const BEGIN: &str = "<!-- code-map -->";
const END: &str = "<!-- /code-map -->";

/// Folders without a line, lines without a folder.
pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let Some(text) = tree.get(DOCUMENT) else {
        return vec![format!("{DOCUMENT} is missing")];
    };
    let Some(map) = text
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END))
    else {
        return vec![format!("{DOCUMENT} has no {BEGIN} … {END}")];
    };
    let named: BTreeSet<&str> = map.0.lines().filter_map(entry).collect();
    let folders: BTreeSet<&str> = tree
        .ending("/Cargo.toml")
        .filter_map(|(path, _)| path.strip_suffix("/Cargo.toml"))
        .collect();
    let unnamed = folders
        .difference(&named)
        .map(|dir| format!("{DOCUMENT}: no line for `{dir}`"));
    let gone = named
        .difference(&folders)
        .map(|dir| format!("{DOCUMENT}: `{dir}` is no package"));
    unnamed.chain(gone).collect()
}

/// The folder in a line such as "- `crates/convoy-units`: how much, and where".
fn entry(line: &str) -> Option<&str> {
    line.trim_start()
        .strip_prefix("- `")?
        .split_once('`')
        .map(|(dir, _)| dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &str) -> Tree {
        let text = format!("# Map\n{BEGIN}\n{lines}{END}\n- `elsewhere`: no\n");
        Tree::of(&[
            (DOCUMENT, &text),
            ("xtask/Cargo.toml", ""),
            ("Cargo.toml", ""),
        ])
    }

    #[test]
    fn map_and_folders_agree() {
        assert_eq!(
            check(&map("- `xtask`: every chore\n")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn both_kinds_of_drift_are_told() {
        let problems = check(&map("- `crates/gone`: nothing\n"));
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn a_missing_map_is_told() {
        assert_eq!(check(&Tree::default()).len(), 1);
        assert_eq!(check(&Tree::of(&[(DOCUMENT, "# Map\n")])).len(), 1);
    }
}

//! Every dependency is declared at the root, and every package takes the workspace's lints.

use super::tree::Tree;

/// Members' manifests that declare what belongs at the root.
pub(crate) fn check(tree: &Tree) -> Vec<String> {
    tree.ending("/Cargo.toml")
        .flat_map(|(path, text)| problems(path, text))
        .collect()
}

fn problems(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut section = "";
    let mut lints = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[lints]" && line == "workspace = true" {
            lints = true;
        } else if section.ends_with("dependencies]") && declares_version(line) {
            problems.push(format!(
                "{path}: `{line}`: versions are declared at the root only"
            ));
        } else if section.contains("dependencies.") {
            problems.push(format!("{path}: {section}: write a dependency as one line"));
        }
    }
    if !lints {
        problems.push(format!("{path}: no `[lints] workspace = true`"));
    }
    problems
}

/// A dependency that is neither inherited nor one of ours beside it.
fn declares_version(line: &str) -> bool {
    let inherited = line.contains("workspace = true");
    let beside = line.contains("path = ") && !line.contains("version");
    line.contains('=') && !line.starts_with('#') && !inherited && !beside
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINTS: &str = "[lints]\nworkspace = true\n";

    #[track_caller]
    fn check_manifest(text: &str, expected: usize) {
        let problems = check(&Tree::of(&[("a/Cargo.toml", text)]));
        assert_eq!(problems.len(), expected, "{problems:?}");
    }

    #[test]
    fn inherited_and_own_dependencies_pass() {
        let own = "[dependencies]\n# why\nnix.workspace = true\n\
            serde = { workspace = true, features = [] }\nb = { path = \"../b\", optional = true }\n";
        check_manifest(&format!("{LINTS}{own}"), 0);
    }

    #[test]
    fn a_version_in_a_member_is_told() {
        check_manifest(&format!("{LINTS}[dev-dependencies]\nnix = \"0.31\"\n"), 1);
        check_manifest(
            &format!("{LINTS}[dependencies.nix]\nversion = \"0.31\"\n"),
            1,
        );
    }

    #[test]
    fn missing_lints_are_told() {
        check_manifest("[package]\nname = \"a\"\n", 1);
    }

    #[test]
    fn the_root_may_declare() {
        assert!(
            check(&Tree::of(&[(
                "Cargo.toml",
                "[dependencies]\nnix = \"1\"\n"
            )]))
            .is_empty()
        );
    }
}

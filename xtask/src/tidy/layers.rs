//! Which of our crates may depend on which: data flows doors → engine → columns → words.
//!
//! A new edge is a design decision: add it here, and say why in the commit.

use super::metadata::{Metadata, Package};

/// The words: open to every crate above them.
const WORDS: &[&str] = &["convoy-units", "convoy-names", "convoy-fault"];

/// For dev-dependencies only.
const TESTKIT: &str = "convoy-testkit";

/// Each crate above the words, and the crates it may depend on besides them.
const EDGES: &[(&str, &[&str])] = &[
    ("convoy-thin-metadata", &[]),
    ("convoy-blockdiff", &["convoy-thin-metadata"]),
    ("convoy-thinpool", &[]),
    ("convoy-mount", &[]),
    ("convoy-catalog", &[]),
    ("convoy-objectstore", &[]),
    ("convoy-repository", &["convoy-objectstore"]),
    (
        "convoy-backup",
        &[
            "convoy-blockdiff",
            "convoy-objectstore",
            "convoy-repository",
        ],
    ),
    (
        "convoy-engine",
        &[
            "convoy-thin-metadata",
            "convoy-blockdiff",
            "convoy-thinpool",
            "convoy-mount",
            "convoy-catalog",
            "convoy-objectstore",
            "convoy-repository",
            "convoy-backup",
        ],
    ),
    ("convoy-api", &[]),
    ("convoy-client", &["convoy-api"]),
    ("convoy-server", &["convoy-api", "convoy-engine"]),
    ("convoy-docker", &["convoy-engine"]),
    (
        "convoyd",
        &[
            "convoy-api",
            "convoy-docker",
            "convoy-engine",
            "convoy-server",
        ],
    ),
    ("convoy", &["convoy-api", "convoy-client", "convoyd"]),
    (
        "convoy-pdata_tools",
        &["convoy-thin-metadata", "convoy-blockdiff"],
    ),
    (TESTKIT, &[]),
];

/// Crates that may depend on any of ours (the tests of the whole) or on none (xtask runs first).
const ANY: &[&str] = &["convoy-tests", "convoy-fuzz", "convoy-simulation"];
const NONE: &[&str] = &["xtask", "convoy-units", "convoy-names", "convoy-fault"];

/// The edges that are not in the table.
pub(crate) fn check(metadata: &Metadata) -> Vec<String> {
    let ours: Vec<&str> = metadata
        .ours()
        .map(|package| package.name.as_str())
        .collect();
    metadata
        .ours()
        .flat_map(|package| problems(package, &ours))
        .collect()
}

fn problems(package: &Package, ours: &[&str]) -> Vec<String> {
    let name = package.name.as_str();
    let mut problems = Vec::new();
    for dependency in &package.dependencies {
        let to = dependency.name.as_str();
        let dev = dependency.kind.as_deref() == Some("dev");
        if ours.contains(&to) && !(may(name, to) || dev && to == TESTKIT) {
            problems.push(format!(
                "{name} may not depend on {to}: the edge is not in the table"
            ));
        }
    }
    let known = ANY.contains(&name) || NONE.contains(&name) || row(name).is_some();
    if !known {
        problems.push(format!("{name} has no row in the table of layers"));
    }
    problems
}

fn row(name: &str) -> Option<&'static [&'static str]> {
    EDGES
        .iter()
        .find(|(from, _)| *from == name)
        .map(|(_, to)| *to)
}

fn may(from: &str, to: &str) -> bool {
    let word = WORDS.contains(&to) && !NONE.contains(&from);
    ANY.contains(&from) || word || row(from).is_some_and(|allowed| allowed.contains(&to))
}

#[cfg(test)]
mod tests {
    use super::super::metadata::Dependency;
    use super::*;

    fn metadata(edges: &[(&str, &str, Option<&str>)]) -> Metadata {
        let mut names: Vec<&str> = edges
            .iter()
            .flat_map(|(from, to, _)| [*from, *to])
            .collect();
        names.sort_unstable();
        names.dedup();
        let package = |name: &&str| {
            let own = edges.iter().filter(|(from, ..)| from == name);
            let dependencies = own.map(|(_, to, kind)| Dependency {
                name: (*to).to_owned(),
                kind: kind.map(str::to_owned),
            });
            Package {
                id: (*name).to_owned(),
                name: (*name).to_owned(),
                dependencies: dependencies.collect(),
                ..Package::default()
            }
        };
        Metadata {
            packages: names.iter().map(package).collect(),
            workspace_members: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[track_caller]
    fn refuse(from: &str, to: &str, kind: Option<&str>) {
        assert_eq!(
            check(&metadata(&[(from, to, kind)])).len(),
            1,
            "{from} -> {to}"
        );
    }

    #[test]
    fn the_table_and_the_words_are_open() {
        let edges = [
            ("convoy-engine", "convoy-mount", None),
            ("convoy-mount", "convoy-units", None),
            ("convoy-blockdiff", "convoy-testkit", Some("dev")),
            ("convoy-tests", "convoy-engine", Some("dev")),
        ];
        assert_eq!(check(&metadata(&edges)), Vec::<String>::new());
    }

    #[test]
    fn columns_never_look_sideways() {
        refuse("convoy-mount", "convoy-thinpool", None);
        refuse("convoy-client", "convoy-engine", None);
        refuse("convoy-backup", "convoy-catalog", Some("dev"));
        refuse("convoy-units", "convoy-names", None);
        refuse("xtask", "convoy-units", None);
        refuse("convoy-mount", "convoy-testkit", None);
    }

    #[test]
    fn a_crate_without_a_row_is_told() {
        refuse("convoy-novel", "convoy-units", None);
    }
}

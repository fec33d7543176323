//! Ours is Apache-2.0; what we depend on allows that.

use super::metadata::{Metadata, Package};
use super::tree::Tree;

/// Our own licence.
const OURS: &str = "Apache-2.0";

/// Licences a dependency may have (SPDX). MPL-2.0 for devicemapper, kept apart by NOTICE.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages whose licence is wrong, and missing licence files.
pub(crate) fn check(metadata: &Metadata, tree: &Tree) -> Vec<String> {
    let files = ["LICENSE", "NOTICE"]
        .into_iter()
        .filter(|file| tree.get(file).is_none());
    let files = files.map(|file| format!("{file} is missing"));
    let ours = metadata
        .ours()
        .filter(|package| package.license.as_deref() != Some(OURS));
    let ours = ours.map(|package| format!("{}: its licence is not {OURS}", package.name));
    let others = metadata.others().filter_map(foreign_problem);
    files.chain(ours).chain(others).collect()
}

fn foreign_problem(package: &Package) -> Option<String> {
    let Package {
        name,
        version,
        license,
        ..
    } = package;
    match license {
        None => Some(format!("{name} {version} names no licence")),
        Some(expression) if allowed(expression) => None,
        Some(expression) => Some(format!("{name} {version}: {expression} is not in the list")),
    }
}

/// Whether an SPDX expression leaves a choice in the list. `/` is the older spelling of OR.
fn allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    alternatives(&mut rest).unwrap_or(false) && rest.is_empty()
}

/// `all OR all …`; nothing for an expression that does not parse.
fn alternatives(rest: &mut &[&str]) -> Option<bool> {
    let mut any = all(rest)?;
    while take(rest, "OR") {
        any |= all(rest)?;
    }
    Some(any)
}

/// `one AND one …`.
fn all(rest: &mut &[&str]) -> Option<bool> {
    let mut every = one(rest)?;
    while take(rest, "AND") {
        every &= one(rest)?;
    }
    Some(every)
}

/// A licence, perhaps WITH an exception, or an expression in brackets.
fn one(rest: &mut &[&str]) -> Option<bool> {
    if take(rest, "(") {
        let inner = alternatives(rest)?;
        return take(rest, ")").then_some(inner);
    }
    let (name, after) = rest.split_first()?;
    *rest = after;
    if take(rest, "WITH") {
        let (exception, after) = rest.split_first()?;
        *rest = after;
        return Some(ALLOWED.contains(&format!("{name} WITH {exception}").as_str()));
    }
    Some(ALLOWED.contains(name))
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    match rest.split_first() {
        Some((first, after)) if *first == word => {
            *rest = after;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_expression(expression: &str, expected: bool) {
        assert_eq!(allowed(expression), expected, "{expression}");
    }

    #[test]
    fn expressions() {
        check_expression("MIT", true);
        check_expression("MIT/Apache-2.0", true);
        check_expression("GPL-3.0 OR MIT", true);
        check_expression("GPL-3.0 AND MIT", false);
        check_expression("(MIT OR GPL-2.0) AND Unicode-3.0", true);
        check_expression("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true);
        check_expression("GPL-2.0 WITH Classpath-exception-2.0", false);
        check_expression("(MIT", false);
        check_expression("", false);
    }

    fn package(name: &str, license: Option<&str>) -> Package {
        let license = license.map(str::to_owned);
        Package {
            id: name.to_owned(),
            name: name.to_owned(),
            license,
            ..Package::default()
        }
    }

    #[test]
    fn every_kind_of_problem_is_told() {
        let metadata = Metadata {
            packages: vec![
                package("ours", Some("MIT")),
                package("a", Some("GPL-3.0")),
                package("b", None),
            ],
            workspace_members: std::iter::once("ours".to_owned()).collect(),
        };
        let problems = check(&metadata, &Tree::of(&[("LICENSE", "")]));
        assert_eq!(problems.len(), 4, "{problems:?}");
    }

    #[test]
    fn a_clean_house_is_silent() {
        let metadata = Metadata {
            packages: vec![
                package("ours", Some("Apache-2.0")),
                package("a", Some("MIT OR Zlib")),
            ],
            workspace_members: std::iter::once("ours".to_owned()).collect(),
        };
        assert!(check(&metadata, &Tree::of(&[("LICENSE", ""), ("NOTICE", "")])).is_empty());
    }
}

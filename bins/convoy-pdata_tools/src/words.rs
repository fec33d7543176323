//! Command-line words as getopt(3) reads them, put the way our parser reads them.
//!
//! An optional value belongs to a short option only when it is attached: `-m12` has one, `-m 12` is the option
//! followed by another word. Our parser wants `-m=12` for the former.

use crate::tool::Tool;
use std::ffi::OsString;

/// The words with the attached value of the tool's optional-value option made explicit.
pub(crate) fn getopt(
    tool: Tool,
    words: impl Iterator<Item = OsString>,
) -> impl Iterator<Item = OsString> {
    let option = match tool {
        Tool::Delta | Tool::Dump | Tool::Ls => Some("-m"),
        Tool::MetadataSize => Some("-n"),
        Tool::Check | Tool::Partition => None,
    };
    let mut options_over = false;
    words.map(move |word| {
        options_over |= word == "--";
        let value = option.filter(|_| !options_over).and_then(|option| {
            let value = word.to_str()?.strip_prefix(option)?;
            (!value.is_empty() && !value.starts_with('=')).then(|| format!("{option}={value}"))
        });
        value.map_or(word, OsString::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tool: Tool, line: &str, expected: &str) {
        let words = getopt(tool, line.split(' ').map(OsString::from));
        let words: Vec<String> = words.map(|word| word.into_string().unwrap()).collect();
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn an_attached_value_is_the_options() {
        check(Tool::Delta, "-m12 dev", "-m=12 dev");
        check(Tool::Delta, "-m 12 dev", "-m 12 dev");
        check(Tool::Delta, "-m=12 dev", "-m=12 dev");
        check(Tool::Delta, "-- -m12", "-- -m12");
        check(Tool::MetadataSize, "-nshort -m10", "-n=short -m10");
        check(Tool::Check, "-m12", "-m12");
    }
}

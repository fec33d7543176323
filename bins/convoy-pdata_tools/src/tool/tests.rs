//! Every grammar holds together, and every tool is found by its name.

use super::*;
use clap::CommandFactory;

#[test]
fn grammars_hold_together() {
    thin_check::Arguments::command().debug_assert();
    thin_delta::Arguments::command().debug_assert();
    thin_dump::Arguments::command().debug_assert();
    thin_ls::Arguments::command().debug_assert();
    thin_metadata_size::Arguments::command().debug_assert();
    partition::Arguments::command().debug_assert();
}

#[test]
fn a_tool_is_found_by_its_whole_name() {
    for tool in Tool::ALL {
        assert_eq!(Tool::named(OsStr::new(tool.name())), Some(tool));
    }
    for name in ["thin_repair", "thin_checks", "thin", ""] {
        assert_eq!(Tool::named(OsStr::new(name)), None, "{name}");
    }
}

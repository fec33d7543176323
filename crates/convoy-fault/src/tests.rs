//! The taxonomy against its golden table.

use super::*;

#[test]
fn the_table_is_the_promised_one() {
    let row = |kind: &Kind| {
        let retry = if kind.retryable() { "retry" } else { "-" };
        format!(
            "{:<27} exit {:>3}  http {}  {retry}\n",
            kind.code(),
            kind.exit_code(),
            kind.http_status()
        )
    };
    let table: String = Kind::ALL.iter().map(row).collect();
    assert_eq!(table, include_str!("../tests/taxonomy.txt"));
}

#[test]
fn a_code_names_its_kind() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_code(kind.code()), Some(*kind));
    }
    assert_eq!(Kind::from_code("E_NOBODY_KNOWS"), None);
}

//! The taxonomy against its golden table.

use super::*;

#[test]
fn the_table_is_the_promised_one() {
    let mut table = String::new();
    for kind in Kind::ALL {
        let retry = if kind.retryable() { "retry" } else { "-" };
        table += &format!(
            "{:<27} exit {:>3}  http {}  {retry}\n",
            kind.code(),
            kind.exit_code(),
            kind.http_status()
        );
    }
    assert_eq!(table, include_str!("../tests/taxonomy.txt"));
}

#[test]
fn a_code_names_its_kind() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_code(kind.code()), Some(*kind));
    }
    assert_eq!(Kind::from_code("E_NOBODY_KNOWS"), None);
}

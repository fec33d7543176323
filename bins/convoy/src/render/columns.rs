//! Columns of a list: which there are, which are shown, and in what order the rows stand.

use super::fitted::{Cell, Fate, Head, fitted};
use crate::args::Layout;
use crate::failure::Failure;
use convoy_fault::Kind;
use std::cmp::Ordering;

/// Which of two things stands first.
pub(super) type Order<T> = fn(&T, &T) -> Ordering;

/// What one column says of a thing.
pub(crate) struct Column<T> {
    /// What it is called on the command line.
    pub(super) key: &'static str,
    pub(super) head: Head,
    /// Shown when nobody chose.
    pub(super) usual: bool,
    pub(super) cell: fn(&T) -> Cell,
    pub(super) order: Order<T>,
}

/// The columns chosen of all there are, and the one to sort by.
pub(crate) struct Chosen<T: 'static> {
    columns: Vec<&'static Column<T>>,
    /// Somebody chose them: none is left out for want of room.
    fixed: bool,
    /// And whether the other way round.
    order: Option<(Order<T>, bool)>,
}

impl<T> Chosen<T> {
    /// Refused when a name is none; the refusal has all that there are.
    pub(crate) fn of(all: &'static [Column<T>], layout: &Layout) -> Result<Self, Failure> {
        let named = |key: &str, flag: &str| {
            let found = all.iter().find(|column| column.key == key);
            found.ok_or_else(|| no_column(flag, key, all))
        };
        let usual = || all.iter().filter(|column| column.usual).collect();
        let mut fixed = false;
        let columns = match layout.columns.as_deref() {
            None => usual(),
            Some("all") => {
                fixed = true;
                all.iter().collect()
            }
            Some(list) => {
                let (added, list) = match list.strip_prefix('+') {
                    Some(rest) => (true, rest),
                    None => (false, list),
                };
                fixed = !added;
                let mut columns = if added { usual() } else { Vec::new() };
                for key in list.split(',') {
                    columns.push(named(key.trim(), "--columns")?);
                }
                columns
            }
        };
        let order = match layout.sort.as_deref() {
            None => None,
            Some(key) => {
                let (key, reversed) = match key.strip_prefix('-') {
                    Some(rest) => (rest, true),
                    None => (key, false),
                };
                Some((named(key, "--sort")?.order, reversed))
            }
        };
        Ok(Self {
            columns,
            fixed,
            order,
        })
    }

    /// The rows as a table; rows that are equal to the order stay as the daemon sent them.
    pub(crate) fn table(&self, rows: &[T], width: u16, painted: bool) -> String {
        let mut rows: Vec<&T> = rows.iter().collect();
        if let Some((order, reversed)) = self.order {
            rows.sort_by(|a, b| if reversed { order(b, a) } else { order(a, b) });
        }
        let head = |column: &&'static Column<T>| {
            let mut head = column.head.clone();
            if self.fixed {
                head.fate = Fate::Stays;
            }
            head
        };
        let cells = |row: &&T| {
            self.columns
                .iter()
                .map(|column| (column.cell)(row))
                .collect()
        };
        fitted(
            self.columns.iter().map(head).collect(),
            rows.iter().map(cells).collect(),
            width,
            painted,
        )
    }
}

fn no_column<T>(flag: &str, key: &str, all: &[Column<T>]) -> Failure {
    let known: Vec<&str> = all.iter().map(|column| column.key).collect();
    Failure::new(
        Kind::Invalid,
        format!("{flag}: there is no column {key:?}"),
        &format!("the columns are {}", known.join(", ")),
    )
}

//! What came of every verb at every step, as a table for people.

use super::hook::{Mode, Place};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The cells, by verb, place and mode.
#[derive(Debug, Default)]
pub(crate) struct Table {
    cells: BTreeMap<(String, Place, Mode), String>,
    /// In the order of the verb.
    rows: Vec<(String, Place)>,
}

impl Table {
    pub(crate) fn row(&mut self, verb: &str, place: &Place) {
        self.rows.push((verb.to_owned(), place.clone()));
    }

    pub(crate) fn put(&mut self, verb: &str, place: &Place, mode: Mode, outcome: &str) {
        let key = (verb.to_owned(), place.clone(), mode);
        self.cells.insert(key, outcome.to_owned());
    }

    /// Prints it, and the count of each outcome; returns the cells that are empty.
    pub(crate) fn print(&self, modes: &[Mode]) -> Vec<String> {
        let mut empty = Vec::new();
        let mut counts: BTreeMap<(&str, Mode, &str), u32> = BTreeMap::new();
        for (verb, place) in &self.rows {
            let mut line = format!("{verb:<26}{place:<34}", place = place.to_string());
            for mode in modes {
                let cell = self.cells.get(&(verb.clone(), place.clone(), *mode));
                if cell.is_none() {
                    empty.push(format!("{verb} {} {place}", mode.word()));
                }
                let cell = cell.map_or("", String::as_str);
                *counts.entry((verb, *mode, cell)).or_default() += 1;
                write!(line, "{:<7}{cell:<12}", mode.word()).expect("text takes text");
            }
            println!("{line}");
        }
        for ((verb, mode, outcome), count) in counts {
            println!("{verb:<26}{:<7}{outcome:<12}{count:>5}", mode.word());
        }
        println!("{} points", self.rows.len());
        empty
    }
}

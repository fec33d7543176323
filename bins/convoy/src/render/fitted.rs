//! A table that fits its terminal: one line a thing, the name first, and nothing broken in two.

use crate::safe;
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, CellAlignment, Color, ContentArrangement, Table};

/// A column's heading, how it is set, and what becomes of it where lines are too short.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) heading: &'static str,
    pub(super) number: bool,
    pub(super) fate: Fate,
}

/// Nothing a person may want to copy is ever broken in two or cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    /// Left out, the rightmost one first.
    LeftOut,
    /// Gets the next line for itself, `-` apart. Only the last column.
    NextLine,
}

/// What a cell says, and how loudly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// How loudly a cell speaks where colours may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Warning,
    Alarm,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        let tone = Tone::Plain;
        Self { text, tone }
    }
}

impl Tone {
    const fn color(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Warning => Some(Color::Yellow),
            Self::Alarm => Some(Color::Red),
        }
    }
}

/// A column of words that always stays.
pub(super) const fn name(heading: &'static str) -> Head {
    Head {
        heading,
        number: false,
        fate: Fate::Stays,
    }
}

/// A column of numbers that always stays.
pub(super) const fn number(heading: &'static str) -> Head {
    Head {
        heading,
        number: true,
        fate: Fate::Stays,
    }
}

/// A column of words that goes first when there is no room.
pub(super) const fn optional(heading: &'static str) -> Head {
    Head {
        heading,
        number: false,
        fate: Fate::LeftOut,
    }
}

/// The last column, which gets lines of its own when there is no room.
pub(super) const fn last(heading: &'static str) -> Head {
    Head {
        heading,
        number: false,
        fate: Fate::NextLine,
    }
}

/// As much of it as fits: all; else the last column below each row; else without the optional columns.
pub(super) fn fitted(
    mut heads: Vec<Head>,
    mut rows: Vec<Vec<Cell>>,
    width: u16,
    painted: bool,
) -> String {
    let mut below: Vec<Cell> = Vec::new();
    loop {
        // Measured without colours, which take up no room on a screen.
        let fits = lines_of(&heads, &rows, false)
            .iter()
            .all(|line| line.chars().count() <= usize::from(width));
        // A terminal too narrow for names breaks lines itself, which keeps them whole to a mouse.
        let index = heads.iter().rposition(|head| head.fate != Fate::Stays);
        let index = match index {
            Some(index) if !fits => index,
            _ => return interleaved(lines_of(&heads, &rows, painted), &below),
        };
        let head = heads.remove(index);
        let cells = rows.iter_mut().map(|row| row.remove(index)).collect();
        // Below a row there is room for one column: the last.
        if head.fate == Fate::NextLine && index == heads.len() {
            below = cells;
        }
    }
}

fn lines_of(heads: &[Head], rows: &[Vec<Cell>], painted: bool) -> Vec<String> {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    if painted {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let heading = |head: &Head| comfy_table::Cell::new(head.heading).add_attribute(Attribute::Bold);
    table.set_header(heads.iter().map(heading));
    for row in rows {
        table.add_row(row.iter().map(shown));
    }
    for (index, head) in heads.iter().enumerate() {
        if let Some(layout) = table.column_mut(index) {
            layout.set_padding((0, 2));
            if head.number {
                layout.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn shown(cell: &Cell) -> comfy_table::Cell {
    let shown = comfy_table::Cell::new(safe::line(&cell.text));
    match cell.tone.color() {
        Some(color) => shown.fg(color),
        None => shown,
    }
}

/// The heading, then each row and what stands below it.
fn interleaved(lines: Vec<String>, below: &[Cell]) -> String {
    let mut text = String::new();
    for (index, line) in lines.into_iter().enumerate() {
        text.extend([line.as_str(), "\n"]);
        let under = index.checked_sub(1).and_then(|row| below.get(row));
        if let Some(under) = under.filter(|under| under.text != "-") {
            text.extend(["  ", &safe::line(&under.text), "\n"]);
        }
    }
    text
}

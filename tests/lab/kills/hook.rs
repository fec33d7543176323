//! What happens at the points of a verb: they are counted, noted, or one of them is the end.

use convoy_engine::{Failpoints, Point};
use nix::sys::signal::{Signal, raise};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

/// How a verb is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Kill,
    Panic,
    Error,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Kill, Self::Panic, Self::Error];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Panic => "panic",
            Self::Error => "error",
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|mode| mode.word() == word);
        found.ok_or_else(|| format!("no mode is called {word}"))
    }
}

/// A point, and which of its visits: a verb may come by several times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) step: String,
    pub(crate) visit: u32,
    pub(crate) done: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.done { "after" } else { "before" };
        write!(f, "{side} {} {}", self.step, self.visit)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let [side @ ("after" | "before"), step, visit] = words[..] else {
            return Err(format!("no place: {text}"));
        };
        Ok(Self {
            step: step.to_owned(),
            visit: visit.parse().map_err(|error| format!("{error}"))?,
            done: side == "after",
        })
    }
}

#[derive(Default)]
enum State {
    #[default]
    Off,
    Note(Vec<Place>),
    End(Place, Mode),
}

/// The points of one process.
#[derive(Default)]
pub(crate) struct Hook {
    state: Mutex<(State, HashMap<Point, u32>)>,
}

impl Hook {
    fn set(&self, state: State) {
        *self.state.lock().unwrap() = (state, HashMap::new());
    }

    /// From here on, every point is noted.
    pub(crate) fn note(&self) {
        self.set(State::Note(Vec::new()));
    }

    /// From here on, this place is the end.
    pub(crate) fn end_at(&self, place: Place, mode: Mode) {
        self.set(State::End(place, mode));
    }

    /// From here on, points are nothing. Returns what was noted; nothing while the end is still to come.
    pub(crate) fn off(&self) -> Option<Vec<Place>> {
        let (state, _) = std::mem::take(&mut *self.state.lock().unwrap());
        match state {
            State::Off => Some(Vec::new()),
            State::Note(places) => Some(places),
            State::End(..) => None,
        }
    }

    /// Whether this is the end, and how.
    fn visit(&self, point: &Point) -> Option<Mode> {
        let (state, visits) = &mut *self.state.lock().unwrap();
        let visit = visits.entry(point.clone()).or_default();
        *visit += 1;
        let here = Place {
            step: point.step.clone(),
            visit: *visit,
            done: point.done,
        };
        match state {
            State::Note(places) => places.push(here),
            State::End(place, mode) if *place == here => {
                let mode = *mode;
                *state = State::Off;
                return Some(mode);
            }
            State::Off | State::End(..) => (),
        }
        None
    }
}

impl Failpoints for Hook {
    fn reached(&self, point: &Point) -> bool {
        match self.visit(point) {
            None => false,
            Some(Mode::Error) => true,
            Some(Mode::Panic) => panic!("on purpose, {point}"),
            Some(Mode::Kill) => {
                raise(Signal::SIGKILL).unwrap();
                unreachable!("killed")
            }
        }
    }
}

//! Where the power is to be cut: it counts the steps of a verb, and says when it is time.

use super::teller::Told;
use convoy_engine::{Failpoints, Point};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than any guest lives.
const FOREVER: Duration = Duration::from_hours(1);

/// A cut that is to come.
#[derive(Debug, Clone, Copy)]
struct Armed {
    steps: u64,
    hold: bool,
}

/// The one who calls for the cut.
pub(crate) struct Cutter {
    told: Arc<Told>,
    armed: Mutex<Option<Armed>>,
}

impl Cutter {
    pub(crate) fn new(told: Arc<Told>) -> Self {
        let armed = Mutex::default();
        Self { told, armed }
    }

    /// Calls for the cut after so many steps from now, and then goes no further (`hold`), or goes on until
    /// it comes.
    pub(crate) fn arm(&self, steps: u64, hold: bool) {
        *self.armed.lock().unwrap() = Some(Armed { steps, hold });
    }

    /// A step, of the engine or of a deed.
    pub(crate) fn step(&self, name: &dyn fmt::Display) {
        let hold = {
            let mut armed = self.armed.lock().unwrap();
            match &mut *armed {
                None => return,
                Some(Armed { steps: 0, hold }) => {
                    let hold = *hold;
                    *armed = None;
                    hold
                }
                Some(Armed { steps, .. }) => {
                    *steps -= 1;
                    return;
                }
            }
        };
        let how = if hold { "and waits" } else { "and goes on" };
        self.told.tell(&format!("cut {name} {how}"));
        if hold {
            std::thread::sleep(FOREVER);
        }
    }
}

impl Failpoints for Cutter {
    fn reached(&self, point: &Point) -> bool {
        self.step(point);
        false
    }
}

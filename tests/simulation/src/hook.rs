//! The scheduler: asked at every step of every verb, it lets time pass, others go first, or the process die.

use crate::planted::Planted;
use crate::world::World;
use convoy_engine::{Failpoints, Mistake, Point};
use std::sync::Weak;

/// What unwinds a process that dies.
pub(crate) struct Died;

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The process dies; the kernel lives on.
    Kill,
    /// The power is cut.
    PowerCut,
    /// The step fails: before it is done, or with its answer lost.
    Fail,
    /// Somebody else's verb runs from begin to end.
    Interleave,
    /// Somebody writes to a volume.
    Write,
    /// A second is over: the kernel commits.
    Commit,
}

impl Event {
    pub(crate) const ALL: [Self; 6] = [
        Self::Kill,
        Self::PowerCut,
        Self::Fail,
        Self::Interleave,
        Self::Write,
        Self::Commit,
    ];
}

/// The points of one process of one host.
pub(crate) struct Hook {
    pub(crate) world: Weak<World>,
    pub(crate) host: usize,
}

impl Failpoints for Hook {
    fn reached(&self, point: &Point) -> bool {
        let Some(world) = self.world.upgrade() else {
            return true;
        };
        if !world.is_dead(self.host) {
            world.note(self.host, point);
            for event in world.due(self.host) {
                match event {
                    Event::Kill => world.kill(self.host),
                    Event::PowerCut => world.cut_power(self.host),
                    Event::Fail if may_fail(point) => {
                        world.faulted(self.host);
                        return true;
                    }
                    Event::Fail => (),
                    Event::Interleave => world.interleave(self.host, point),
                    Event::Write => world.write_somewhere(self.host),
                    Event::Commit => world.commit(self.host),
                }
                if world.is_dead(self.host) {
                    break;
                }
            }
        }
        world.is_dead(self.host) && die(point)
    }

    fn errs(&self, mistake: Mistake) -> bool {
        let planted = self.world.upgrade().and_then(|world| world.planted);
        planted == Some(Planted::Engine(mistake))
    }
}

/// A resume that fails is tried again for seconds, of which there are not enough here; and the opening of a catalog is
/// not a step that anybody repeats.
fn may_fail(point: &Point) -> bool {
    point.step != "dm.resume" && point.step != "catalog.open"
}

/// Requests to a store come from threads that must end in good order, and nobody unwinds twice: both are told
/// that everything fails. Everybody else unwinds.
fn die(point: &Point) -> bool {
    let store = ["put.", "delete.", "sync"];
    let quietly = store.iter().any(|word| point.step.starts_with(word)) || std::thread::panicking();
    if !quietly {
        std::panic::resume_unwind(Box::new(Died));
    }
    // Who resumes is not let wait; it has no effect.
    point.step != "dm.resume"
}

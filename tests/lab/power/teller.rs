//! What is told, in one order: to the judge here, and to who survives a cut.

use convoy_tests::story::World;
use std::sync::{Mutex, MutexGuard};

/// Somebody out of reach of the cut.
pub(crate) trait Tell: Send + Sync {
    /// Tells a line; when this returns, a cut does not lose it.
    fn tell(&self, line: &str);
}

/// The world by what was told, and who is told.
pub(crate) struct Told {
    world: Mutex<World>,
    to: Box<dyn Tell>,
}

impl Told {
    pub(crate) fn new(world: World, to: Box<dyn Tell>) -> Self {
        let world = Mutex::new(world);
        Self { world, to }
    }

    /// The world as told so far; nothing is told while this is held.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Tells a line.
    #[track_caller]
    pub(crate) fn tell(&self, line: &str) {
        self.tell_in(&mut self.world(), line);
    }

    /// Tells a line that follows from the world as it is.
    #[track_caller]
    pub(crate) fn tell_in(&self, world: &mut World, line: &str) {
        self.to.tell(line);
        let heard = world.hear(line);
        assert!(heard.is_ok(), "{line}: {heard:?}");
    }
}

//! A second hand, which writes to one volume all the time.

use super::actor::{Actor, write};
use crate::verbs::name;
use convoy_tests::story::{BUSY, Deed, Verb};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const HAND: &str = "b";
const REST: Duration = Duration::from_millis(15);

/// The hand, until it is dropped.
pub(crate) struct Busy {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Busy {
    /// Begins to write.
    pub(crate) fn begin(actor: &Actor) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let target = actor.engine().volume(&name(BUSY)).unwrap().mountpoint;
        let target = target.expect("it is mounted");
        let (told, pause) = (Arc::clone(&actor.told), Arc::clone(&actor.pause));
        // Its steps are not counted: the cuts are for the verbs.
        let cutter = super::Cutter::new(Arc::clone(&told));
        let ended = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let paused = pause.lock().unwrap();
                let generation = {
                    let mut world = told.world();
                    let generation = world.next();
                    let deed = Deed::new(Verb::Write, BUSY, &generation.to_string());
                    told.tell_in(&mut world, &format!("begin {HAND} {deed}"));
                    generation
                };
                write(&cutter, &target, generation);
                told.tell(&format!("done {HAND}"));
                drop(paused);
                std::thread::sleep(REST);
            }
        });
        let thread = Some(thread);
        Self { end, thread }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

//! Who tells the workers what to do, starts the next when one is dead, and keeps the score.

use super::hook::{Mode, Place};
use super::process::{Did, Worker};
use super::table::Table;
use super::verb::Verb;
use crate::world::World;
use convoy_tests::command::run;
use convoy_tests::mapper;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Enough to see a pattern; each costs a new world.
const MOST_VIOLATIONS: usize = 12;

/// What an order may take: a guest on a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(40);

/// The whole fight.
pub(crate) struct Battery {
    world: World,
    /// The path of the test, under which a worker finds its part.
    test: &'static str,
    worker: Option<Worker>,
    modes: Vec<Mode>,
    table: Table,
    violations: Vec<String>,
    begin: Instant,
    /// Counts orders, for who watches over them.
    orders: Arc<AtomicU64>,
}

impl Battery {
    pub(crate) fn new(world: World, test: &'static str) -> Self {
        let torture = std::env::var_os("CONVOY_TORTURE").is_some();
        let modes = Mode::ALL.into_iter().filter(|mode| match mode {
            Mode::Kill => !torture || asked_for(mode.word()),
            Mode::Panic | Mode::Error => torture && asked_for(mode.word()),
        });
        let mut battery = Self {
            world,
            test,
            worker: None,
            modes: modes.collect(),
            table: Table::default(),
            violations: Vec::new(),
            begin: Instant::now(),
            orders: Arc::default(),
        };
        watch(Arc::clone(&battery.orders));
        battery.must("set-up");
        battery
    }

    /// Ends one verb at every place it comes by, in every mode.
    pub(crate) fn fight(&mut self, verb: Verb) {
        if !asked_for(verb.word()) {
            return;
        }
        let begin = Instant::now();
        let said = self.must(&format!("note {}", verb.word()));
        let places = self.places(&said);
        for place in &places {
            self.table.row(verb.word(), place);
            for mode in self.modes.clone() {
                let order = format!("end {} {} {place}", verb.word(), mode.word());
                self.end(verb.word(), verb, &order, mode, place);
            }
        }
        self.must("judge");
        tell(verb.word(), places.len(), begin);
    }

    /// Kills a verb at one place, and then the opening after it at every place that comes by.
    pub(crate) fn fight_recovery(&mut self, verb: Verb, at: &str) {
        let label = format!("opening after {}", verb.word());
        if !asked_for(&label) {
            return;
        }
        let begin = Instant::now();
        let first = format!("end {} kill {at}", verb.word());
        assert_eq!(self.order(&first), Did::Killed, "{first}");
        let said = self.must("note-opening");
        let places = self.places(&said);
        for place in &places {
            self.table.row(&label, place);
            for mode in self.modes.clone() {
                assert_eq!(self.order(&first), Did::Killed, "{first}");
                let order = format!("end-opening {} {place}", mode.word());
                self.end(&label, verb, &order, mode, place);
            }
        }
        self.must("judge");
        tell(&label, places.len(), begin);
    }

    /// The places in what was said, each once: threads come by in any order. A kill after a step leaves what a
    /// kill before the next one does, so the latter are left out where nothing but kills is tried.
    fn places(&self, said: &[String]) -> Vec<Place> {
        let places = said.iter().filter_map(|line| line.strip_prefix("place "));
        let places = places.map(|place| place.parse::<Place>().unwrap());
        let (mut seen, only_kills) = (BTreeSet::new(), self.modes == [Mode::Kill]);
        let mut first = true;
        places
            .filter(|place| seen.insert(place.clone()))
            .filter(|place| std::mem::take(&mut first) || place.done || !only_kills)
            .take(crate::points::most_points())
            .collect()
    }

    fn end(&mut self, label: &str, verb: Verb, order: &str, mode: Mode, place: &Place) {
        let did = self.order(order);
        let how = match &did {
            Did::Said(lines) if lines.contains(&"unreached".to_owned()) => {
                return self.violation(order, "the place was not reached again");
            }
            Did::Said(lines) => lines.join("; "),
            Did::Killed if mode == Mode::Kill => String::new(),
            Did::Killed | Did::Broke => return self.violation(order, "the process broke"),
        };
        match self.order(&format!("settled {}", verb.word())) {
            Did::Said(mut lines) => {
                let outcome = lines.pop().expect("it said something");
                if std::env::var_os("CONVOY_KILLS_TELL").is_some() {
                    println!("{order}: {outcome}: {how} {lines:?}");
                }
                // A caller was told that it is done.
                if order.starts_with("end ") && how.contains("ended well") && outcome == "undone" {
                    return self.violation(order, "it ended well, and was undone");
                }
                self.table.put(label, place, mode, &outcome);
            }
            did => self.violation(order, &format!("after it, {did:?}: {how}")),
        }
    }

    /// Something did not hold: it is noted, and all goes on in a new world.
    pub(crate) fn violation(&mut self, order: &str, what: &str) {
        println!("VIOLATION {order}: {what}");
        self.violations.push(format!("{order}: {what}"));
        // A new world: this one is worth nothing any more.
        self.worker = None;
        // What is held would hold up the sweep as well.
        resume_all();
        let name = format!("kills-{}", self.violations.len());
        self.world = World::new(&name);
        self.must("set-up");
        if self.violations.len() >= MOST_VIOLATIONS {
            self.give_up();
        }
    }

    /// An order that must be carried out.
    #[track_caller]
    pub(crate) fn must(&mut self, order: &str) -> Vec<String> {
        match self.order(order) {
            Did::Said(lines) => lines,
            did => panic!("{order}: {did:?}; {:?}", self.violations),
        }
    }

    /// The process that works, started if there is none.
    pub(crate) fn worker(&mut self) -> &mut Worker {
        let (dir, test) = (&self.world.dir, self.test);
        self.worker.get_or_insert_with(|| Worker::start(test, dir))
    }

    /// Gives an order to the process that works.
    pub(crate) fn order(&mut self, order: &str) -> Did {
        self.orders.fetch_add(1, Ordering::SeqCst);
        let did = self.worker().obey(order);
        if !matches!(did, Did::Said(_)) {
            self.worker = None;
        }
        did
    }

    /// Prints what there is, and fails.
    fn give_up(&self) -> ! {
        self.table.print(&self.modes);
        panic!("too many violations:\n{}", self.violations.join("\n"))
    }

    /// Fails where something did not hold.
    #[track_caller]
    pub(crate) fn nothing_was_violated(&self) {
        let violations = self.violations.join("\n");
        assert!(violations.is_empty(), "violations:\n{violations}");
    }

    /// Prints the table.
    pub(crate) fn close(self) {
        let empty = self.table.print(&self.modes);
        println!("in {:.0} s", self.begin.elapsed().as_secs_f32());
        self.nothing_was_violated();
        assert!(empty.is_empty(), "nothing is known of {empty:?}");
    }
}

/// `CONVOY_KILLS` leaves out all but the verbs and modes it names (`panic,error,create,opening after create`).
fn asked_for(word: &str) -> bool {
    let Ok(asked) = std::env::var("CONVOY_KILLS") else {
        return true;
    };
    asked.split(',').any(|asked| asked == word)
}

/// Lets every device run.
pub(crate) fn resume_all() {
    for device in mapper::devices() {
        run(Command::new("dmsetup").args(["resume", &device]));
    }
}

/// A worker that broke while its volume is held does not even die of it: one that is not done after a while
/// is let go, and fails.
fn watch(orders: Arc<AtomicU64>) {
    std::thread::spawn(move || {
        let mut before = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let now = orders.load(Ordering::SeqCst);
            if now != before.0 {
                before = (now, Instant::now());
            } else if before.1.elapsed() > PATIENCE {
                resume_all();
            }
        }
    });
}

fn tell(label: &str, places: usize, begin: Instant) {
    let took = begin.elapsed().as_secs_f32();
    println!("{label}: {places} places in {took:.1} s");
}

//! The process that dies: it does as it is told, line by line, and says how that went.

use super::check::{everything_holds, judges};
use super::hook::{Mode, Place};
use super::stage::Stage;
use super::verb::{Outcome, Verb};
use crate::verbs::{delete_snapshot, snapshot};
use std::io::BufRead;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Where it works, if this process is one.
pub(crate) const PLACE: &str = "CONVOY_KILLS_PLACE";

/// Plays the worker if this process was started to; says whether it was.
pub(crate) fn plays_a_part() -> bool {
    let Ok(dir) = std::env::var(PLACE) else {
        return false;
    };
    let mut stage = Stage::new(dir.into());
    for line in std::io::stdin().lock().lines() {
        obey(&mut stage, &line.unwrap());
    }
    true
}

fn say(line: &str) {
    // The test runner leaves its own line unfinished.
    println!("\n@{line}");
}

fn obey(stage: &mut Stage, line: &str) {
    let (order, rest) = line.split_once(' ').unwrap_or((line, ""));
    match order {
        "set-up" => {
            stage.set_up();
            everything_holds(stage);
        }
        "note" => note(stage, Verb::parse(rest)),
        "end" => {
            let (verb, rest) = rest.split_once(' ').unwrap();
            let (mode, place) = rest.split_once(' ').unwrap();
            end(
                stage,
                Verb::parse(verb),
                mode.parse().unwrap(),
                &place.parse().unwrap(),
            );
        }
        "note-opening" => note_opening(stage),
        "end-opening" => {
            let (mode, place) = rest.split_once(' ').unwrap();
            end_opening(stage, mode.parse().unwrap(), &place.parse().unwrap());
        }
        "settled" => return settled(stage, Verb::parse(rest)),
        "judge" => judges(stage),
        other => panic!("what is {other}?"),
    }
    say("done");
}

/// Runs a verb to its end, and tells where it came by.
fn note(stage: &mut Stage, verb: Verb) {
    stage.open();
    verb.prepare(stage);
    stage.hook.note();
    verb.act(stage)
        .unwrap_or_else(|error| panic!("{}", convoy_fault::chain(&error)));
    for place in stage.hook.off().expect("no end was set") {
        say(&format!("place {place}"));
    }
    stage.open();
    assert_eq!(verb.outcome(stage), Outcome::Finished);
}

/// Runs a verb that ends at a place. After a kill nobody is there to say anything.
fn end(stage: &mut Stage, verb: Verb, mode: Mode, place: &Place) {
    stage.open();
    verb.prepare(stage);
    stage.hook.end_at(place.clone(), mode);
    let quiet = std::panic::take_hook();
    if mode == Mode::Panic {
        std::panic::set_hook(Box::new(|_| ()));
    }
    let ended = catch_unwind(AssertUnwindSafe(|| verb.act(stage)));
    std::panic::set_hook(quiet);
    if stage.hook.off().is_none() {
        say("unreached");
        return;
    }
    let how = match &ended {
        Err(_) => "panicked".to_owned(),
        Ok(Ok(())) => "well".to_owned(),
        Ok(Err(error)) => convoy_fault::chain(error),
    };
    say(&format!("ended {}", how.replace('\n', " ")));
    // A daemon goes on after either: the same engine serves the next call.
    if verb_has_engine(verb) {
        snapshot(stage.engine(), "keep", "probe");
        delete_snapshot(stage.engine(), "probe");
    }
    stage.close();
}

/// Opens, and tells where that came by.
fn note_opening(stage: &mut Stage) {
    stage.hook.note();
    stage.open();
    for place in stage.hook.off().expect("no end was set") {
        say(&format!("place {place}"));
    }
}

/// An opening that ends at a place.
fn end_opening(stage: &mut Stage, mode: Mode, place: &Place) {
    stage.hook.end_at(place.clone(), mode);
    let ended = catch_unwind(AssertUnwindSafe(|| stage.try_open()));
    if stage.hook.off().is_none() {
        say("unreached");
    }
    let how = match &ended {
        Err(_) => "panicked".to_owned(),
        Ok(Ok(())) => "well".to_owned(),
        Ok(Err(error)) => convoy_fault::chain(error),
    };
    say(&format!("ended {}", how.replace('\n', " ")));
    stage.close();
}

/// Whether the engine is there still when the verb is over.
fn verb_has_engine(verb: Verb) -> bool {
    !matches!(verb, Verb::MakePool | Verb::Open | Verb::Stop)
}

/// Opens, looks at everything, and tells what became of the verb.
fn settled(stage: &mut Stage, verb: Verb) {
    stage.open();
    let recovered = stage.engine().info().unwrap().recovered;
    if verb == Verb::MakePool {
        // The other pool is nobody's until it is opened again.
        verb.outcome(stage);
    }
    everything_holds(stage);
    let outcome = match verb.outcome(stage) {
        Outcome::Finished => "finished",
        Outcome::Undone => "undone",
    };
    for line in recovered {
        say(&format!("said {line}"));
    }
    say(outcome);
}

//! The process that dies: it does as it is told, line by line, and says how that went.

use super::check::{everything_holds, judges};
use super::hook::{Mode, Place};
use super::stage::Stage;
use super::verb::{Outcome, Verb};
use crate::verbs::{delete_snapshot, name, silent};
use std::fs::File;
use std::io::{BufRead, IoSlice, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Where it works, if this process is one.
pub(crate) const PLACE: &str = "CONVOY_KILLS_PLACE";

/// What a catalog answers after an fsync of its own failed.
pub(crate) const NO_CHANGES: &str = "the catalog takes no changes";

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

/// Says a line. By `writev`, which nothing else here calls: a test that makes system calls fail leaves it alone.
fn say(line: &str) {
    let stdout = std::io::stdout().as_fd().try_clone_to_owned();
    // The test runner leaves its own line unfinished.
    let line = format!("\n@{line}\n");
    let written = File::from(stdout.unwrap()).write_vectored(&[IoSlice::new(line.as_bytes())]);
    assert_eq!(written.unwrap(), line.len(), "a pipe takes a line whole");
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
        "prepare" => {
            stage.open();
            Verb::parse(rest).prepare(stage);
        }
        "act" => {
            let ended = act(stage, Verb::parse(rest));
            say(&format!("ended {ended}"));
        }
        "go-on" => go_on(stage, Verb::parse(rest)),
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
    let ended = act(stage, verb);
    std::panic::set_hook(quiet);
    if stage.hook.off().is_none() {
        say("unreached");
        return;
    }
    say(&format!("ended {ended}"));
    go_on(stage, verb);
}

/// Runs a verb, and how it ended, in a line.
fn act(stage: &mut Stage, verb: Verb) -> String {
    match catch_unwind(AssertUnwindSafe(|| verb.act(stage))) {
        Err(_) => "panicked".to_owned(),
        Ok(Ok(())) => "well".to_owned(),
        Ok(Err(error)) => convoy_fault::chain(&error).replace('\n', " "),
    }
}

/// A daemon goes on after an error or a panic: the same engine serves the next call.
fn go_on(stage: &mut Stage, verb: Verb) {
    if verb_has_engine(verb) {
        let (volume, probe) = (name("keep"), name("probe"));
        let taken = stage
            .engine()
            .create_snapshot(&volume, Some(&probe), &silent());
        match taken.map_err(|error| convoy_fault::chain(&error)) {
            Ok(_) => delete_snapshot(stage.engine(), "probe"),
            // After an fsync that failed: only an opening shows what is durable.
            Err(refused) if refused.contains(NO_CHANGES) => say(NO_CHANGES),
            Err(refused) => panic!("it does not go on: {refused}"),
        }
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

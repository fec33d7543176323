//! A store that fails by script: for tests of everything that stands on a store.
//!
//! Deterministic: what fails is decided by counting requests, never by chance or time.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::Verb;
use crate::{Counters, Deletion, Error, ErrorKind, Key, ObjectStore, Page, Put, PutMode};

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It fails and has no effect.
    Before(ErrorKind),
    /// It takes effect and fails: with `Unclear`, an answer lost on the way.
    After(ErrorKind),
    /// It and everything later fails without effect, as for a process killed before it.
    KillBefore,
    /// It takes effect; its answer and everything later is lost, as for a process killed after it.
    KillAfter,
    /// A read ends after so many bytes, without an error.
    Truncate(usize),
    /// A read has one bit wrong, counted from the begin and modulo the length.
    Flip(usize),
    /// A read brings the bytes of another object.
    Swap(Key),
    /// A listing lacks what was put through this store after the rule was injected.
    StaleList,
    /// A listing shows nothing, and says that was all.
    EmptyList,
    /// A listing shows the first half, and says that was all.
    PartialList,
    /// A creation replaces what is there and says `Stored`: a store without create-if-absent.
    Overwrites,
}

/// Which requests meet which fault.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Only this verb, or every verb.
    pub verb: Option<Verb>,
    /// Only keys (or listed prefixes) that begin so; empty for all.
    pub prefix: String,
    /// The first that fails among those matching since the rule was injected, from 1.
    pub nth: u64,
    /// How many from there on; `u64::MAX` for all.
    pub times: u64,
    /// What happens to them.
    pub fault: Fault,
}

impl Rule {
    /// The next request of any kind: a begin for struct update syntax.
    pub fn on_any(fault: Fault) -> Self {
        Self {
            verb: None,
            prefix: String::new(),
            nth: 1,
            times: 1,
            fault,
        }
    }
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What was asked.
    pub verb: Verb,
    /// The key, or the prefix of a listing; empty for `sync`.
    pub object: String,
    /// The fault it met.
    pub fault: Option<Fault>,
}

/// Wraps a store and makes chosen requests fail.
#[derive(Debug)]
pub struct FaultStore<S> {
    inner: S,
    script: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    rules: Vec<Armed>,
    log: Vec<Operation>,
    dead: bool,
}

#[derive(Debug)]
struct Armed {
    rule: Rule,
    seen: u64,
    /// The length of the log when the rule was injected.
    since: usize,
}

impl<S: ObjectStore> FaultStore<S> {
    /// Passes everything on, until rules are injected.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            script: Mutex::default(),
        }
    }

    /// Adds a rule. Of several that match one request, the first injected wins.
    pub fn inject(&self, rule: Rule) {
        let mut script = self.script();
        let since = script.log.len();
        script.rules.push(Armed {
            rule,
            seen: 0,
            since,
        });
    }

    /// Removes all rules and lets a killed store answer again, as for a new process.
    pub fn revive(&self) {
        let mut script = self.script();
        script.rules.clear();
        script.dead = false;
    }

    /// Every request so far, in the order of arrival; also those after a kill.
    pub fn log(&self) -> Vec<Operation> {
        self.script().log.clone()
    }

    /// How many requests came so far.
    pub fn operations(&self) -> usize {
        self.script().log.len()
    }

    /// The store behind.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one request under the script; hands back the fault that remains to be acted out.
    fn run<T>(
        &self,
        verb: Verb,
        object: &str,
        effect: impl FnOnce(Option<&Fault>) -> Result<T, Error>,
    ) -> Result<(T, Option<Fault>), Error> {
        let fault = self.script().arrive(verb, object);
        let failed = |kind| Err(Error::new(kind, verb, object, "the scripted store"));
        match &fault {
            Some(Fault::Before(kind)) => return failed(*kind),
            Some(Fault::KillBefore) => return failed(ErrorKind::Unclear),
            _ => {}
        }
        let answer = effect(fault.as_ref());
        match &fault {
            Some(Fault::After(kind)) => failed(*kind),
            Some(Fault::KillAfter) => failed(ErrorKind::Unclear),
            _ => Ok((answer?, fault)),
        }
    }

    fn distort(&self, bytes: Vec<u8>, fault: Option<Fault>) -> Result<Vec<u8>, Error> {
        let mut bytes = bytes;
        match fault {
            Some(Fault::Truncate(length)) => bytes.truncate(length),
            Some(Fault::Flip(bit)) if !bytes.is_empty() => {
                let at = (bit / 8) % bytes.len();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Some(Fault::Swap(other)) => return self.inner.get(&other),
            _ => {}
        }
        Ok(bytes)
    }
}

impl Script {
    fn arrive(&mut self, verb: Verb, object: &str) -> Option<Fault> {
        let mut fault = self.dead.then_some(Fault::KillBefore);
        for armed in self
            .rules
            .iter_mut()
            .filter(|armed| armed.matches(verb, object))
        {
            armed.seen += 1;
            let first = armed.rule.nth;
            if armed.seen >= first && armed.seen - first < armed.rule.times && fault.is_none() {
                fault = Some(armed.rule.fault.clone());
            }
        }
        self.dead |= matches!(fault, Some(Fault::KillBefore | Fault::KillAfter));
        let object = object.to_owned();
        self.log.push(Operation {
            verb,
            object,
            fault: fault.clone(),
        });
        fault
    }

    /// What was put since the oldest rule about stale listings.
    fn hidden(&self) -> Vec<String> {
        let stale = |armed: &&Armed| armed.rule.fault == Fault::StaleList;
        let since = self.rules.iter().find(stale).map_or(0, |armed| armed.since);
        let puts = |operation: &&Operation| matches!(operation.verb, Verb::Put | Verb::PutDeferred);
        self.log
            .iter()
            .skip(since)
            .filter(puts)
            .map(|put| put.object.clone())
            .collect()
    }
}

impl Armed {
    fn matches(&self, verb: Verb, object: &str) -> bool {
        self.rule.verb.is_none_or(|wanted| wanted == verb) && object.starts_with(&self.rule.prefix)
    }
}

impl<S: ObjectStore> ObjectStore for FaultStore<S> {
    fn put(&self, key: &Key, bytes: &[u8], mode: PutMode) -> Result<Put, Error> {
        self.run(Verb::Put, key.as_str(), |fault| match fault {
            Some(Fault::Overwrites) => self.inner.put(key, bytes, PutMode::Overwrite),
            _ => self.inner.put(key, bytes, mode),
        })
        .map(|(put, _)| put)
    }

    fn put_deferred(&self, key: &Key, bytes: &[u8]) -> Result<Put, Error> {
        self.run(Verb::PutDeferred, key.as_str(), |_| {
            self.inner.put_deferred(key, bytes)
        })
        .map(|(put, _)| put)
    }

    fn sync(&self) -> Result<(), Error> {
        self.run(Verb::Sync, "", |_| self.inner.sync())
            .map(|((), _)| ())
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, Error> {
        let (bytes, fault) = self.run(Verb::Get, key.as_str(), |_| self.inner.get(key))?;
        self.distort(bytes, fault)
    }

    fn get_at_most(&self, key: &Key, limit: u64) -> Result<Vec<u8>, Error> {
        let (bytes, fault) = self.run(Verb::Get, key.as_str(), |_| {
            self.inner.get_at_most(key, limit)
        })?;
        self.distort(bytes, fault)
    }

    /// A truncated answer is shorter than asked: the lie this trait forbids, on purpose.
    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let (bytes, fault) = self.run(Verb::GetRange, key.as_str(), |fault| match fault {
            Some(Fault::Swap(other)) => self.inner.get_range(other, range),
            _ => self.inner.get_range(key, range),
        })?;
        self.distort(
            bytes,
            fault.filter(|fault| !matches!(fault, Fault::Swap(_))),
        )
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.run(Verb::Size, key.as_str(), |_| self.inner.size(key))
            .map(|(size, _)| size)
    }

    fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        let (mut page, fault) = self.run(Verb::List, prefix, |_| {
            self.inner.list(prefix, after, limit)
        })?;
        match fault {
            Some(Fault::EmptyList) => return Ok(Page::default()),
            Some(Fault::PartialList) => {
                page.entries.truncate(page.entries.len() / 2);
                page.more = false;
            }
            Some(Fault::StaleList) => {
                let hidden = self.script().hidden();
                page.entries
                    .retain(|entry| !hidden.iter().any(|key| key == entry.key.as_str()));
            }
            _ => {}
        }
        Ok(page)
    }

    fn delete(&self, key: &Key) -> Result<Deletion, Error> {
        self.run(Verb::Delete, key.as_str(), |_| self.inner.delete(key))
            .map(|(found, _)| found)
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }

    fn listing_is_dear(&self) -> bool {
        self.inner.listing_is_dear()
    }
}

#[cfg(test)]
mod tests;

//! The points at which a test may end a verb: before and after every step that changes something.
//!
//! A step is one request to something outside: an ioctl, a transaction of the catalog, an object put, a mount,
//! a program, the guard. All but the last few pass through wrappers, so that a new verb has its points without
//! anybody adding them. Without the feature `failpoints` none of this is there but calls that do nothing.
//! `docs/decisions/0012-failpoints.md` has the reasons.

#[cfg(feature = "failpoints")]
mod control;
#[cfg(feature = "failpoints")]
mod guard;
#[cfg(feature = "failpoints")]
mod store;

use crate::error::Error;
use crate::guard::Guard;
use convoy_fault::Kind;
use convoy_objectstore::ObjectStore;
use convoy_thinpool::Control;
use std::sync::Arc;

/// Where a verb is: before or after a step.
#[cfg(feature = "failpoints")]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// The step, such as `dm.create_snap` or `catalog.intent`.
    pub step: String,
    /// Whether it was done.
    pub done: bool,
}

#[cfg(feature = "failpoints")]
impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = if self.done { "after" } else { "before" };
        write!(f, "{side} {}", self.step)
    }
}

/// Who is told of every point that is reached, by whichever thread reaches it. May end the process, panic
/// or wait there.
#[cfg(feature = "failpoints")]
pub trait Failpoints: Send + Sync {
    /// Whether the step is to fail here: before it is done, or with its answer lost.
    fn reached(&self, point: &Point) -> bool;

    /// Whether the engine is to make this mistake: for tests of tests.
    fn errs(&self, _mistake: Mistake) -> bool {
        false
    }
}

/// A mistake that a test can have the engine make, to see that it is found. Only those that cannot be made from outside,
/// by a device mapper, a machine or a store that misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "failpoints"),
    expect(unreachable_pub, reason = "given out with the feature only")
)]
pub enum Mistake {
    /// Messages are sent to the pool without an intent in the catalog.
    NoIntent,
    /// A backup pins nothing.
    NoPin,
    /// A device id whose device is gone is given again.
    UsedDeviceId,
    /// A backup's base is chosen by the volume's name.
    BaseByName,
    /// Intents that a crash left are not settled at the opening.
    NoSettling,
}

/// The points of one engine.
#[derive(Clone, Default)]
pub(crate) struct Steps {
    #[cfg(feature = "failpoints")]
    pub(crate) hook: Option<Arc<dyn Failpoints>>,
}

impl Steps {
    /// Does a step of ours.
    pub(crate) fn run<T>(
        &self,
        step: &str,
        act: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.around(step, |what| Error::new(Kind::Failed, what), act)
    }

    /// Does a step; `failed` makes its kind of error of what a test wants to have happened.
    #[cfg_attr(
        not(feature = "failpoints"),
        expect(clippy::unused_self, reason = "points are what the feature adds")
    )]
    pub(crate) fn around<T, E>(
        &self,
        step: &str,
        failed: impl Fn(String) -> E,
        act: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        #[cfg(not(feature = "failpoints"))]
        let value = {
            let _unused = (step, failed);
            act()
        };
        #[cfg(feature = "failpoints")]
        let value = {
            self.reached(step, false).map_err(&failed)?;
            let value = act()?;
            self.reached(step, true).map_err(failed)?;
            Ok(value)
        };
        value
    }

    /// Whether to make a mistake; never without the feature.
    #[cfg(feature = "failpoints")]
    pub(crate) fn err(&self, mistake: Mistake) -> bool {
        self.hook.as_ref().is_some_and(|hook| hook.errs(mistake))
    }

    #[cfg(not(feature = "failpoints"))]
    #[expect(clippy::unused_self, reason = "mistakes are what the feature adds")]
    pub(crate) fn err(&self, _mistake: Mistake) -> bool {
        false
    }

    #[cfg(feature = "failpoints")]
    fn reached(&self, step: &str, done: bool) -> Result<(), String> {
        let Some(hook) = &self.hook else {
            return Ok(());
        };
        let point = Point {
            step: step.to_owned(),
            done,
        };
        if hook.reached(&point) {
            return Err(format!("a test wants this to fail {point}"));
        }
        Ok(())
    }
}

#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unused_self, reason = "the wrappers are what the feature adds")]
impl Steps {
    pub(crate) fn control(&self, control: Arc<dyn Control>) -> Arc<dyn Control> {
        control
    }

    pub(crate) fn guard(&self, guard: Arc<dyn Guard>) -> Arc<dyn Guard> {
        guard
    }

    pub(crate) fn store(&self, store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        store
    }
}

#[cfg(feature = "failpoints")]
impl Steps {
    /// Every ioctl that changes something becomes a step.
    pub(crate) fn control(&self, control: Arc<dyn Control>) -> Arc<dyn Control> {
        Arc::new(control::SteppedControl {
            steps: self.clone(),
            control,
        })
    }

    /// Arming and disarming become steps.
    pub(crate) fn guard(&self, guard: Arc<dyn Guard>) -> Arc<dyn Guard> {
        Arc::new(guard::SteppedGuard {
            steps: self.clone(),
            guard,
        })
    }

    /// Every request that changes something becomes a step.
    pub(crate) fn store(&self, store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(store::SteppedStore {
            steps: self.clone(),
            store,
        })
    }
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Steps")
    }
}

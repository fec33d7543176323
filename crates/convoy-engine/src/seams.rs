//! What an engine works through, where the caller has something of its own.

use crate::error::{Doing, Error};
use crate::failpoints::Steps;
use crate::guard::{Guard, Unguarded};
use crate::machine::{Host, Machine};
use convoy_thinpool::{Control, KernelControl};
use std::sync::Arc;

/// The kernel's device mapper, the machine around it, and the guard of an engine.
///
/// Begin with [`Seams::kernel`] or [`Seams::over`], and replace what is to be another.
#[derive(Clone)]
#[non_exhaustive]
pub struct Seams {
    /// Device mapper: the kernel's, or a model of it.
    pub control: Arc<dyn Control>,
    /// Who lets a volume run again if this process dies or stalls while it holds one for a snapshot.
    /// Nobody, by default: a volume that is held then waits for the next opening.
    pub guard: Arc<dyn Guard>,
    /// Devices as bytes, filesystems, mounts and stores: this host's, or a model of them.
    pub machine: Arc<dyn Machine>,
    /// Who hears of every step of every verb, and may end it there.
    #[cfg(feature = "failpoints")]
    pub failpoints: Option<Arc<dyn crate::failpoints::Failpoints>>,
}

impl Seams {
    /// The kernel's device mapper, and no guard.
    ///
    /// # Errors
    /// `Unsupported` where there is no device mapper, `NotPermitted` for who is not root.
    pub fn kernel() -> Result<Self, Error> {
        let control = KernelControl::open().doing(|| "opening the kernel's device mapper")?;
        Ok(Self::over(Arc::new(control)))
    }

    /// A device mapper of the caller's, on this host, and no guard.
    pub fn over(control: Arc<dyn Control>) -> Self {
        Self {
            control,
            guard: Arc::new(Unguarded),
            machine: Arc::new(Host),
            #[cfg(feature = "failpoints")]
            failpoints: None,
        }
    }

    #[cfg(feature = "failpoints")]
    pub(crate) fn steps(&self) -> Steps {
        Steps {
            hook: self.failpoints.clone(),
        }
    }

    #[cfg(not(feature = "failpoints"))]
    #[expect(clippy::unused_self, reason = "steps are what the feature adds")]
    pub(crate) fn steps(&self) -> Steps {
        Steps::default()
    }
}

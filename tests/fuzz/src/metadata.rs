//! Thin metadata: whole images from the test kit's model, with blocks replaced by what the input says.

pub mod check;
pub mod details;
pub mod difference;
mod image;
mod naive;
pub mod node;
pub mod superblock;

use convoy_fault::{Fault, chain};

/// Every error can be told: its chain, kind and hint are made without a panic.
fn tell<E: Fault>(error: &E) {
    assert!(!chain(error).is_empty());
    let _ = error.kind();
    if let Some(hint) = error.hint() {
        assert!(!hint.is_empty());
    }
}

//! What is done to a world of volumes, told line by line, and what that world may hold after a power cut.
//!
//! A line is told when a deed begins and another when it is done, outside of the world that may lose its power:
//! what was told to be done must be there whatever happens later, and what was only begun may be there whole or
//! not at all. Every block that is written says in which deed. All of this is pure, so that the judge itself
//! can be tested; `tests/lab/power*` does the deeds and looks.

mod choice;
mod deed;
mod seen;
mod world;

pub use choice::{BUSY, Dice, choose, toward};
pub use deed::{Deed, Verb};
pub use seen::{Contents, Seen};
pub use world::{BLOCKS, World};

#[cfg(test)]
mod tests;

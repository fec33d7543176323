//! The repository over stores that fail or lie, and the examples of the format document.

mod document;
mod protocol;

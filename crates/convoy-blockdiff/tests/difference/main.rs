//! The difference from outside: against the model, on damaged metadata, and against Debian's tools.

mod answer;
mod damage;
mod model;
mod tools;

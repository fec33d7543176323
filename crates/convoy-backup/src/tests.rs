//! Whole backups over stores that fail, against plain images.

mod damage;
mod faults;
mod history;
mod progress;
mod requests;
mod resume;
mod world;

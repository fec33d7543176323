//! What does a backup look like at rest, and who may change it when.

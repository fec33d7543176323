//! Worlds to test in: thin metadata written from a model, damage, and lab helpers.

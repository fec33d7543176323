//! Carry blocks there and back: the create, restore and verify pipelines.

//! The doctor over files: no kernel, no root.

//! What does the pool's metadata say: a strict, read-only reader of dm-thin metadata.

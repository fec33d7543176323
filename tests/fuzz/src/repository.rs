//! Objects of a repository, with MACs, hashes, lengths and tables made right unless the input says otherwise.

pub mod config;
pub mod envelope;
pub mod log;
pub mod node;
pub mod pack;
pub mod segment;

use convoy_repository::format::{Keys, Secret};
use std::sync::LazyLock;
use uuid::Uuid;

/// The repository that everything here belongs to.
const REPOSITORY: Uuid = Uuid::from_u128(0x0001_0203_0405_4607_8809_0a0b_0c0d_0e0f);
const SECRET: [u8; 32] = [7; 32];
static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::derive(&Secret(SECRET)));

/// Overwrites `bytes` from `at` on, as far as there are any.
fn overwrite(bytes: &mut [u8], at: usize, field: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(field) {
        *to = *from;
    }
}

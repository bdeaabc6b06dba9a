//! Ids of EC2's resources: a prefix and seventeen hexadecimal digits.

use rand::Rng;
use sha2::{Digest, Sha256};

/// A new id, such as `sg-0b1c2d3e4f5061728`.
pub(super) fn fresh(prefix: &str) -> String {
    let tail: u64 = rand::rng().random();
    format!("{prefix}-0{tail:016x}")
}

/// The id of something that every region has from the start. It follows from where it is, so that a
/// configuration that names it survives a reset.
pub(super) fn seeded(prefix: &str, account: &str, region: &str, what: &str) -> String {
    let digest = Sha256::digest(format!("{account}/{region}/{prefix}/{what}"));
    format!("{prefix}-0{}", hex::encode(&digest[..8]))
}

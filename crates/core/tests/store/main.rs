//! The stores and their locks, over answers that get lost, requests that come late and holders that die.
#![expect(clippy::unwrap_used, reason = "tests")]

mod flaky;
mod lease;
mod object;
mod same;

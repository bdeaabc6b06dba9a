//! The engine from outside, with stages that live in memory.
#![expect(clippy::unwrap_used, reason = "tests")]

mod applying;
mod configuration;
mod disk;
mod killed;
mod notifiers;
mod planning;
mod random;
mod redeploying;
mod undoing;
mod world;

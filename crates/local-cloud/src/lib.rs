//! The embedded cloud: an AWS-compatible endpoint with a real data plane, on loopback.
//!
//! Rooms, from the outside in:
//! - [`front`](front): the HTTP endpoint. Finds service, operation, account and region of a request.
//! - `wire`: AWS's protocols. Turns a request into an [`Input`](wire::Input) and an answer into bytes.
//! - `services`: one module per AWS service. Synchronous functions on the world; they never wait.
//! - `world`: what exists, in memory behind one lock, saved to disk, watched by version.
//! - `controllers`: move what exists towards what is desired. They act outside of the lock and
//!   commit what they observed.
//!
//! What carries traffic and runs tasks is the crate `pipeline-data-plane`, which knows nothing of the
//! world.
//!
//! It shares no type with the stages: they meet over HTTP alone.

#![warn(missing_docs)]

mod clock;
mod cloud;
mod controllers;
mod front;
mod services;
mod status;
mod wire;
mod world;

pub use clock::Clock;
pub use cloud::{Cloud, CloudError, CloudOptions, RuntimeChoice};

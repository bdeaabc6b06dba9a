//! What the embedded cloud runs beside its load balancers: tasks, images, a registry, names.
//!
//! Nothing here knows an AWS wire protocol. The control plane tells the data plane what to run, through the few
//! types and traits that its modules export.

#![warn(missing_docs)]

pub mod dns;
pub mod image;
pub mod registry;
pub mod runtime;

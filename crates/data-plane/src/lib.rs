//! The half of the embedded cloud that carries bytes: load balancers, tasks, images, names.
//!
//! Nothing here knows an AWS wire protocol. The control plane tells the data plane what to run and
//! where to route, through the few types and traits that its modules export.

#![warn(missing_docs)]

pub mod balancer;
pub mod dns;
pub mod image;
pub mod registry;
pub mod runtime;

//! What the end-to-end tests, the demo and the benchmarks share: a load generator, an embedded cloud
//! of their own, and the `pipeline` binary as a user calls it.

#![warn(missing_docs)]

pub mod binary;
pub mod cloud;
pub mod dns;
pub mod load;
pub mod python;

pub use binary::{Finished, Pipeline};
pub use cloud::{LocalCloud, LocalCloudOptions};
pub use load::{Load, LoadOptions, LoadSummary};

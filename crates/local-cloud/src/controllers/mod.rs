//! Move what exists towards what is desired.
//!
//! Controllers watch the world, act outside of its lock and commit what they observed.

pub(crate) mod codedeploy;
pub(crate) mod ecs;
pub(crate) mod names;
pub(crate) mod routing;
pub(crate) mod scaling;

//! Plugins that misbehave in every way we could think of: a call ends with an error, and the run rolls back.

mod conformance;
mod lab;
mod loading;
mod panicking;
mod processes;
mod running;

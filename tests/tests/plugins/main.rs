//! Plugins in the real binary: the four examples in one pipeline, notifiers built in and loaded, the lock file, and
//! what `pipeline plugin` makes.

mod examples;
mod notifiers;
mod place;
mod projects;
mod server;
mod trust;

//! Plugins in the real binary: the four examples in one pipeline, notifiers built in and loaded, the lock file, what
//! `pipeline plugin` makes, a stage that works on AWS, and a library that ends the process.

mod access;
mod ending;
mod examples;
mod log_group;
mod notifiers;
mod place;
mod projects;
mod server;
mod trust;

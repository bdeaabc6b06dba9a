//! Where runs keep what they know: one of them at a time, whoever else wants it, stops or fails.

mod bucket;
mod full;
mod lock;
mod many;
mod place;
mod stopped;
mod whose;

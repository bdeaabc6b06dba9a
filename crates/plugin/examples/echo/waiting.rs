//! The echo as a library whose work waits.

mod stage;

pipeline_plugin::export!(|| stage::plugin(true));

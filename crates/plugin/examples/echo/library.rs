//! The echo as a library.

mod stage;

pipeline_plugin::export!(|| stage::plugin(false));

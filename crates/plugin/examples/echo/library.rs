//! The echo as a library, which works on threads of its own.

mod stage;

pipeline_plugin::export!(stage::plugin);

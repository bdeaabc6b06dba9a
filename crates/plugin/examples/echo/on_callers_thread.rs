//! The echo as a library, which works on the thread of its caller.

mod stage;

pipeline_plugin::export!(|| stage::plugin().on_callers_thread());

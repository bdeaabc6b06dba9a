//! A plugin in Rust that panics before it can say what it is; for the tests of this crate.

use pipeline_plugin::Plugin;

fn plugin() -> Plugin {
    panic!("at once")
}

pipeline_plugin::export!(plugin);

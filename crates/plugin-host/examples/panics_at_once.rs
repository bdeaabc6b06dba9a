//! A plugin in Rust that panics before it can say what it is; for the tests of this crate.

use pipeline_plugin::Plugin;

fn plugin() -> Plugin {
    // The tests read the error; what a panic prints would only stand in their way.
    std::panic::set_hook(Box::new(|_| {}));
    panic!("at once")
}

pipeline_plugin::export!(plugin);

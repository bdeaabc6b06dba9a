//! A sample plugin: the stage `log-group` makes a log group and says how long it keeps what is in it.
//!
//! It shows what a stage does that owns something in AWS: it works with the access that its host gives it, finds
//! what it has made by a tag, leaves alone what others made, records each change before it makes it, and can take
//! each of them back, also one that it does not know the outcome of.

#![warn(missing_docs)]

mod group;
mod logs;
mod stage;

use pipeline_plugin::Plugin;

pub use stage::{LogGroupInputs, LogGroupOutputs};

/// The plugin.
pub fn plugin() -> Plugin {
    let summary = "A log group and how long it keeps what is in it";
    Plugin::new("log-group", env!("CARGO_PKG_VERSION")).stage::<LogGroupInputs, LogGroupOutputs>(
        "log-group",
        summary,
        stage::LogGroup,
    )
}

pipeline_plugin::export!(plugin);

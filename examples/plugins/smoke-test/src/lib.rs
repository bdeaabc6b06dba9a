//! A sample plugin: the stage `smoke-test` calls a URL until the answer is as expected, and fails the run
//! if it never is.
//!
//! It is run again when the version that it tests, or the test itself, is another one than before. As a
//! library it is `uses = "./libsmoke_test.so"`, as an executable `uses = "./smoke-test"`.

#![warn(missing_docs)]

mod check;
mod inputs;
mod resolve;
mod stage;

use std::sync::Arc;

use pipeline_plugin::{Manifest, Plugin, StageKind};

pub use inputs::{Checked, SmokeTestInputs, SmokeTestOutputs};

/// The stage kind `smoke-test`.
pub fn kind() -> StageKind {
    let summary = "Calls a URL until the answer is as expected";
    StageKind {
        manifest: Manifest::of::<SmokeTestInputs, SmokeTestOutputs>("smoke-test", summary),
        stage: Arc::new(stage::SmokeTest),
    }
}

/// The plugin.
pub fn plugin() -> Plugin {
    Plugin::new("smoke-test", env!("CARGO_PKG_VERSION")).stage_kind(kind())
}

pipeline_plugin::export!(plugin);

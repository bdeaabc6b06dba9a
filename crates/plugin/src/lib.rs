//! Writes a plugin for `pipeline` in Rust.
//!
//! A stage is a struct, a trait and a macro line; everything that a stage author reads is in
//! [`pipeline_sdk`], which is given again here:
//!
//! ```
//! use pipeline_plugin::{
//!     ApplyError, Context, Done, Inputs, JsonSchema, Outputs, Plugin, Stage, StageError, StagePlan, async_trait, schemars,
//! };
//!
//! struct Nothing;
//!
//! #[derive(JsonSchema)]
//! struct NothingInputs {}
//!
//! #[async_trait]
//! impl Stage for Nothing {
//!     async fn plan(&self, _: &Context, _: &Inputs) -> Result<StagePlan, StageError> {
//!         Ok(StagePlan::default())
//!     }
//!     async fn apply(&self, _: &Context, plan: &StagePlan) -> Result<Outputs, ApplyError> {
//!         Ok(plan.outputs.clone())
//!     }
//!     async fn rollback(&self, _: &Context, _: &[Done]) -> Result<(), StageError> {
//!         Ok(())
//!     }
//! }
//!
//! fn plugin() -> Plugin {
//!     Plugin::new("nothing", "0.1.0").stage::<NothingInputs, NothingInputs>("nothing", "Does nothing", Nothing)
//! }
//!
//! pipeline_plugin::export!(plugin);
//! # fn main() {}
//! ```
//!
//! With `crate-type = ["cdylib"]` this is a library that `uses = "./libnothing.so"` loads. The same plugin as
//! an executable is `fn main() { pipeline_plugin::run(plugin()) }`.
//!
//! A plugin brings its own runtime: its stages and notifiers are called on threads of the plugin, with tokio
//! around them. A `plan` or `rollback` that was quick over and over is begun on the thread of the host and goes on on one
//! of the plugin's once it waits; tokio is around it there too. A panic is an error of the call, not the end of the
//! pipeline.

#![warn(missing_docs)]

mod asking;
pub mod library;
mod message;
mod pace;
mod plugin;
mod session;
mod stdio;

pub use pipeline_sdk::*;
pub use plugin::Plugin;
pub use stdio::run;

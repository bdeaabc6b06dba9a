//! Loads plugins, and lets them take part as stages and notifiers.
//!
//! [`Plugins`] is where a program asks for what `uses = "./plugin.so"` names. A library is loaded into the
//! process or, with `isolation = "process"`, into a child ([`serve`]); an executable is always a child. What
//! is said is the same in all three ([`pipeline_sdk::wire`]); `library` and `process` only carry it.

#![warn(missing_docs)]

mod call;
pub mod check;
mod copy;
mod file;
mod library;
mod link;
mod loaded;
mod lock;
mod notifier;
mod plugins;
mod process;
mod relay;
mod secrets;
mod stage;
mod template;

pub use file::PluginError;
pub use lock::{LockFile, LockState, platform};
pub use plugins::{Listed, Options, Plugins, Trust, is_plugin, kind_of, plugin_of};
pub use relay::serve;
pub use template::{Language, TemplateError, write as write_template};

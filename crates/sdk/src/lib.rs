//! The contract between the engine, the stages and the notifiers.
//!
//! A stage author reads this crate and nothing else: a [`Stage`] plans by reading, applies what its
//! plan said and undoes what it did. Values travel as JSON ([`Value`]); a value that is only known
//! once an upstream stage was applied is *unknown* ([`Unknown`], [`Maybe`]).
//!
//! Everything that crosses the contract is owned and serialisable, so the same types serve stages
//! that are compiled in and stages that are loaded at run time.

#![warn(missing_docs)]

pub mod abi;
mod context;
mod error;
mod event;
mod manifest;
mod name;
mod plan;
mod registry;
mod secret;
mod stage;
mod value;
pub mod wire;

pub use context::{
    Context, ContextParts, HostServices, Mode, NullSink, PipelineId, Prior, ProgressSink, Recorder,
};
pub use error::{ApplyError, NotifyError, StageError, with_causes};
pub use event::{
    Event, EventRecord, Link, Progress, ProgressLevel, RunCommand, RunOutcome, StageOutcome, TrafficShare,
};
pub use manifest::{Manifest, Schema};
pub use name::{InvalidName, ResourceId, RunId, StageName};
pub use plan::{Action, AttributeChange, Change, Done, Inputs, Outputs, Recorded, StagePlan};
pub use registry::{Isolation, KindError, NotifierKind, PluginSource, Registry, StageKind};
pub use secret::Redactor;
pub use stage::{Notifier, NotifierFactory, Stage};
pub use value::{Maybe, Unknown, contains_unknown, is_unknown, unknown_origin};

pub use async_trait::async_trait;
pub use indexmap::IndexMap;
pub use schemars::{self, JsonSchema};
pub use serde_json::{Map, Value, json};
pub use tokio_util::sync::CancellationToken;

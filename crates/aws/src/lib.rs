//! What all AWS stages share: the connection, the resource kit, names, tags and waiting.
//!
//! A stage crate describes its resources ([`Resource`]) and lists them ([`AwsStage`]); [`Kit`] makes
//! a [`Stage`](pipeline_sdk::Stage) of that: plan, apply, rollback, drift and removal, with an intent
//! recorded before every side effect. Requests go through [`Aws`], errors through [`AwsResult`].

#![warn(missing_docs)]

mod access;
mod apply;
mod attributes;
mod calls;
mod connection;
mod diff;
pub mod direct;
mod error;
mod kit;
mod known;
mod look;
pub mod names;
mod plan;
mod reading;
mod resource;
mod role;
mod rollback;
pub mod scaling;
mod step;
mod tags;
pub mod tasks;
pub mod template;
pub mod wait;

pub use access::{Access, Keys, has_no_credentials};
pub use attributes::Attributes;
pub use calls::CallCounts;
pub use connection::{Aws, Settings};
pub use diff::diff;
pub use error::{AwsError, AwsResult};
pub use kit::{AwsStage, Kit};
pub use known::Known;
pub use reading::Reading;
pub use resource::{Ownership, Resource};
pub use role::{ROLE_KIND, Role, RoleSpec};
pub use tags::{Tags, UserTags, changed_tags};

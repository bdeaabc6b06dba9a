//! Inputs before their expressions are evaluated, and evaluating them.

mod engine;
mod reference;
mod scope;
mod template;

pub(crate) use reference::{ROOTS, Reference};
pub(crate) use scope::{OutputsOf, Scope};
pub(crate) use template::{Expression, Template};

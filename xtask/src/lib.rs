//! What the project's own commands share: running programs, and setting up what they need below `target/`.

pub mod docker;
pub mod python;
pub mod release;
pub mod sample;
pub mod schema;
pub mod shell;
pub mod test;

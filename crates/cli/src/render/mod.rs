//! Showing what happens: one stream of events, as text for people or as JSON lines for programs.

mod plan;
mod text;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use pipeline_sdk::EventRecord;

pub(crate) use plan::{Shown, verb, write_plan};
pub(crate) use text::Text;

/// Whether and how standard output is styled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// Colours may be used.
    pub(crate) color: bool,
    /// A line can be redrawn.
    pub(crate) live: bool,
}

impl Style {
    /// What standard output can show, and what the user wants: `NO_COLOR` (no-color.org) turns
    /// colours off.
    pub(crate) fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { color: terminal && !dumb && std::env::var_os("NO_COLOR").is_none(), live: terminal && !dumb }
    }
}

/// Takes events and shows them.
pub(crate) trait Renderer: Send {
    /// Shows one event.
    fn event(&mut self, record: &EventRecord) -> io::Result<()>;
}

/// The events as JSON, one a line: the form of `--json`.
pub(crate) struct JsonLines<W>(pub(crate) W);

impl<W: Write + Send> Renderer for JsonLines<W> {
    fn event(&mut self, record: &EventRecord) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, record)?;
        writeln!(self.0)?;
        self.0.flush()
    }
}

/// A sink that the engine can call from any thread.
pub(crate) fn sink(renderer: Box<dyn Renderer>) -> Arc<dyn Fn(EventRecord) + Send + Sync> {
    let renderer = Mutex::new(renderer);
    Arc::new(move |record| {
        let mut renderer = renderer.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that went away (`pipeline run | head`) must not stop a deployment half way.
        let _ = renderer.event(&record);
    })
}

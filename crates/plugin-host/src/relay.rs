//! The child of `isolation = "process"`: a library behind the messages of an executable.

use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use pipeline_sdk::wire::{MessageType, read_line, write_line};

use crate::library::Loaded;
use crate::link::Transport as _;

/// Loads the library at `path`, and passes messages between it and standard input and output until the input
/// ends. What the library prints goes to standard error.
///
/// # Errors
/// The library cannot be loaded, or the host is gone.
pub fn serve(path: &Path) -> io::Result<()> {
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr().as_fd())?;
    let output = Mutex::new(File::from(output));
    let library = Loaded::load(path).map_err(|(reason, _)| io::Error::other(reason))?;
    let receive = move |message: &[u8]| {
        // That the host is gone shows at the input.
        let _ = write_line(&mut *output.lock().unwrap_or_else(PoisonError::into_inner), message);
    };
    let plugin = library.open(Arc::new(receive)).map_err(io::Error::other)?;
    let mut input = BufReader::new(io::stdin().lock());
    let mut line = Vec::new();
    while read_line(&mut input, &mut line)? {
        // What a message is does not matter here: this thread has nothing else to do.
        match plugin.says_prompt() {
            true => plugin.pass_here(MessageType::Unknown, &line, Instant::now()),
            false => plugin.send(MessageType::Unknown, std::mem::take(&mut line)),
        }
    }
    plugin.close();
    Ok(())
}

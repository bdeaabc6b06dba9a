//! The child of `isolation = "process"`: a library behind the messages of an executable.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use pipeline_sdk::wire::LONGEST_MESSAGE;

use crate::library::Loaded;

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
        let mut line = Vec::with_capacity(message.len() + 1);
        line.extend_from_slice(message);
        line.push(b'\n');
        // That the host is gone shows at the input.
        let _ = output.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
    };
    let plugin = library.open(Arc::new(receive)).map_err(io::Error::other)?;
    let mut input = BufReader::new(io::stdin().lock());
    loop {
        let mut line = Vec::new();
        if input.by_ref().take(LONGEST_MESSAGE as u64 + 2).read_until(b'\n', &mut line)? == 0 {
            plugin.close();
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        plugin.send(line);
    }
}

//! A plugin as an executable: a message a line.

use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use pipeline_sdk::wire::{read_line, write_line};

use crate::plugin::Plugin;
use crate::session::Session;

/// Talks to the host over standard input and output until the host is done.
///
/// What the plugin prints goes to standard error: the host reads it as its log.
pub fn run(plugin: Plugin) {
    if let Err(error) = converse(plugin) {
        eprintln!("the plugin cannot talk to its host: {error}");
        std::process::exit(1);
    }
}

fn converse(plugin: Plugin) -> io::Result<()> {
    let output = Mutex::new(take_stdout()?);
    let send = move |message: &[u8]| {
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        // A host that does not listen any more is noticed by the end of the input.
        let _ = write_line(&mut *output, message);
    };
    let session = Session::start(plugin, Box::new(send))?;
    let mut input = BufReader::new(io::stdin().lock());
    let mut line = Vec::new();
    while read_line(&mut input, &mut line)? {
        session.receive(&line);
    }
    Ok(())
}

/// The standard output, which from now on is standard error for everything else in the process.
fn take_stdout() -> io::Result<File> {
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr().as_fd())?;
    Ok(File::from(output))
}

//! A plugin as an executable: a message a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use pipeline_sdk::wire::LONGEST_MESSAGE;

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
        let mut line = Vec::with_capacity(message.len() + 1);
        line.extend_from_slice(message);
        line.push(b'\n');
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        // A host that does not listen any more is noticed by the end of the input.
        let _ = output.write_all(&line);
    };
    let session = Session::start(plugin, Box::new(send))?;
    let mut input = BufReader::new(io::stdin().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.by_ref().take(LONGEST_MESSAGE as u64 + 2).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.strip_suffix(b"\n").unwrap_or(&line).len() > LONGEST_MESSAGE {
            return Err(io::Error::other("a message is too long"));
        }
        session.receive(&line);
    }
}

/// The standard output, which from now on is standard error for everything else in the process.
fn take_stdout() -> io::Result<File> {
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr().as_fd())?;
    Ok(File::from(output))
}

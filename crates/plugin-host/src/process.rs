//! A plugin in a process of its own: a message a line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use pipeline_sdk::wire::read_line;

use crate::link::{Link, Transport};

/// How long a process may take to end once its output has ended, and how long its log is waited for then: another
/// process may hold its end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The longest line of a plugin's log.
const LONGEST_LINE: usize = 4096;

/// A process that was started.
pub(crate) struct Process {
    messages: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
    child: Arc<Mutex<Child>>,
}

impl Process {
    /// Starts `command`; what it writes goes to `link`.
    pub(crate) fn start(mut command: Command, link: &Arc<Link>) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // An interrupt from the terminal is for the pipeline, which asks the plugin to cancel.
        command.process_group(0);
        let mut child = start(&mut command)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(log)) = pipes else {
            return Err(io::Error::other("it has no pipes"));
        };
        let child = Arc::new(Mutex::new(child));
        let (messages, queue) = mpsc::channel();
        let (logged, log_ends) = mpsc::sync_channel(1);
        thread::Builder::new().name("plugin input".to_owned()).spawn(move || write(input, &queue))?;
        let hears = Arc::clone(link);
        thread::Builder::new().name("plugin log".to_owned()).spawn(move || {
            listen(log, &hears);
            let _ = logged.send(());
        })?;
        let (takes, ended) = (Arc::clone(link), Arc::clone(&child));
        thread::Builder::new().name("plugin output".to_owned()).spawn(move || {
            let problem = read(output, &takes);
            let status = end(&ended);
            // What it said last may say why.
            let _ = log_ends.recv_timeout(LAST_WORDS);
            takes.fail(&problem.unwrap_or_else(|| describe(status)));
        })?;
        Ok(Self { messages: Mutex::new(Some(messages)), child })
    }
}

impl Transport for Process {
    fn send(&self, message: Vec<u8>) {
        if let Some(messages) = &*self.messages.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = messages.send(message);
        }
    }

    fn kill(&self) -> bool {
        kill(&mut lock(&self.child));
        true
    }

    fn close(&self) {
        // The end of its input is what it ends by.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A file that was just written may still be open for writing in a child that another thread is starting; then
/// it cannot be carried out for a moment (ETXTBSY).
fn start(command: &mut Command) -> io::Result<Child> {
    let mut attempts = 0;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && attempts < 100 => {
                attempts += 1;
                thread::sleep(Duration::from_millis(10));
            }
            started => return started,
        }
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(mut input: ChildStdin, queue: &mpsc::Receiver<Vec<u8>>) {
    for mut message in queue {
        message.push(b'\n');
        if input.write_all(&message).is_err() {
            // Its end is noticed where its output ends.
            return;
        }
    }
}

/// Reads messages until there are no more; what was wrong, if that is why.
fn read(output: ChildStdout, link: &Arc<Link>) -> Option<String> {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        match read_line(&mut output, &mut line) {
            Ok(true) => link.receive(&line),
            Ok(false) => return None,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Some(format!("it sent {error}"));
            }
            Err(error) => return Some(format!("its output cannot be read: {error}")),
        }
        if let Some(reason) = link.broken() {
            return Some(reason.to_owned());
        }
    }
}

fn listen(log: ChildStderr, link: &Link) {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    loop {
        line.clear();
        match log.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => link.hear(String::from_utf8_lossy(&line).trim_end().to_owned()),
        }
    }
}

/// A process without its output is of no use. Most often it is about to end, and how is worth knowing.
fn end(child: &Mutex<Child>) -> io::Result<ExitStatus> {
    let deadline = Instant::now() + LAST_WORDS;
    while Instant::now() < deadline {
        if let Some(status) = lock(child).try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    let mut child = lock(child);
    kill(&mut child);
    child.wait()
}

/// Ends a process with those that it has started and that have stayed in its group. One that has ended not
/// killed: its number may be another's by now.
fn kill(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

fn describe(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("it ended before it was done ({status})"),
        Err(error) => format!("it ended before it was done: {error}"),
    }
}

//! A plugin in a process of its own: a message a line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use pipeline_sdk::ProgressLevel;
use pipeline_sdk::wire::{LogLine, MessageType, read_line};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::link::{Link, Transport};

/// How long a process may take to end once its output has ended, and how long its output and its log are waited for
/// once it has ended: another process may hold their ends.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long a process may take to end once its input has ended.
const CLOSING: Duration = Duration::from_secs(2);

/// The longest line of a plugin's log.
const LONGEST_LINE: usize = 4096;

/// A process that was started.
pub(crate) struct Process {
    messages: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
    life: Arc<Life>,
}

impl Process {
    /// Starts `command`; what it writes goes to `link`.
    pub(crate) fn start(mut command: Command, link: &Arc<Link>) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // An interrupt from the terminal is for the pipeline, which asks the plugin to cancel.
        command.process_group(0);
        end_with_this_process(&mut command);
        let (messages, queue) = mpsc::channel();
        let (started, start) = mpsc::sync_channel(1);
        let link = Arc::clone(link);
        // This thread lives as long as the process: the system ends the process with the thread that started it.
        thread::Builder::new().name("plugin process".to_owned()).spawn(move || {
            let begun = spawn(&mut command).and_then(|child| Running::attend(child, queue, &link));
            match begun {
                Ok(running) => {
                    let _ = started.send(Ok(Arc::clone(&running.life)));
                    running.see_out(&link);
                }
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
        let life = start.recv().map_err(io::Error::other)??;
        Ok(Self { messages: Mutex::new(Some(messages)), life })
    }
}

impl Transport for Process {
    fn send(&self, _: MessageType, bytes: Vec<u8>) {
        if let Some(messages) = &*self.messages.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = messages.send(bytes);
        }
    }

    fn kill(&self) -> bool {
        self.life.kill();
        true
    }

    fn close(&self) {
        // The end of its input is what it ends by.
        self.life.closed.store(true, Ordering::SeqCst);
        let open = self.messages.lock().unwrap_or_else(PoisonError::into_inner).take();
        if open.is_some() && !self.life.ends_within(CLOSING) {
            self.life.kill();
        }
    }
}

/// Whether a process is there.
struct Life {
    /// Its group, as long as the number can be nobody else's.
    group: Mutex<Option<Pid>>,
    ended: Condvar,
    /// Whether it was asked to end.
    closed: AtomicBool,
}

impl Life {
    fn of(child: &Child) -> Arc<Self> {
        let group = Mutex::new(Some(Pid::from_child(child)));
        Arc::new(Self { group, ended: Condvar::new(), closed: AtomicBool::new(false) })
    }

    fn group(&self) -> MutexGuard<'_, Option<Pid>> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process with those that it has started and that have stayed in its group.
    fn kill(&self) {
        if let Some(group) = *self.group() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn ends_within(&self, limit: Duration) -> bool {
        let waited = self.ended.wait_timeout_while(self.group(), limit, |group| group.is_some());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_none()
    }

    /// Waits for the end of the process, whose number stays its own.
    fn wait(&self, child: &Child) {
        let pid = Pid::from_child(child);
        while let Err(rustix::io::Errno::INTR) =
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {}
    }

    /// How it ended. Its number may be another's from now on.
    fn bury(&self, mut child: Child) -> io::Result<ExitStatus> {
        *self.group() = None;
        self.ended.notify_all();
        child.wait()
    }
}

/// A process and those who listen to it.
struct Running {
    child: Child,
    life: Arc<Life>,
    /// What was wrong with its output, once that has ended.
    output_ends: mpsc::Receiver<Option<String>>,
    log_ends: mpsc::Receiver<()>,
}

impl Running {
    fn attend(mut child: Child, queue: mpsc::Receiver<Vec<u8>>, link: &Arc<Link>) -> io::Result<Self> {
        let life = Life::of(&child);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(log)) = pipes else {
            return Err(io::Error::other("it has no pipes"));
        };
        let (logged, log_ends) = mpsc::sync_channel(1);
        let (read_all, output_ends) = mpsc::sync_channel(1);
        thread::Builder::new().name("plugin input".to_owned()).spawn(move || write(input, &queue))?;
        let hears = Arc::clone(link);
        thread::Builder::new().name("plugin log".to_owned()).spawn(move || {
            listen(log, &hears);
            let _ = logged.send(());
        })?;
        let (takes, lives) = (Arc::clone(link), Arc::clone(&life));
        thread::Builder::new().name("plugin output".to_owned()).spawn(move || {
            let _ = read_all.send(read(output, &takes));
            // A process without its output is of no use. Most often it is about to end, and how is worth knowing.
            if !lives.ends_within(LAST_WORDS) {
                lives.kill();
            }
        })?;
        Ok(Self { child, life, output_ends, log_ends })
    }

    /// Waits until the process has ended, and says how.
    fn see_out(self, link: &Link) {
        let Self { child, life, output_ends, log_ends } = self;
        life.wait(&child);
        // What it said last may say why.
        let problem = output_ends.recv_timeout(LAST_WORDS).ok().flatten();
        // What it has started goes with it, unless it ends as it was asked to: then it is meant to stay.
        if !life.closed.load(Ordering::SeqCst) {
            life.kill();
        }
        let _ = log_ends.recv_timeout(LAST_WORDS);
        let status = life.bury(child);
        link.fail(&problem.unwrap_or_else(|| describe(status)));
    }
}

/// Has `command` end when this process does, however that ends: what a plugin still did then would be done behind the
/// back of whoever undoes the run.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn end_with_this_process(command: &mut Command) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};
    let host = getpid();
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The host may have ended before the system knew that this is to be told.
        if getppid() == Some(host) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
    };
    // SAFETY: between `fork` and `exec` it makes two system calls, and neither allocates nor locks.
    unsafe { command.pre_exec(prepare) };
}

/// Elsewhere it ends with its input.
#[cfg(not(target_os = "linux"))]
fn end_with_this_process(_: &mut Command) {}

/// A file that was just written may still be open for writing in a child that another thread is starting; then
/// it cannot be carried out for a moment (ETXTBSY).
fn spawn(command: &mut Command) -> io::Result<Child> {
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
            Ok(_) => {
                let message = String::from_utf8_lossy(&line).trim_end().to_owned();
                link.hear(LogLine { level: ProgressLevel::Note, message });
            }
        }
    }
}

fn describe(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("it ended before it was done ({status})"),
        Err(error) => format!("it ended before it was done: {error}"),
    }
}

//! Delivering what a process wrote to its output file.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::super::LogSink;

/// What was delivered is given back to the disk in steps of this size.
const RELEASE: u64 = 1 << 20;
/// A line longer than this is delivered in parts, as Docker's log driver does.
const LONGEST_LINE: usize = 16 << 10;

/// The output file of a container.
pub(super) fn file(dir: &Path, container: &str) -> PathBuf {
    dir.join(format!("{container}.log"))
}

/// A reader at the end of what was delivered, which is remembered beside the file.
pub(super) struct Output {
    file: File,
    position: PathBuf,
    delivered: u64,
    released: u64,
    partial: Vec<u8>,
}

impl Output {
    /// Opens the output of a container; `None` if there is none.
    pub(super) fn open(dir: &Path, container: &str) -> Option<Self> {
        let file = File::options().read(true).write(true).open(file(dir, container)).ok()?;
        let position = dir.join(format!("{container}.position"));
        let delivered = fs::read_to_string(&position).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        Some(Self { file, position, delivered, released: 0, partial: Vec::new() })
    }

    /// Delivers complete lines that were written since the last call; at the end also the rest.
    pub(super) fn deliver(&mut self, log: &dyn LogSink, end: bool) -> std::io::Result<()> {
        let mut fresh = Vec::new();
        self.file.seek(SeekFrom::Start(self.delivered + self.partial.len() as u64))?;
        (&self.file).take(RELEASE).read_to_end(&mut fresh)?;
        if fresh.is_empty() && (!end || self.partial.is_empty()) {
            return Ok(());
        }
        let more = fresh.len() as u64 == RELEASE;
        self.partial.append(&mut fresh);
        let now = Timestamp::now();
        let mut done = 0;
        for line in self.partial.split_inclusive(|byte| *byte == b'\n') {
            let complete = line.ends_with(b"\n") || line.len() > LONGEST_LINE || (end && !more);
            if !complete {
                break;
            }
            for part in line.trim_ascii_end().chunks(LONGEST_LINE) {
                log.line(now, &String::from_utf8_lossy(part));
            }
            done += line.len();
        }
        self.partial.drain(..done);
        self.delivered += done as u64;
        // Losing this write only means that some lines are delivered twice after a restart.
        let _ = fs::write(&self.position, self.delivered.to_string());
        self.release();
        if more { self.deliver(log, end) } else { Ok(()) }
    }

    /// Gives the disk space of delivered output back while the program goes on writing.
    fn release(&mut self) {
        if self.delivered - self.released < RELEASE {
            return;
        }
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Not every file system can; then the file just grows.
            let _ = fallocate(&self.file, hole, 0, self.delivered);
        }
        self.released = self.delivered;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Lines(Mutex<Vec<String>>);

    impl LogSink for Lines {
        fn line(&self, _at: Timestamp, line: &str) {
            self.0.lock().unwrap().push(line.to_owned());
        }
    }

    #[test]
    fn delivers_each_line_once_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), "app");
        let mut writer = File::options().create(true).append(true).open(&path).unwrap();
        let lines = Lines::default();
        let mut output = Output::open(dir.path(), "app").unwrap();
        writer.write_all(b"one\ntw").unwrap();
        output.deliver(&lines, false).unwrap();
        writer.write_all(b"o\r\n").unwrap();
        output.deliver(&lines, false).unwrap();
        drop(output);
        let mut output = Output::open(dir.path(), "app").unwrap();
        writer.write_all(&[b'x'; 3 << 20]).unwrap();
        writer.write_all(b"\nlast").unwrap();
        output.deliver(&lines, false).unwrap();
        output.deliver(&lines, true).unwrap();
        let lines = lines.0.into_inner().unwrap();
        assert_eq!(lines[..2], ["one", "two"]);
        assert_eq!(lines.last().unwrap(), "last");
        assert_eq!(lines[2..lines.len() - 1].iter().map(String::len).sum::<usize>(), 3 << 20);
    }
}

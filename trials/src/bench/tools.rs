//! Programs to compare with, and programs that run for as long as something is measured on them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use xtask::shell::StepError;
use xtask::{docker, python};

/// How long a program may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program `name`. Where this runs as root on Debian or Ubuntu it is installed if it is
/// missing, else the error says what is.
pub(super) fn ensure(name: &str) -> Result<PathBuf, String> {
    if let Some(found) = find(name) {
        return Ok(found);
    }
    if !docker::is_root() || !Path::new("/etc/debian_version").exists() {
        return Err(format!(
            "`{name}` is not installed, and it is installed only as root on Debian or Ubuntu"
        ));
    }
    println!("installing the distribution's {name}");
    python::apt_install(&[name]).map_err(|error| error.to_string())?;
    find(name).ok_or_else(|| format!("the package `{name}` holds no program of that name"))
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps daemons where not everybody's path leads.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// A program in the background; killed when dropped.
pub(super) struct Background {
    child: Child,
    name: String,
}

impl Background {
    /// Starts it, without input and output.
    pub(super) fn start(command: &mut Command) -> Result<Self, StepError> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => Ok(Self { child, name }),
            Err(source) => Err(StepError::Start { program: name, source }),
        }
    }

    /// Waits until something listens on `address`.
    pub(super) fn listens(&mut self, address: SocketAddr) -> Result<(), StepError> {
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            self.check(began)?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Fails if it has ended, or if it was waited for too long.
    pub(super) fn check(&mut self, began: Instant) -> Result<(), StepError> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(StepError::Other(format!("{} ended at once ({status})", self.name)));
        }
        if began.elapsed() > PATIENCE {
            return Err(StepError::Other(format!("{} does not answer", self.name)));
        }
        Ok(())
    }

    /// Memory that it holds, in megabytes. Linux only.
    pub(super) fn memory(&self) -> Result<f64, StepError> {
        let path = PathBuf::from(format!("/proc/{}/status", self.child.id()));
        let status = std::fs::read_to_string(&path).map_err(StepError::file(&path))?;
        let kilobytes = status.lines().find_map(|line| {
            line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()
        });
        kilobytes
            .map(|kilobytes| kilobytes / 1024.0)
            .ok_or_else(|| StepError::Other(format!("no memory in {}", path.display())))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on loopback that is free now.
pub(super) fn free_address() -> Result<SocketAddr, StepError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| StepError::Other(format!("no free port: {error}")))
}

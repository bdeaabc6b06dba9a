//! Starting a program of an unpacked image.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::super::{ContainerSpec, RuntimeError, TaskSpec};
use super::command::{User, below, command_line, environment, join, user};
use super::identity::MARK;
use crate::image::RunConfig;

/// A program, its surroundings and how to start it; started again for each health check.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    root: PathBuf,
    line: Vec<String>,
    environment: Vec<(String, String)>,
    directory: String,
    /// `None` for the user this program runs as.
    user: Option<User>,
}

impl Program {
    /// What `container` of `task` runs.
    pub(super) fn new(
        cloud: &str,
        task: &TaskSpec,
        container: &ContainerSpec,
        image: &RunConfig,
        root: PathBuf,
    ) -> Result<Self, RuntimeError> {
        let cannot =
            |message: String| RuntimeError::CannotCreate { container: container.name.clone(), message };
        let line = command_line(container, image);
        if line.is_empty() {
            return Err(cannot("No command specified in the image or the container definition".to_owned()));
        }
        let wanted = container.user.as_ref().or(image.user.as_ref());
        let user = wanted.map(|text| user(&root, text)).transpose().map_err(cannot)?;
        let extra = vec![
            ("HOST".to_owned(), task.address.to_string()),
            (MARK.to_owned(), format!("{cloud}/{}", task.id)),
        ];
        let directory = container.working_directory.clone().or_else(|| image.working_directory.clone());
        Ok(Self {
            environment: environment(container, image, extra),
            directory: directory.unwrap_or_else(|| "/".to_owned()),
            line,
            user,
            root,
        })
    }

    /// The same surroundings for another command.
    pub(super) fn with_line(&self, line: Vec<String>) -> Self {
        Self { line, ..self.clone() }
    }

    /// Starts it with its output appended to `output`, or thrown away.
    ///
    /// # Errors
    /// The text says what was tried.
    pub(super) fn spawn(&self, output: Option<&Path>) -> Result<Child, String> {
        let program = self.line.first().ok_or("there is no command")?;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => format!("exec: \"{program}\": executable file not found in $PATH"),
            _ => format!("exec: \"{program}\": {error}"),
        };
        let mut command = self.command(program).map_err(failed)?;
        command.args(&self.line[1..]).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).process_group(0);
        match output {
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
                command.stdout(file.try_clone().map_err(failed)?).stderr(file);
            }
            None => {
                command.stdout(Stdio::null()).stderr(Stdio::null());
            }
        }
        command.spawn().map_err(failed)
    }

    /// As root the program sees nothing but its image; otherwise its path is looked up there.
    fn command(&self, program: &str) -> io::Result<Command> {
        if rustix::process::geteuid().is_root() {
            let mut command = Command::new(program);
            confine(&mut command, Confinement::new(self)?);
            return Ok(command);
        }
        let path = self.environment.iter().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value);
        let found = below(&self.root, program, path, &self.directory);
        let mut command = Command::new(found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?);
        let directory = join(&self.root, &self.directory);
        command.current_dir(if directory.is_dir() { directory } else { self.root.clone() });
        Ok(command)
    }
}

/// What a child does between being forked and becoming the program, prepared beforehand.
struct Confinement {
    root: CString,
    /// The working directory after all its ancestors; missing ones are made, as Docker does.
    directories: Vec<CString>,
    user: Option<User>,
}

impl Confinement {
    fn new(program: &Program) -> io::Result<Self> {
        let path = |path: &Path| CString::new(path.as_os_str().as_encoded_bytes()).map_err(io::Error::other);
        let directory = Path::new("/").join(&program.directory);
        let mut directories: Vec<CString> = directory.ancestors().map(path).collect::<Result<_, _>>()?;
        directories.reverse();
        Ok(Self { root: path(&program.root)?, directories, user: program.user })
    }

    /// Only system calls: nothing here may allocate or take a lock.
    fn enter(&self) -> io::Result<()> {
        rustix::process::chroot(self.root.as_c_str())?;
        for directory in &self.directories {
            // It exists, or entering it fails below.
            let _ = rustix::fs::mkdir(directory.as_c_str(), rustix::fs::Mode::from_raw_mode(0o755));
        }
        if let Some(directory) = self.directories.last() {
            rustix::process::chdir(directory.as_c_str())?;
        }
        match self.user {
            Some(user) => become_user(user),
            None => Ok(()),
        }
    }
}

#[expect(unsafe_code, reason = "std has no stable chroot for child processes")]
fn confine(command: &mut Command, confinement: Confinement) {
    // SAFETY: the closure runs in a forked child of a program with several threads, where only
    // async-signal-safe calls are allowed. `enter` makes system calls on memory that was prepared
    // before the fork, and neither allocates nor locks.
    unsafe {
        command.pre_exec(move || confinement.enter());
    }
}

#[expect(unsafe_code, reason = "rustix changes the credentials of one thread only")]
fn become_user(user: User) -> io::Result<()> {
    // SAFETY: these calls take plain integers (and no group list, of length 0); the group is changed
    // first because the right to do so is given up with the user.
    let results =
        unsafe { [libc::setgroups(0, std::ptr::null()), libc::setgid(user.gid), libc::setuid(user.uid)] };
    if results.iter().all(|result| *result == 0) { Ok(()) } else { Err(io::Error::last_os_error()) }
}

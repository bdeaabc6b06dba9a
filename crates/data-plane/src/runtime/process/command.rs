//! What a container runs: the image's configuration with the task definition's changes.

use std::path::{Path, PathBuf};

use super::super::ContainerSpec;
use crate::image::RunConfig;

/// What Docker sets where an image sets nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Program and arguments. As with Docker, an entry point of its own also drops the image's command.
pub(super) fn command_line(container: &ContainerSpec, image: &RunConfig) -> Vec<String> {
    let given = |words: &Option<Vec<String>>| words.clone().filter(|words| !words.is_empty());
    let entry_point = given(&container.entry_point);
    let default = if entry_point.is_some() { Vec::new() } else { image.command.clone() };
    let mut line = entry_point.unwrap_or_else(|| image.entry_point.clone());
    line.extend(given(&container.command).unwrap_or(default));
    line
}

/// The environment: the image's, the container's over it, `extra` over both.
pub(super) fn environment(
    container: &ContainerSpec,
    image: &RunConfig,
    extra: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let mut all = vec![("PATH".to_owned(), DEFAULT_PATH.to_owned())];
    let own = container.environment.iter().map(|(name, value)| (name.clone(), value.clone()));
    for (name, value) in image.environment.iter().cloned().chain(own).chain(extra) {
        match all.iter_mut().find(|(existing, _)| *existing == name) {
            Some(entry) => entry.1 = value,
            None => all.push((name, value)),
        }
    }
    all
}

/// Where `program` is below `root`, for a process that is not confined to it. Searches the `PATH`
/// if it is a bare name.
pub(super) fn below(root: &Path, program: &str, path: &str, directory: &str) -> Option<PathBuf> {
    let candidates: Vec<PathBuf> = if program.starts_with('/') {
        vec![join(root, program)]
    } else if program.contains('/') {
        vec![join(root, directory).join(program)]
    } else {
        path.split(':').map(|dir| join(root, dir).join(program)).collect()
    };
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// `path` of the image as a path of the host.
pub(super) fn join(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// User and group ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Reads `user`, `uid`, `user:group` or `uid:gid`; names are those of the image.
pub(super) fn user(root: &Path, text: &str) -> Result<User, String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let passwd = std::fs::read_to_string(join(root, "/etc/passwd")).unwrap_or_default();
    let groups = std::fs::read_to_string(join(root, "/etc/group")).unwrap_or_default();
    let entry = entry(&passwd, user);
    let uid = user.parse().ok().or_else(|| entry.as_ref()?.get(2)?.parse().ok());
    let uid = uid.ok_or_else(|| format!("unable to find user {user}: no matching entries in passwd file"))?;
    let gid = match group {
        Some(group) => group
            .parse()
            .ok()
            .or_else(|| self::entry(&groups, group)?.get(2)?.parse().ok())
            .ok_or_else(|| format!("unable to find group {group}: no matching entries in group file"))?,
        None => entry.as_ref().and_then(|entry| entry.get(3)?.parse().ok()).unwrap_or(0),
    };
    Ok(User { uid, gid })
}

/// The fields of the line that belongs to `name`, which may be an id.
fn entry<'a>(file: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let mut lines = file.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.first() == Some(&name) || fields.get(2) == Some(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn combines_entry_point_and_command_as_docker() {
        let image = RunConfig { entry_point: words("/e"), command: words("a b"), ..RunConfig::default() };
        let line = |entry_point: Option<&str>, command: Option<&str>| {
            let container = ContainerSpec {
                entry_point: entry_point.map(words),
                command: command.map(words),
                ..ContainerSpec::default()
            };
            command_line(&container, &image).join(" ")
        };
        assert_eq!(line(None, None), "/e a b");
        assert_eq!(line(None, Some("c")), "/e c");
        assert_eq!(line(Some("/f"), None), "/f");
        assert_eq!(line(Some("/f"), Some("c")), "/f c");
        assert_eq!(line(Some(""), Some("")), "/e a b");
    }

    #[test]
    fn later_values_of_a_variable_win() {
        let image = RunConfig {
            environment: vec![("A".into(), "image".into()), ("PATH".into(), "/bin".into())],
            ..RunConfig::default()
        };
        let container = ContainerSpec {
            environment: [("A".to_owned(), "task".to_owned()), ("HOST".to_owned(), "0.0.0.0".to_owned())]
                .into(),
            ..ContainerSpec::default()
        };
        let all = environment(&container, &image, vec![("HOST".into(), "127.0.0.9".into())]);
        assert_eq!(
            all,
            [
                ("PATH".to_owned(), "/bin".to_owned()),
                ("A".to_owned(), "task".to_owned()),
                ("HOST".to_owned(), "127.0.0.9".to_owned()),
            ]
        );
    }

    #[test]
    fn users_are_those_of_the_image() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:10:20::/:/bin/sh\n")
            .unwrap();
        std::fs::write(root.path().join("etc/group"), "web:x:33:\n").unwrap();
        let ids = |text| user(root.path(), text).map(|user| (user.uid, user.gid));
        assert_eq!(ids("app"), Ok((10, 20)));
        assert_eq!(ids("10"), Ok((10, 20)));
        assert_eq!(ids("app:web"), Ok((10, 33)));
        assert_eq!(ids("1000:1000"), Ok((1000, 1000)));
        assert_eq!(ids("1000"), Ok((1000, 0)));
        assert!(ids("nobody").unwrap_err().contains("unable to find user nobody"));
    }
}

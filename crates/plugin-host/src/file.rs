//! The file of a plugin: read once, and used as it was read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pipeline_sdk::StageError;
use sha2::{Digest, Sha256};

use crate::copy::PrivateCopy;

/// Why a plugin cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the plugin {plugin}: {reason}")]
pub struct PluginError {
    /// The plugin, as `uses` names it.
    pub plugin: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub help: String,
}

impl PluginError {
    pub(crate) fn new(plugin: &str, reason: impl Into<String>, help: impl Into<String>) -> Self {
        Self { plugin: plugin.to_owned(), reason: reason.into(), help: help.into() }
    }
}

impl From<PluginError> for StageError {
    fn from(error: PluginError) -> Self {
        let help = Some(error.help.clone()).filter(|help| !help.is_empty());
        StageError::Failed { message: error.to_string(), help, source: None }
    }
}

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Library,
    Executable,
}

/// A plugin's file, as it was when it was read.
pub(crate) struct PluginFile {
    /// As `uses` names it.
    pub(crate) plugin: String,
    pub(crate) path: PathBuf,
    pub(crate) form: Form,
    /// SHA-256, in hexadecimal digits.
    pub(crate) sha256: String,
    bytes: Vec<u8>,
}

impl PluginFile {
    /// Reads `plugin`, a path below `directory` or an absolute one. Nothing of it is carried out.
    pub(crate) fn read(plugin: &str, directory: &Path) -> Result<Self, PluginError> {
        let path = directory.join(plugin);
        let failed = |reason: String, help: &str| PluginError::new(plugin, reason, help);
        let metadata = fs::metadata(&path).map_err(|error| {
            let help = "the path starts at the folder of the pipeline's file; build the plugin first";
            failed(format!("{} cannot be read: {error}", path.display()), help)
        })?;
        if !metadata.is_file() {
            return Err(failed(
                format!("{} is not a file", path.display()),
                "name the file of the plugin itself",
            ));
        }
        let form = form_of(&path);
        if form == Form::Executable && metadata.permissions().mode() & 0o111 == 0 {
            let help = format!("`chmod +x {}`, or name a library that ends with `.so`", path.display());
            return Err(failed("it is neither a library nor executable".to_owned(), &help));
        }
        let bytes = fs::read(&path)
            .map_err(|error| failed(format!("{} cannot be read: {error}", path.display()), ""))?;
        if form == Form::Library {
            check_library(&bytes).map_err(|(reason, help)| failed(reason, help))?;
        }
        let sha256 = hex::encode(Sha256::digest(&bytes));
        Ok(Self { plugin: plugin.to_owned(), path, form, sha256, bytes })
    }

    /// A copy that nobody else can change, of exactly what was hashed: a library's constructors run while it
    /// is loaded, before anything of it could be looked at.
    pub(crate) fn copy(&self) -> Result<PrivateCopy, PluginError> {
        let failed = |error: std::io::Error| {
            let reason = format!("a private copy of it cannot be made: {error}");
            PluginError::new(&self.plugin, reason, "check the folder for temporary files (TMPDIR)")
        };
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        let mode = if self.form == Form::Library { 0o400 } else { 0o500 };
        PrivateCopy::of(&self.bytes, Path::new(name), mode).map_err(failed)
    }
}

fn form_of(path: &Path) -> Form {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("so" | "dylib" | "dll") => Form::Library,
        _ => Form::Executable,
    }
}

/// The `e_machine` of an ELF file for this machine (System V ABI, ELF header).
const MACHINE: Option<u16> = if cfg!(target_arch = "x86_64") {
    Some(62)
} else if cfg!(target_arch = "aarch64") {
    Some(183)
} else {
    None
};

/// Whether the loader could make something of `bytes`; if not, what is wrong and what to do.
fn check_library(bytes: &[u8]) -> Result<(), (String, &'static str)> {
    const REBUILD: &str = "build the plugin for this machine, or take the file that was built for it";
    let elf = bytes.starts_with(b"\x7fELF");
    let mach =
        [[0xcf, 0xfa, 0xed, 0xfe], [0xca, 0xfe, 0xba, 0xbe]].iter().any(|magic| bytes.starts_with(magic));
    match (elf, mach) {
        (false, false) if bytes.starts_with(b"MZ") => Err(("it was built for Windows".to_owned(), REBUILD)),
        (false, false) => {
            Err(("it is no library".to_owned(), "name the library that the build of the plugin made"))
        }
        (true, _) if cfg!(target_os = "macos") => Err(("it was built for Linux".to_owned(), REBUILD)),
        (_, true) if !cfg!(target_os = "macos") => Err(("it was built for macOS".to_owned(), REBUILD)),
        (true, _) => {
            const CUT_OFF: &str = "build the plugin again, or copy it again";
            let cut_off = || ("it is cut off".to_owned(), CUT_OFF);
            let found = bytes.get(18..20).map(|field| u16::from_le_bytes([field[0], field[1]]));
            let found = found.ok_or_else(cut_off)?;
            if MACHINE.is_some_and(|wanted| wanted != found) {
                let built = architecture(found);
                return Err((
                    format!("it was built for {built}, and this is {}", std::env::consts::ARCH),
                    REBUILD,
                ));
            }
            // The machines that are known here have 64 bits.
            let needed = if MACHINE.is_some() { needed_length(bytes).ok_or_else(cut_off)? } else { 0 };
            if (bytes.len() as u64) < needed {
                let reason = format!("it is cut off: it has {} bytes of {needed}", bytes.len());
                return Err((reason, CUT_OFF));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// How long an ELF file of 64 bits is at least, by the tables that say where its parts are; none if they are not there
/// themselves. The loader maps what they name without looking, and whoever reads past the end is killed (SIGBUS).
fn needed_length(bytes: &[u8]) -> Option<u64> {
    let number = |at: u64, length: usize| {
        let at = usize::try_from(at).ok()?;
        let field = bytes.get(at..at.checked_add(length)?)?;
        let mut whole = [0; 8];
        whole[..length].copy_from_slice(field);
        Some(u64::from_le_bytes(whole))
    };
    let table = |start: u64, size: u64, count: u64| start.checked_add(size * count);
    // `e_phoff`, `e_phentsize`, `e_phnum`, and the same of the section headers (System V ABI, ELF header).
    let (segments, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let sections = table(number(40, 8)?, number(58, 2)?, number(60, 2)?)?;
    let mut needed = sections.max(table(segments, size, count)?);
    if (bytes.len() as u64) < needed {
        return Some(needed);
    }
    for segment in 0..count {
        let header = table(segments, size, segment)?;
        // `p_offset` and `p_filesz`.
        let end = number(header.checked_add(8)?, 8)?.checked_add(number(header.checked_add(32)?, 8)?)?;
        needed = needed.max(end);
    }
    Some(needed)
}

fn architecture(machine: u16) -> String {
    match machine {
        3 => "x86".to_owned(),
        40 => "arm".to_owned(),
        62 => "x86_64".to_owned(),
        183 => "aarch64".to_owned(),
        243 => "riscv64".to_owned(),
        other => format!("another machine (ELF number {other})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u16) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(18, 0);
        bytes.extend(machine.to_le_bytes());
        bytes.resize(64, 0);
        bytes
    }

    #[test]
    fn a_library_for_another_machine_is_told_from_one_that_is_none() {
        let reason = |bytes: &[u8]| check_library(bytes).map_err(|(reason, _)| reason);
        let other = if MACHINE == Some(62) { 183 } else { 62 };
        assert!(reason(&elf(other)).unwrap_err().starts_with("it was built for "));
        assert_eq!(reason(b"\x7fELF\x02").unwrap_err(), "it is cut off");
        assert_eq!(reason(b"#!/bin/sh\n").unwrap_err(), "it is no library");
        assert_eq!(reason(b"MZ\x90").unwrap_err(), "it was built for Windows");
        assert!(reason(&elf(MACHINE.expect("a known machine"))).is_ok());
    }

    #[test]
    fn what_the_tables_of_a_library_name_has_to_be_there() {
        let Some(machine) = MACHINE else { return };
        let mut whole = elf(machine);
        // One segment behind the header, whose content is the 100 bytes behind that.
        whole[32] = 64;
        whole[54] = 56;
        whole[56] = 1;
        whole.resize(64 + 56 + 100, 0);
        whole[64 + 8] = 64 + 56;
        whole[64 + 32] = 100;
        assert!(check_library(&whole).is_ok());
        for length in 0..whole.len() {
            let problem = check_library(&whole[..length]);
            assert!(problem.is_err(), "{length}");
            if length >= 64 {
                assert!(problem.is_err_and(|(reason, _)| reason.starts_with("it is cut off")), "{length}");
            }
        }
        // Nonsense is no reason to panic.
        whole[64 + 8..64 + 16].fill(0xff);
        assert_eq!(check_library(&whole).unwrap_err().0, "it is cut off");
    }

    #[test]
    fn the_copy_is_what_was_read_even_if_the_file_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plugin");
        fs::write(&path, "#!/bin/sh\n").expect("written");
        let plain = PluginFile::read("plugin", folder.path()).err().expect("not executable");
        assert!(plain.help.contains("chmod +x"), "{plain:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("changed");
        let file = PluginFile::read("plugin", folder.path()).expect("read");
        fs::write(&path, "something else").expect("written");
        let copy = file.copy().expect("copied");
        assert_eq!(fs::read_to_string(&copy.path).expect("read"), "#!/bin/sh\n");
        assert_eq!(fs::metadata(&copy.path).expect("there").permissions().mode() & 0o777, 0o500);
        assert_eq!(file.sha256, "a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf");
    }
}

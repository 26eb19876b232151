//! Programs that are installed on this machine.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

/// A program on PATH, or in the directories of system programs, which are seldom on it.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Where `initdb`, `pg_ctl` and `postgres` lie together: on PATH, where `pg_config` says, or where
/// Debian puts them.
pub(super) fn postgresql_programs() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    // Links are followed, since `initdb` looks for `postgres` beside itself.
    let on_path = std::env::split_paths(&on_path).filter_map(|directory| {
        let program = directory.join("initdb").canonicalize().ok()?;
        Some(program.parent()?.to_owned())
    });
    let by_config = || {
        let output = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    };
    let debian = || {
        let versions = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten();
        let mut versions: Vec<PathBuf> = versions.map(|version| version.path()).collect();
        let number = |path: &PathBuf| {
            let name = path.file_name().and_then(OsStr::to_str)?;
            name.parse::<u32>().ok()
        };
        versions.sort_by_key(|path| std::cmp::Reverse(number(path)));
        versions.into_iter().map(|version| version.join("bin"))
    };
    on_path
        .chain(std::iter::once_with(by_config).flatten())
        .chain(std::iter::once_with(debian).flatten())
        .find(|directory| {
            ["initdb", "pg_ctl", "postgres"]
                .iter()
                .all(|program| directory.join(program).is_file())
        })
}

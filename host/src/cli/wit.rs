//! What `usher wit` writes: the WIT packages, for the `wit/deps` of another project.

use std::path::Path;

/// The packages, each by the name of its file.
const PACKAGES: [(&str, &str); 12] = [
    ("cli.wit", include_str!("../../../wit/deps/cli.wit")),
    ("clocks.wit", include_str!("../../../wit/deps/clocks.wit")),
    ("config.wit", include_str!("../../../wit/deps/config.wit")),
    (
        "filesystem.wit",
        include_str!("../../../wit/deps/filesystem.wit"),
    ),
    ("http.wit", include_str!("../../../wit/deps/http.wit")),
    ("io.wit", include_str!("../../../wit/deps/io.wit")),
    ("logging.wit", include_str!("../../../wit/deps/logging.wit")),
    ("random.wit", include_str!("../../../wit/deps/random.wit")),
    ("sockets.wit", include_str!("../../../wit/deps/sockets.wit")),
    (
        "usher-database.wit",
        include_str!("../../../wit/deps/usher-database.wit"),
    ),
    (
        "usher-service.wit",
        include_str!("../../../wit/deps/usher-service.wit"),
    ),
    ("usher-users.wit", include_str!("../../../wit/users.wit")),
];

/// Writes the packages to a directory, which is created if it does not exist. Files of the same
/// names are replaced, and others are left as they are.
///
/// # Errors
/// What cannot be written.
pub(super) fn write(directory: &Path) -> Result<(), String> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    for (name, text) in PACKAGES {
        let path = directory.join(name);
        std::fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

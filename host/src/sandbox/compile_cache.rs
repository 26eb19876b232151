//! Compiled components in a directory, so that a component is compiled once.
//!
//! What is read here runs as machine code, outside the sandbox. So a file counts only if it and its
//! directory belong to the user of this process, and nobody else may write to them. The engine
//! refuses code of another version, with other settings or for another processor. An entry that
//! cannot be used costs time alone: the component is compiled again.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ring::digest::{SHA256, digest};

use crate::hexadecimal::hexadecimal;

/// The number of entries that stay; the least recently used is removed first.
const MAX_ENTRIES: usize = 16;

/// The end of an entry's name.
const EXTENSION: &str = "cwasm";

/// Where one compiled component is kept.
#[derive(Debug)]
pub(super) struct Entry {
    directory: PathBuf,
    name: String,
}

impl Entry {
    /// The entry of the component with this digest that `compiler` compiles for this processor.
    pub(super) fn new(directory: &Path, compiler: &Path, component: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        // A compiler that was replaced compiles anew.
        let built = std::fs::metadata(compiler).map_or_else(
            |_| String::new(),
            |program| format!("{} {}", program.len(), program.mtime()),
        );
        let of = format!("{version}\n{}\n{built}\n{component}", processor());
        let hash = digest(&SHA256, of.as_bytes());
        Self {
            directory: directory.to_owned(),
            name: format!("{}.{EXTENSION}", hexadecimal(hash.as_ref())),
        }
    }

    /// The file of the compiled component, if there is one of at most `limit` bytes.
    ///
    /// # Errors
    /// Why it cannot be trusted or read.
    pub(super) fn open(&self, limit: u64) -> Result<Option<File>, String> {
        let directory = match self.directory.metadata() {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", self.directory.display())),
        };
        trust(&self.directory, &directory)?;
        let path = self.path();
        let broken = |error: io::Error| format!("{}: {error}", path.display());
        let link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(link).open(&path);
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(broken(error)),
        };
        let metadata = file.metadata().map_err(broken)?;
        trust(&path, &metadata)?;
        if !metadata.is_file() || metadata.len() > limit {
            return Err(format!("{} is no compiled component", path.display()));
        }
        // The order in which entries are removed is no reason not to use this one.
        file.set_modified(SystemTime::now()).ok();
        Ok(Some(file))
    }

    /// Keeps a compiled component, and removes what was not used for longest.
    ///
    /// # Errors
    /// Why it cannot be kept.
    pub(super) fn write(&self, code: &[u8]) -> Result<(), String> {
        let broken = |error: io::Error| format!("{}: {error}", self.directory.display());
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.directory).map_err(broken)?;
        trust(&self.directory, &self.directory.metadata().map_err(broken)?)?;
        // Under another name first, so that nobody reads a part of it.
        let temporary = self.directory.join(format!("{}.new", std::process::id()));
        let written = write_synced(&temporary, code)
            .and_then(|()| std::fs::rename(&temporary, self.path()))
            .and_then(|()| remove_oldest(&self.directory));
        if written.is_err() {
            // It may be renamed already.
            std::fs::remove_file(&temporary).ok();
        }
        written.map_err(broken)
    }

    fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }
}

/// Fails unless a file or directory belongs to this process's user, and others cannot write to it.
fn trust(path: &Path, found: &Metadata) -> Result<(), String> {
    let (owner, user) = (found.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Err(format!(
            "{} belongs to user {owner}, and this program runs as {user}",
            path.display()
        ));
    }
    if found.mode() & 0o022 != 0 {
        return Err(format!(
            "others may write to {}: chmod go-w it",
            path.display()
        ));
    }
    Ok(())
}

fn write_synced(path: &Path, code: &[u8]) -> io::Result<()> {
    // One that is there was left by a process of the same number, which has ended.
    std::fs::remove_file(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(code)?;
    file.sync_all()
}

fn remove_oldest(directory: &Path) -> io::Result<()> {
    let mut entries = Vec::new();
    for entry in directory.read_dir()? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|end| end == EXTENSION) {
            entries.push((entry.metadata()?.modified()?, path));
        }
    }
    entries.sort();
    let surplus = entries.len().saturating_sub(MAX_ENTRIES);
    for (_, path) in entries.into_iter().take(surplus) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// What of this processor the compiler makes use of.
fn processor() -> String {
    let mut features = String::from(std::env::consts::ARCH);
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! add {
            ($($feature:tt)*) => {$(
                if std::arch::is_x86_feature_detected!($feature) {
                    features.push(' ');
                    features.push_str($feature);
                }
            )*};
        }
        add!("sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt"
             "cmpxchg16b" "avx512f" "avx512dq" "avx512vl" "avx512vbmi" "avx512bitalg");
    }
    #[cfg(target_arch = "aarch64")]
    {
        macro_rules! add {
            ($($feature:tt)*) => {$(
                if std::arch::is_aarch64_feature_detected!($feature) {
                    features.push(' ');
                    features.push_str($feature);
                }
            )*};
        }
        add!("lse" "paca" "pacg" "fp16");
    }
    features
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const LIMIT: u64 = 1 << 20;

    /// A directory that is removed when this is dropped.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("usher-cache-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn entry(&self, component: &str) -> Entry {
            Entry::new(&self.0, Path::new("/bin/sh"), component)
        }

        fn set_mode(path: &Path, mode: u32) {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
                .expect("its mode");
        }
    }

    /// What an entry holds.
    fn read(entry: &Entry) -> Result<Option<Vec<u8>>, String> {
        let file = entry.open(LIMIT)?;
        Ok(file.map(|mut file| {
            let mut code = Vec::new();
            file.read_to_end(&mut code).expect("it can be read");
            code
        }))
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn entry_is_read_as_written_by_its_own_component_alone() {
        let scratch = Scratch::new("read");
        let entry = scratch.entry("one");
        assert_eq!(read(&entry), Ok(None));
        entry.write(b"code").expect("it is written");
        assert_eq!(read(&entry), Ok(Some(b"code".to_vec())));
        entry.write(b"other code").expect("it is replaced");
        assert_eq!(
            read(&scratch.entry("one")),
            Ok(Some(b"other code".to_vec()))
        );
        assert_eq!(read(&scratch.entry("two")), Ok(None));
        let by_another = Entry::new(&scratch.0, Path::new("/nonexistent"), "one");
        assert_eq!(read(&by_another), Ok(None));
        let mode = |path: &Path| path.metadata().expect("it is there").mode() & 0o777;
        assert_eq!((mode(&scratch.0), mode(&entry.path())), (0o700, 0o600));
    }

    #[test]
    fn entry_that_others_may_write_is_refused() {
        let scratch = Scratch::new("file");
        let entry = scratch.entry("one");
        entry.write(b"code").expect("it is written");
        Scratch::set_mode(&entry.path(), 0o620);
        let error = entry.open(LIMIT).expect_err("its group may write");
        assert!(error.contains("chmod go-w"), "{error}");
    }

    #[test]
    fn directory_that_others_may_write_is_refused() {
        let scratch = Scratch::new("directory");
        let entry = scratch.entry("one");
        entry.write(b"code").expect("it is written");
        Scratch::set_mode(&scratch.0, 0o777);
        assert!(
            entry
                .open(LIMIT)
                .expect_err("all may write")
                .contains("chmod go-w")
        );
        assert!(
            entry
                .write(b"code")
                .expect_err("all may write")
                .contains("chmod go-w")
        );
    }

    #[test]
    fn entry_that_is_a_link_or_too_large_is_refused() {
        let scratch = Scratch::new("link");
        let (entry, other) = (scratch.entry("one"), scratch.entry("two"));
        other.write(b"code").expect("it is written");
        std::os::unix::fs::symlink(other.path(), entry.path()).expect("a link");
        entry.open(LIMIT).expect_err("it is a link");
        other.open(3).expect_err("it is too large");
    }

    #[test]
    fn least_recently_used_entries_are_removed() {
        let scratch = Scratch::new("oldest");
        let entry = |number: usize| scratch.entry(&number.to_string());
        let began = SystemTime::now() - std::time::Duration::from_secs(1000);
        for number in 0..MAX_ENTRIES {
            entry(number).write(b"code").expect("it is written");
            let file = File::open(entry(number).path()).expect("it is there");
            let seconds = u64::try_from(number).expect("a small number");
            let modified = began + std::time::Duration::from_secs(seconds);
            file.set_modified(modified).expect("its time");
        }
        assert!(entry(0).open(LIMIT).expect("it is trusted").is_some());
        entry(MAX_ENTRIES).write(b"code").expect("it is written");
        let has = |number| entry(number).open(LIMIT).expect("it is trusted").is_some();
        assert!(has(0) && !has(1) && has(2) && has(MAX_ENTRIES));
    }
}

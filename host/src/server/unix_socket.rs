//! The file of a Unix socket: its mode, and what a process that was killed has left.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// Device and inode, and when it changed last: a number of an inode is used again.
type Identity = (u64, u64, i64, i64);

/// The file of a socket, removed when it is dropped, unless it has been replaced.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Option<Identity>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some()
            && identity(&self.path) == self.identity
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!("the socket {} stays behind: {error}", self.path.display());
        }
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let file = std::fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.ctime(), file.ctime_nsec()))
}

/// Binds a socket to a path. A socket there on which nothing listens any more is replaced.
pub(super) fn bind(path: &Path, mode: u32) -> io::Result<(Socket, SocketFile)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before it listens.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path),
    };
    Ok((socket, file))
}

/// Listens on a bound socket.
pub(super) fn listen(socket: &Socket, backlog: u32) -> io::Result<()> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let file = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !file.file_type().is_socket() {
        let text = "there is a file that is no socket: choose another path, or remove it";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => {
            let text = "another program listens there: stop it, or choose another path";
            Err(io::Error::other(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_file_that_has_been_replaced_is_not_removed() {
        let folder = std::env::temp_dir().join(format!("usher-socket-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("socket");
        let (socket, file) = bind(&path, 0o600).expect("a socket");
        let mode = std::fs::metadata(&path).expect("its file").mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        // The clock of the file system may have a coarse grain.
        std::thread::sleep(std::time::Duration::from_millis(20));
        // Nothing listens on it, so it is stale.
        let (_other, other_file) = bind(&path, 0o600).expect("another socket");
        drop(file);
        assert!(path.exists());
        drop(other_file);
        assert!(!path.exists());
        std::fs::write(&path, "no socket").expect("a file");
        let error = bind(&path, 0o600).expect_err("there is a file");
        assert!(error.to_string().contains("no socket"), "{error}");
        std::fs::remove_dir_all(&folder).expect("the folder");
    }
}

//! Tells the service manager when the server is ready and when it ends (`sd_notify(3)`).

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The server accepts connections.
pub(super) fn ready() {
    notify("READY=1");
}

/// The server ends.
pub(super) fn stopping() {
    notify("STOPPING=1");
}

fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else {
        return;
    };
    let sent = address(socket.as_encoded_bytes()).and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        socket.send_to_addr(state.as_bytes(), &address)
    });
    if let Err(error) = sent {
        tracing::warn!("the service manager was not told {state} (NOTIFY_SOCKET): {error}");
    }
}

/// A path, or a name of the abstract namespace after `@`.
fn address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(OsStr::from_bytes(name))
}

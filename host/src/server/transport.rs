//! What a client's connection is made of, beside bytes: how much of what is written may wait in the system, how it is closed, and
//! who is at its other end.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd as _};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;

/// Bytes of one connection that may wait in the system to be sent, beside those that the client has room for.
///
/// Without a bound the system takes megabytes for a client that reads slowly, and accepts no more for minutes: whether the client
/// goes on could not be told by its taking something. Half of it is what a client takes between two writes.
static UNSENT: libc::c_int = 64 << 10;

/// Bounds what waits to be sent by a listener's connections.
///
/// # Errors
/// Where the system knows no such bound.
#[expect(
    unsafe_code,
    reason = "no safe wrapper sets this option: the argument stands at the call"
)]
pub(crate) fn bound_unsent(listener: &impl AsFd) -> io::Result<()> {
    let fd = listener.as_fd();
    let size = libc::socklen_t::try_from(size_of_val(&UNSENT)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open while it is borrowed, and the system reads an integer of this size from this place, which
    // lives as long as the program.
    let outcome = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const UNSENT).cast(),
            size,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A client's connection.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Whether from now on a close is a reset, whoever closes it, also the system at the end of the process.
    fn reset_on_close(&self, resets: bool);

    /// Who is at the other end, where that is not this program itself.
    fn peer(&self) -> Option<IpAddr>;
}

impl Transport for TcpStream {
    fn reset_on_close(&self, resets: bool) {
        let linger = resets.then_some(std::time::Duration::ZERO);
        if let Err(error) = socket2::SockRef::from(self).set_linger(linger) {
            // A connection that is gone already, for one, has nobody left to tell.
            tracing::debug!("how a connection is closed could not be set: {error}");
        }
    }

    fn peer(&self) -> Option<IpAddr> {
        // Without an address it is nobody's who is trusted.
        let unknown = IpAddr::from([0; 4]);
        Some(self.peer_addr().map_or(unknown, |address| address.ip()))
    }
}

impl Transport for DuplexStream {
    fn reset_on_close(&self, _: bool) {}

    fn peer(&self) -> Option<IpAddr> {
        None
    }
}

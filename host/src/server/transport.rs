//! The transport of a client's connection: the bound on unsent data, how it is closed, and the
//! peer's address.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// Unsent bytes that the system may buffer for a connection, beyond those for which the client has
/// room.
///
/// Without a bound the system buffers megabytes for a client that reads slowly, and accepts no more
/// for minutes, so the server could not see the client's progress. With it, a client has read half
/// of the bound between two writes.
static UNSENT: libc::c_int = 64 << 10;

/// Bounds the unsent data of a listener's connections.
///
/// # Errors
/// If the system does not support the option.
#[expect(
    unsafe_code,
    reason = "no safe wrapper sets this option: the argument stands at the call"
)]
pub(crate) fn bound_unsent(listener: &impl AsFd) -> io::Result<()> {
    let fd = listener.as_fd();
    let size = libc::socklen_t::try_from(size_of_val(&UNSENT)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open while it is borrowed, and the system reads an integer of this
    // size from this static.
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

/// Lets no new connection to a listener begin. Those that have begun are not affected; clients try
/// again for a second and more, and find the listener closed or another process.
///
/// # Errors
/// If the system does not support it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn refuse_new(listener: &impl AsFd) -> io::Result<()> {
    use socket2::SockFilter;

    /// The place of the flags in a TCP header, and SYN and ACK among them (RFC 9293, 3.1).
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    let [load, and, equals, give] = [
        libc::BPF_LD | libc::BPF_B | libc::BPF_ABS,
        libc::BPF_ALU | libc::BPF_AND | libc::BPF_K,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    ]
    .map(|code| u16::try_from(code).unwrap_or_default());
    // Drops a segment that has SYN and not ACK, and lets all others pass.
    socket2::SockRef::from(listener).attach_filter(&[
        SockFilter::new(load, 0, 0, FLAGS),
        SockFilter::new(and, 0, 0, SYN | ACK),
        SockFilter::new(equals, 0, 1, SYN),
        SockFilter::new(give, 0, 0, 0),
        SockFilter::new(give, 0, 0, u32::MAX),
    ])
}

/// Other systems have no such filter.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn refuse_new(_: &impl AsFd) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A client's connection.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Sets whether every close is a reset from now on, even that by the system when the process
    /// ends.
    fn reset_on_close(&self, resets: bool);

    /// The error that the connection has had since the last call, such as a reset.
    fn take_error(&self) -> Option<io::Error>;

    /// The peer's address; `None` for a connection from within the program.
    fn peer(&self) -> Option<IpAddr>;

    /// Whether nobody between can read it.
    fn is_encrypted(&self) -> bool;
}

impl Transport for TcpStream {
    fn reset_on_close(&self, resets: bool) {
        let linger = resets.then_some(std::time::Duration::ZERO);
        if let Err(error) = socket2::SockRef::from(self).set_linger(linger) {
            // For example, the connection has ended.
            tracing::debug!("the linger option of a connection could not be set: {error}");
        }
    }

    fn take_error(&self) -> Option<io::Error> {
        Self::take_error(self).unwrap_or_else(Some)
    }

    fn peer(&self) -> Option<IpAddr> {
        // A peer of unknown address is not trusted.
        let unknown = IpAddr::from([0; 4]);
        Some(self.peer_addr().map_or(unknown, |address| address.ip()))
    }

    fn is_encrypted(&self) -> bool {
        false
    }
}

impl Transport for DuplexStream {
    fn reset_on_close(&self, _: bool) {}

    fn take_error(&self) -> Option<io::Error> {
        None
    }

    fn peer(&self) -> Option<IpAddr> {
        None
    }

    fn is_encrypted(&self) -> bool {
        false
    }
}

/// A connection of a listener. One type for all, because HTTP is compiled once for each.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Socket {
    /// The connection of TCP, below TLS.
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Unix(_) => None,
        }
    }
}

/// A connection that was accepted and belongs to no runtime yet.
#[derive(Debug)]
pub(super) enum Incoming {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Incoming {
    /// The connection on this runtime.
    pub(super) fn register(self) -> io::Result<Socket> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(Socket::Tcp),
            Self::Unix(stream) => UnixStream::from_std(stream).map(Socket::Unix),
        }
    }
}

/// Calls a function of the stream below.
macro_rules! delegate {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket.get_mut() {
            Socket::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Socket::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
            Socket::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        // That of every kind.
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_shutdown(cx))
    }
}

impl Transport for Socket {
    fn reset_on_close(&self, resets: bool) {
        // A Unix socket has no reset.
        if let Some(stream) = self.tcp() {
            stream.reset_on_close(resets);
        }
    }

    fn take_error(&self) -> Option<io::Error> {
        match self {
            Self::Unix(stream) => stream.take_error().unwrap_or_else(Some),
            _ => self.tcp().and_then(Transport::take_error),
        }
    }

    fn peer(&self) -> Option<IpAddr> {
        match self.tcp() {
            Some(stream) => stream.peer(),
            // A program on this machine.
            None => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        }
    }

    fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

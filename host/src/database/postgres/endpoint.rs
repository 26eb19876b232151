//! One address of one server, and how a session is made there: socket, TLS, start-up, and whether
//! it is the kind that is wanted.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect as _};
use tokio_postgres::{Client, Connection, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::cause::Cause;
use super::guard::{Made, Stream, Way};
use super::messages::{Followed, Naming, Watch};
use super::traffic::Traffic;
use crate::database::libpq::{Keepalive, Secret, TlsMode, Wanted};

/// Asks for TLS (PostgreSQL, 54.7, SSLRequest): its length, and a number that is no protocol
/// version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// One address of one of the servers that the URL names.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    /// What its certificate is to be for.
    pub(super) name: String,
    pub(super) password: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// The socket in a directory, or in Linux' own name space where the name begins with `@`.
    pub(super) fn socket(directory: &Path, port: u16) -> Self {
        let file = directory.join(format!(".s.PGSQL.{port}"));
        let text = file.to_str().and_then(|text| text.strip_prefix('@'));
        match text {
            Some(name) => Self::Unix(PathBuf::from(format!("\0{name}"))),
            None => Self::Unix(file),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(file) => f.write_str(&file.to_string_lossy().replace('\0', "@")),
        }
    }
}

/// How sessions are made, wherever the server is.
pub(super) struct Means {
    pub(super) tls: MakeRustlsConnect,
    pub(super) mode: TlsMode,
    /// Whether TLS begins without being asked for.
    pub(super) direct: bool,
    pub(super) keepalive: Keepalive,
    pub(super) tcp_user_timeout: Duration,
    /// The largest message, in bytes.
    pub(super) limit: u64,
    pub(super) wanted: Wanted,
    /// Whether sessions are told to be read-only, so that this says nothing of the server.
    pub(super) read_only: bool,
}

/// Whether the bytes are encrypted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Never,
    WhereOffered,
    Always,
}

/// What drives a session.
pub(super) type Driver = Connection<Followed<Stream>, Followed<Stream>>;

/// A session that was made.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) connection: Driver,
    pub(super) traffic: Arc<Traffic>,
    pub(super) watch: Arc<Watch>,
    /// Whether the server is of the kind that is preferred, and not only one that will do.
    pub(super) is_preferred: bool,
}

impl Endpoint {
    /// Makes a session.
    pub(super) async fn attempt(
        &self,
        means: &Means,
        session: &tokio_postgres::Config,
        naming: Naming,
    ) -> Result<Session, Cause> {
        // libpq takes no notice of `sslmode` on a Unix socket either: nobody is in between.
        let ways: &[Encryption] = match (&self.address, means.mode) {
            (Address::Unix(_), _) | (_, TlsMode::Disable) => &[Encryption::Never],
            (_, TlsMode::Allow) => &[Encryption::Never, Encryption::Always],
            (_, TlsMode::Prefer) => &[Encryption::WhereOffered, Encryption::Never],
            _ => &[Encryption::Always],
        };
        let [first, others @ ..] = ways else {
            return Err(Cause::NoTls);
        };
        let failed = match self.start(means, session, naming, *first).await {
            Err(cause) if cause.may_pass_otherwise_encrypted() => cause,
            ended => return ended,
        };
        match others {
            [other] => match self.start(means, session, naming, *other).await {
                Err(_) if means.mode == TlsMode::Prefer => Err(failed),
                Err(Cause::NoTls) => Err(failed),
                ended => ended,
            },
            _ => Err(failed),
        }
    }

    async fn start(
        &self,
        means: &Means,
        session: &tokio_postgres::Config,
        naming: Naming,
        encryption: Encryption,
    ) -> Result<Session, Cause> {
        let way = self.open(means, encryption).await?;
        let traffic = Arc::<Traffic>::default();
        let watch = Arc::<Watch>::default();
        let stream = Stream::new(way, means.limit, Arc::clone(&traffic));
        let stream = Followed::new(stream, naming, Arc::clone(&watch));
        let mut config = session.clone();
        if let Some(password) = &self.password {
            config.password(password.reveal());
        }
        // TLS has been made by now, or is not to be made: the library asks the stream for its
        // channel binding either way.
        config.ssl_mode(SslMode::Require);
        config.ssl_negotiation(SslNegotiation::Direct);
        let (client, mut connection) = config
            .connect_raw(stream, Made)
            .await
            .map_err(Cause::Postgres)?;
        let is_preferred = means.check(&client, &mut connection).await?;
        Ok(Session {
            client,
            connection,
            traffic,
            watch,
            is_preferred,
        })
    }

    /// Opens a stream for a cancel request, protected as the session is that it is about.
    pub(super) async fn open_to_cancel(&self, means: &Means) -> Result<Stream, Cause> {
        let encryption = match (&self.address, means.mode) {
            (Address::Unix(_), _) | (_, TlsMode::Disable | TlsMode::Allow) => Encryption::Never,
            (_, TlsMode::Prefer) => Encryption::WhereOffered,
            _ => Encryption::Always,
        };
        let way = self.open(means, encryption).await?;
        Ok(Stream::new(way, means.limit, Arc::default()))
    }

    /// Whether the server says anything at all, be it no.
    pub(super) async fn answers(&self) -> io::Result<()> {
        let mut answer = [0];
        let bytes = match &self.address {
            Address::Tcp(address) => {
                let mut stream = TcpStream::connect(address).await?;
                stream.write_all(&SSL_REQUEST).await?;
                stream.read(&mut answer).await?
            }
            Address::Unix(file) => {
                let mut stream = UnixStream::connect(file).await?;
                stream.write_all(&SSL_REQUEST).await?;
                stream.read(&mut answer).await?
            }
        };
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    async fn open(&self, means: &Means, encryption: Encryption) -> Result<Way, Cause> {
        let address = match &self.address {
            Address::Unix(file) => {
                let stream = UnixStream::connect(file).await.map_err(Cause::Io)?;
                return Ok(Way::Unix(stream));
            }
            Address::Tcp(address) => address,
        };
        let mut stream = TcpStream::connect(address).await.map_err(Cause::Io)?;
        means.set_up(&stream).map_err(Cause::Io)?;
        if encryption == Encryption::Never {
            return Ok(Way::Tcp(stream));
        }
        if !means.direct {
            stream.write_all(&SSL_REQUEST).await.map_err(Cause::Io)?;
            match stream.read_u8().await.map_err(Cause::Io)? {
                b'S' => {}
                b'N' if encryption == Encryption::Always => return Err(Cause::NoTls),
                b'N' => return Ok(Way::Tcp(stream)),
                // An error before anything was negotiated is nothing to rely on.
                b'E' => return Err(Cause::Io(io::ErrorKind::ConnectionAborted.into())),
                _ => return Err(Cause::Stranger),
            }
        }
        let Ok(tls) =
            MakeTlsConnect::<TcpStream>::make_tls_connect(&mut means.tls.clone(), &self.name);
        let stream = tls.connect(stream).await.map_err(Cause::Tls)?;
        Ok(Way::Tls(Box::new(stream)))
    }
}

impl Means {
    /// Has the operating system notice a server that has vanished.
    fn set_up(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let timeout = u32::try_from(self.tcp_user_timeout.as_millis()).unwrap_or(u32::MAX);
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(stream, timeout)?;
        #[cfg(not(target_os = "linux"))]
        let _ = timeout;
        if self.keepalive.is_on {
            sockopt::set_socket_keepalive(stream, true)?;
            if let Some(idle) = self.keepalive.idle {
                sockopt::set_tcp_keepidle(stream, idle)?;
            }
            if let Some(interval) = self.keepalive.interval {
                sockopt::set_tcp_keepintvl(stream, interval)?;
            }
            if let Some(count) = self.keepalive.count {
                sockopt::set_tcp_keepcnt(stream, count)?;
            }
        }
        Ok(())
    }

    /// Whether the server is of the kind that is wanted and, where another will do, of the one that
    /// is preferred.
    async fn check(&self, client: &Client, connection: &mut Driver) -> Result<bool, Cause> {
        let wanted = match self.wanted {
            Wanted::Any => return Ok(true),
            Wanted::ReadWrite if self.read_only => Wanted::Primary,
            wanted => wanted,
        };
        // Reported from version 14 on, but not by what stands in between.
        let standby = is_on(connection, "in_hot_standby");
        let read_only = is_on(connection, "default_transaction_read_only");
        let is_standby = match standby {
            Some(known) => known,
            None => ask(client, connection, "SELECT pg_catalog.pg_is_in_recovery()").await?,
        };
        let is_read_only = match (standby, read_only) {
            (Some(standby), Some(read_only)) => standby || read_only,
            _ => ask(client, connection, "SHOW transaction_read_only").await?,
        };
        match wanted {
            Wanted::ReadWrite if is_read_only => Err(Cause::Unfit("it takes no writes")),
            Wanted::ReadOnly if !is_read_only => Err(Cause::Unfit("it takes writes")),
            Wanted::Primary if is_standby => Err(Cause::Unfit("it is a standby")),
            Wanted::Standby if !is_standby => Err(Cause::Unfit("it is no standby")),
            Wanted::PreferStandby => Ok(is_standby),
            _ => Ok(true),
        }
    }
}

/// What the server has reported of a setting.
fn is_on(connection: &Driver, name: &str) -> Option<bool> {
    connection.parameter(name).map(|value| value == "on")
}

/// Asks something that is answered by on or off, true or false.
async fn ask(client: &Client, connection: &mut Driver, question: &str) -> Result<bool, Cause> {
    let answer = tokio::select! {
        answer = client.simple_query(question) => answer.map_err(Cause::Postgres)?,
        // Nobody drives the connection yet; it ends only where it is lost.
        ended = connection => {
            ended.map_err(Cause::Postgres)?;
            return Err(Cause::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    };
    let answer = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(matches!(answer, Some("on" | "t")))
}

//! One address of one server, and how a session is started there: socket, TLS, start-up message,
//! and the check of `target_session_attrs`.
//!
//! An attempt has the order and the fallbacks of libpq. Each error determines whether another
//! attempt may succeed.

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

use super::connect_error::AttemptError;
use super::guard::{GuardedStream, TlsDone, Transport};
use super::messages::{FollowedStream, Naming, Watch};
use super::traffic::Traffic;
use crate::database::libpq::{Keepalive, Secret, ServerKind, TlsMode};

/// Requests TLS (PostgreSQL, 54.7, SSLRequest): the length, and a code in place of a protocol
/// version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// One address of one of the servers that the URL names.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    /// The name that the server's certificate must have.
    pub(super) name: String,
    pub(super) password: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// The socket in a directory; on Linux an abstract one, if the name begins with `@`.
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

/// How sessions are started at every address.
pub(super) struct ConnectOptions {
    pub(super) tls: MakeRustlsConnect,
    pub(super) mode: TlsMode,
    /// Whether TLS starts without an `SSLRequest`.
    pub(super) direct: bool,
    pub(super) keepalive: Keepalive,
    pub(super) tcp_user_timeout: Duration,
    /// The largest message, in bytes.
    pub(super) max_message: u64,
    pub(super) required: ServerKind,
    /// Whether sessions are set read-only, which then does not describe the server.
    pub(super) read_only: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Never,
    IfOffered,
    Always,
}

/// The future that drives a session's connection.
pub(super) type Driver = Connection<FollowedStream<GuardedStream>, FollowedStream<GuardedStream>>;

/// A session that was started but is not set up.
pub(super) struct StartedSession {
    pub(super) client: Client,
    pub(super) connection: Driver,
    pub(super) traffic: Arc<Traffic>,
    pub(super) watch: Arc<Watch>,
    /// Whether the server is of the preferred kind, not only of an acceptable one.
    pub(super) is_preferred: bool,
}

impl Endpoint {
    /// Starts a session.
    pub(super) async fn attempt(
        &self,
        options: &ConnectOptions,
        config: &tokio_postgres::Config,
        naming: Naming,
    ) -> Result<StartedSession, AttemptError> {
        // Like libpq, this ignores `sslmode` on a Unix socket.
        let choices: &[Encryption] = match (&self.address, options.mode) {
            (Address::Unix(_), _) | (_, TlsMode::Disable) => &[Encryption::Never],
            (_, TlsMode::Allow) => &[Encryption::Never, Encryption::Always],
            (_, TlsMode::Prefer) => &[Encryption::IfOffered, Encryption::Never],
            _ => &[Encryption::Always],
        };
        let [first, others @ ..] = choices else {
            return Err(AttemptError::NoTls);
        };
        let first_error = match self.start(options, config, naming, *first).await {
            Err(error) if error.may_pass_with_other_encryption() => error,
            result => return result,
        };
        match others {
            [other] => match self.start(options, config, naming, *other).await {
                Err(_) if options.mode == TlsMode::Prefer => Err(first_error),
                Err(AttemptError::NoTls) => Err(first_error),
                result => result,
            },
            _ => Err(first_error),
        }
    }

    async fn start(
        &self,
        options: &ConnectOptions,
        config: &tokio_postgres::Config,
        naming: Naming,
        encryption: Encryption,
    ) -> Result<StartedSession, AttemptError> {
        let transport = self.open(options, encryption).await?;
        let traffic = Arc::<Traffic>::default();
        let watch = Arc::<Watch>::default();
        let stream = GuardedStream::new(transport, options.max_message, Arc::clone(&traffic));
        let stream = FollowedStream::new(stream, naming, Arc::clone(&watch));
        let mut config = config.clone();
        if let Some(password) = &self.password {
            config.password(password.reveal());
        }
        // The stream is already encrypted, if it is to be. With these settings the library reads
        // only its channel binding.
        config.ssl_mode(SslMode::Require);
        config.ssl_negotiation(SslNegotiation::Direct);
        let (client, mut connection) = config
            .connect_raw(stream, TlsDone)
            .await
            .map_err(AttemptError::Postgres)?;
        let is_preferred = options.check(&client, &mut connection).await?;
        Ok(StartedSession {
            client,
            connection,
            traffic,
            watch,
            is_preferred,
        })
    }

    /// Opens a stream for a cancel request, encrypted like the session.
    pub(super) async fn open_for_cancel(
        &self,
        options: &ConnectOptions,
    ) -> Result<GuardedStream, AttemptError> {
        let encryption = match (&self.address, options.mode) {
            (Address::Unix(_), _) | (_, TlsMode::Disable | TlsMode::Allow) => Encryption::Never,
            (_, TlsMode::Prefer) => Encryption::IfOffered,
            _ => Encryption::Always,
        };
        let transport = self.open(options, encryption).await?;
        Ok(GuardedStream::new(
            transport,
            options.max_message,
            Arc::default(),
        ))
    }

    /// Succeeds if the server responds at all, even with a refusal.
    pub(super) async fn check_responds(&self) -> io::Result<()> {
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

    async fn open(
        &self,
        options: &ConnectOptions,
        encryption: Encryption,
    ) -> Result<Transport, AttemptError> {
        let address = match &self.address {
            Address::Unix(file) => {
                let stream = UnixStream::connect(file).await.map_err(AttemptError::Io)?;
                return Ok(Transport::Unix(stream));
            }
            Address::Tcp(address) => address,
        };
        let mut stream = TcpStream::connect(address)
            .await
            .map_err(AttemptError::Io)?;
        options
            .set_socket_options(&stream)
            .map_err(AttemptError::Io)?;
        if encryption == Encryption::Never {
            return Ok(Transport::Tcp(stream));
        }
        if !options.direct {
            stream
                .write_all(&SSL_REQUEST)
                .await
                .map_err(AttemptError::Io)?;
            match stream.read_u8().await.map_err(AttemptError::Io)? {
                b'S' => {}
                b'N' if encryption == Encryption::Always => return Err(AttemptError::NoTls),
                b'N' => return Ok(Transport::Tcp(stream)),
                // An unencrypted error may come from anyone.
                b'E' => return Err(AttemptError::Io(io::ErrorKind::ConnectionAborted.into())),
                _ => return Err(AttemptError::NotPostgres),
            }
        }
        let Ok(tls) =
            MakeTlsConnect::<TcpStream>::make_tls_connect(&mut options.tls.clone(), &self.name);
        let stream = tls.connect(stream).await.map_err(AttemptError::Tls)?;
        Ok(Transport::Tls(Box::new(stream)))
    }
}

impl ConnectOptions {
    /// Sets the limits after which the operating system closes a connection to a lost server.
    fn set_socket_options(&self, stream: &TcpStream) -> io::Result<()> {
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

    /// Fails if the server is of the wrong kind. Returns whether it is of the preferred kind.
    async fn check(&self, client: &Client, connection: &mut Driver) -> Result<bool, AttemptError> {
        let required = match self.required {
            ServerKind::Any => return Ok(true),
            ServerKind::ReadWrite if self.read_only => ServerKind::Primary,
            required => required,
        };
        // Reported by servers from version 14 on, but not by poolers.
        let standby = reported_value(connection, "in_hot_standby");
        let read_only = reported_value(connection, "default_transaction_read_only");
        let is_standby = match standby {
            Some(is_standby) => is_standby,
            None => query_bool(client, connection, "SELECT pg_catalog.pg_is_in_recovery()").await?,
        };
        let is_read_only = match (standby, read_only) {
            (Some(standby), Some(read_only)) => standby || read_only,
            _ => query_bool(client, connection, "SHOW transaction_read_only").await?,
        };
        match required {
            ServerKind::ReadWrite if is_read_only => {
                Err(AttemptError::WrongServer("it is read-only"))
            }
            ServerKind::ReadOnly if !is_read_only => {
                Err(AttemptError::WrongServer("it accepts writes"))
            }
            ServerKind::Primary if is_standby => Err(AttemptError::WrongServer("it is a standby")),
            ServerKind::Standby if !is_standby => {
                Err(AttemptError::WrongServer("it is not a standby"))
            }
            ServerKind::PreferStandby => Ok(is_standby),
            _ => Ok(true),
        }
    }
}

/// The value of a setting, if the server has reported it.
fn reported_value(connection: &Driver, name: &str) -> Option<bool> {
    connection.parameter(name).map(|value| value == "on")
}

/// Runs a query that returns on or off, true or false.
async fn query_bool(
    client: &Client,
    connection: &mut Driver,
    query: &str,
) -> Result<bool, AttemptError> {
    let answer = tokio::select! {
        answer = client.simple_query(query) => answer.map_err(AttemptError::Postgres)?,
        // No task drives the connection yet. It ends only when it is lost.
        ended = connection => {
            ended.map_err(AttemptError::Postgres)?;
            return Err(AttemptError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    };
    let answer = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(matches!(answer, Some("on" | "t")))
}

//! A TCP proxy between the program under test and its server, with which a test can disturb
//! connections.
//!
//! It runs on the runtime of the test. If the test blocks that runtime's only thread, as
//! [`crate::process`] does, nothing is forwarded: such tests need `flavor = "multi_thread"`.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Server,
    /// To the program under test.
    Client,
}

/// When a connection is cut.
#[derive(Clone, Debug)]
pub enum At {
    /// After this many bytes of one connection, in one direction. They are the last to be
    /// forwarded.
    Bytes(u64),
    /// Before these bytes are forwarded, even if they arrive in several pieces. Nothing of the last
    /// piece is forwarded.
    Before(Vec<u8>),
    /// After these bytes were forwarded. The server executes them, and its response is discarded.
    After(Vec<u8>),
}

/// How bytes are forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Nothing is forwarded and nothing is closed, like a network that drops packets.
    pub stalled: bool,
    /// How long each piece is delayed, in each direction.
    pub delay: Duration,
    /// Bytes per second, for each connection and direction; unlimited if absent.
    pub rate: Option<u32>,
}

/// A running proxy. Dropping it closes its port and all its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    server: Mutex<SocketAddr>,
    conditions: watch::Sender<Conditions>,
    /// How often all connections were cut; whether new ones are accepted.
    cuts: watch::Sender<u64>,
    closed: watch::Sender<bool>,
    pending: Mutex<Option<PendingCut>>,
    open: AtomicUsize,
}

impl Shared {
    fn server(&self) -> MutexGuard<'_, SocketAddr> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cut that waits for its condition.
#[derive(Debug)]
struct PendingCut {
    direction: Direction,
    at: At,
    done: oneshot::Sender<()>,
}

/// The decision about a piece.
enum Verdict {
    Pass,
    /// Forward this many bytes of it, then close both sides.
    Cut(usize),
    /// Forward it, and discard what the server returns.
    Mute,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards connections to `server`.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            conditions: watch::Sender::default(),
            cuts: watch::Sender::default(),
            closed: watch::Sender::default(),
            pending: Mutex::default(),
            open: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// The address of the proxy.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards every new connection to this server. Open ones keep theirs.
    pub fn forward_to(&self, server: SocketAddr) {
        *self.shared.server() = server;
    }

    /// The URL of a database, by way of this proxy.
    pub fn url(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, _)) => format!("{scheme}://{user}@{}{rest}", self.address),
            None => format!("{scheme}://{}{rest}", self.address),
        }
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.shared.open.load(Relaxed)
    }

    /// Changes how bytes are forwarded from now on.
    pub fn set(&self, conditions: Conditions) {
        self.shared.conditions.send_replace(conditions);
    }

    /// Closes all connections. New ones are accepted.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Closes all connections, and every new one as soon as it is made.
    pub fn close(&self) {
        self.shared.closed.send_replace(true);
        self.cut();
    }

    /// Accepts new connections again.
    pub fn open(&self) {
        self.shared.closed.send_replace(false);
    }

    /// Cuts the first connection for which `at` becomes true, and no other. Replaces an earlier
    /// condition that has not become true. The returned future is ready once the connection was
    /// cut.
    pub fn cut_when(
        &self,
        direction: Direction,
        at: At,
    ) -> impl Future<Output = ()> + Send + Sync + 'static + use<> {
        let (done, is_done) = oneshot::channel();
        *self.shared.pending() = Some(PendingCut {
            direction,
            at,
            done,
        });
        async move {
            if is_done.await.is_err() {
                // Another condition has replaced this one.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The task owns the set of connections.
        self.accepting.abort();
    }
}

impl Shared {
    fn pending(&self) -> std::sync::MutexGuard<'_, Option<PendingCut>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about a piece that follows `before` bytes, the last of which are `tail`.
    fn decide(
        &self,
        direction: Direction,
        before: u64,
        tail: &mut Vec<u8>,
        piece: &[u8],
    ) -> Verdict {
        let mut pending = self.pending();
        let verdict = match &*pending {
            Some(cut) if cut.direction == direction => {
                let mut holds = |pattern: &[u8]| {
                    tail.extend_from_slice(piece);
                    let found = tail
                        .windows(pattern.len().max(1))
                        .any(|some| some == pattern);
                    let kept = tail.len().min(pattern.len().saturating_sub(1));
                    tail.drain(..tail.len() - kept);
                    found
                };
                match &cut.at {
                    At::Bytes(most) if before + piece.len() as u64 >= *most => {
                        Verdict::Cut(usize::try_from(most.saturating_sub(before)).unwrap_or(0))
                    }
                    At::Before(pattern) if holds(pattern) => Verdict::Cut(0),
                    At::After(pattern) if holds(pattern) => Verdict::Mute,
                    _ => Verdict::Pass,
                }
            }
            _ => Verdict::Pass,
        };
        if !matches!(verdict, Verdict::Pass)
            && let Some(cut) = pending.take()
        {
            // The receiver may be gone.
            cut.done.send(()).ok();
        }
        verdict
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted
                    && !*shared.closed.borrow()
                {
                    connections.spawn(serve(client, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Counts a connection as long as it exists.
struct ConnectionCount(Arc<Shared>);

impl ConnectionCount {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let counted = ConnectionCount::new(&shared);
    let server = *shared.server();
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    // Sends small pieces at once, as a direct connection would.
    if client
        .set_nodelay(true)
        .and(server.set_nodelay(true))
        .is_err()
    {
        return;
    }
    let (mut from_client, to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let ended = tokio::select! {
        ended = pump(&mut from_client, &mut to_server, Direction::Server, &shared) => ended,
        ended = async {
            let mut to_client = to_client;
            pump(&mut from_server, &mut to_client, Direction::Client, &shared).await
        } => ended,
        _ = cuts.changed() => Ended::Closed,
    };
    if ended == Ended::Muted {
        // The client's side is closed, but the server may still be writing. Closing with an unread
        // response would send a reset, which could overtake the request.
        drop((from_client, counted));
        let mut answer = [0; 4096];
        if to_server.shutdown().await.is_ok() {
            while from_server
                .read(&mut answer)
                .await
                .is_ok_and(|count| count > 0)
            {}
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Closed,
    Muted,
}

/// Forwards bytes until either side closes or the connection is to be cut.
async fn pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    direction: Direction,
    shared: &Shared,
) -> Ended {
    let mut conditions = shared.conditions.subscribe();
    let mut buffer = vec![0; 16 << 10];
    let (mut passed, mut tail) = (0_u64, Vec::new());
    loop {
        let count = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return Ended::Closed,
            Ok(count) => count,
        };
        let Ok(Conditions { delay, rate, .. }) = conditions
            .wait_for(|conditions| !conditions.stalled)
            .await
            .map(|conditions| *conditions)
        else {
            return Ended::Closed;
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        // A tenth of a second's worth at a time, so that a slow connection is steadily slow.
        let most = rate.map_or(count, |rate| {
            usize::try_from(rate / 10).unwrap_or(count).clamp(1, count)
        });
        for piece in buffer[..count].chunks(most) {
            if let Some(rate) = rate {
                let bytes = u32::try_from(piece.len()).unwrap_or(u32::MAX);
                tokio::time::sleep(Duration::from_secs(1) * bytes / rate.max(1)).await;
            }
            if conditions
                .wait_for(|conditions| !conditions.stalled)
                .await
                .is_err()
            {
                return Ended::Closed;
            }
            let verdict = shared.decide(direction, passed, &mut tail, piece);
            let passing = match verdict {
                Verdict::Cut(count) => &piece[..count.min(piece.len())],
                Verdict::Pass | Verdict::Mute => piece,
            };
            if to.write_all(passing).await.is_err() {
                return Ended::Closed;
            }
            passed += passing.len() as u64;
            match verdict {
                Verdict::Pass => {}
                Verdict::Cut(_) => return Ended::Closed,
                Verdict::Mute => return Ended::Muted,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{At, Conditions, Direction, Proxy};
    use std::time::{Duration, Instant};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    /// Starts a server that returns what it receives, and reports that at the end of each
    /// connection.
    async fn echo() -> (Proxy, tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Proxy::start(listener.local_addr().expect("an address"))
            .await
            .expect("a port");
        let (ended, heard) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let ended = ended.clone();
                tokio::spawn(async move {
                    let (mut all, mut some) = (Vec::new(), [0; 64]);
                    while let Ok(count @ 1..) = stream.read(&mut some).await {
                        all.extend_from_slice(&some[..count]);
                        if stream.write_all(&some[..count]).await.is_err() {
                            break;
                        }
                    }
                    ended.send(all).ok();
                });
            }
        });
        (proxy, heard)
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(proxy.address())
            .await
            .expect("it listens")
    }

    /// Sends, and reads to the end or as much as was sent.
    async fn send_and_read(stream: &mut TcpStream, text: &[u8]) -> Vec<u8> {
        stream.write_all(text).await.ok();
        let mut answer = vec![0; text.len()];
        let mut count = 0;
        while count < answer.len() {
            match stream.read(&mut answer[count..]).await {
                Ok(more @ 1..) => count += more,
                _ => break,
            }
        }
        answer.truncate(count);
        answer
    }

    #[tokio::test]
    async fn proxy_forwards_both_directions_until_cut() {
        let (proxy, _heard) = echo().await;
        let mut stream = connect(&proxy).await;
        assert_eq!(send_and_read(&mut stream, b"hello").await, b"hello");
        assert_eq!(proxy.connections(), 1);
        proxy.cut();
        assert_eq!(send_and_read(&mut stream, b"hello").await, b"");
        assert_eq!(
            send_and_read(&mut connect(&proxy).await, b"again").await,
            b"again"
        );
        proxy.close();
        assert_eq!(
            send_and_read(&mut connect(&proxy).await, b"closed").await,
            b""
        );
        proxy.open();
        let mut stream = connect(&proxy).await;
        assert_eq!(send_and_read(&mut stream, b"open").await, b"open");
        drop(proxy);
        assert_eq!(send_and_read(&mut stream, b"gone").await, b"");
    }

    #[tokio::test]
    async fn proxy_cuts_at_a_byte_count_or_a_text() {
        let (proxy, mut heard) = echo().await;
        for (at, passed, answered) in [
            (At::Bytes(3), "com", None),
            (At::Before(b"mit".to_vec()), "", Some("")),
            (At::After(b"mit".to_vec()), "commit", Some("")),
        ] {
            let done = proxy.cut_when(Direction::Server, at.clone());
            let answer = send_and_read(&mut connect(&proxy).await, b"commit").await;
            done.await;
            let got = heard.recv().await.expect("the connection's end");
            assert_eq!(got, passed.as_bytes(), "{at:?}");
            if let Some(answered) = answered {
                assert_eq!(answer, answered.as_bytes(), "{at:?}");
            }
            // The next connection is not affected.
            assert_eq!(
                send_and_read(&mut connect(&proxy).await, b"commit").await,
                b"commit"
            );
            heard.recv().await.expect("the connection's end");
        }
        // A word in several pieces is found; another word does not cut.
        let done = proxy.cut_when(Direction::Client, At::Before(b"mit".to_vec()));
        let mut stream = connect(&proxy).await;
        assert_eq!(send_and_read(&mut stream, b"com").await, b"com");
        assert_eq!(send_and_read(&mut stream, b"mit").await, b"");
        done.await;
    }

    #[tokio::test]
    async fn proxy_delays_throttles_and_pauses() {
        let (proxy, _heard) = echo().await;
        let mut stream = connect(&proxy).await;
        let began = Instant::now();
        proxy.set(Conditions {
            delay: Duration::from_millis(50),
            ..Conditions::default()
        });
        assert_eq!(send_and_read(&mut stream, b"late").await, b"late");
        assert!(began.elapsed() >= Duration::from_millis(100));
        let began = Instant::now();
        proxy.set(Conditions {
            rate: Some(1000),
            ..Conditions::default()
        });
        assert_eq!(send_and_read(&mut stream, &[b'.'; 200]).await.len(), 200);
        assert!(
            began.elapsed() >= Duration::from_millis(200),
            "{:?}",
            began.elapsed()
        );
        proxy.set(Conditions {
            stalled: true,
            ..Conditions::default()
        });
        let stalled = tokio::time::timeout(
            Duration::from_millis(50),
            send_and_read(&mut stream, b"wait"),
        );
        stalled.await.expect_err("nothing passes");
        proxy.set(Conditions::default());
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.expect("it passes now");
        assert_eq!(&answer, b"wait");
    }

    #[tokio::test]
    async fn proxy_rewrites_the_database_url() {
        let (proxy, _heard) = echo().await;
        let address = proxy.address();
        for (url, through) in [
            (
                "postgres://me:p@db:5432/users?a=b",
                format!("postgres://me:p@{address}/users?a=b"),
            ),
            ("postgres://db/users", format!("postgres://{address}/users")),
        ] {
            assert_eq!(proxy.url(url), through);
        }
    }
}

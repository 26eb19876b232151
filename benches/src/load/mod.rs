//! Loads an HTTP server in a closed loop: each connection sends a request, waits for the whole
//! response, and sends the next. It uses one thread and two system calls per request, to leave the
//! machine to the server.
//!
//! A closed loop measures a server's throughput and its latency at that throughput. It says nothing
//! about requests that arrive faster than they are served.

mod requests;
mod response;
mod transport;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub use requests::Requests;
use response::Head;
pub use transport::Transport;
use transport::{Http2, Stream};

use crate::Error;

/// What to do to a server.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where the server is.
    pub address: SocketAddr,
    /// How to connect to it.
    pub transport: Transport,
    /// How many connections, each with one request in flight.
    pub connections: usize,
    /// When to stop.
    pub until: Until,
    /// What to send.
    pub requests: Requests,
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time; requests in flight are completed and counted.
    Elapsed(Duration),
    /// After this many requests.
    Sent(u64),
}

/// The result of a load.
#[derive(Debug)]
pub struct Outcome {
    /// From the first request to the last response.
    pub elapsed: Duration,
    /// How many responses there were, by status.
    pub answers: BTreeMap<u16, u64>,
    /// From sending a request to receiving its response, in nanoseconds, of requests that are
    /// [recorded](Requests::with_tenth).
    latency: Histogram<u64>,
}

impl Outcome {
    /// All responses.
    pub fn requests(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Responses per second.
    #[expect(clippy::cast_precision_loss, reason = "no run has 2^52 requests")]
    pub fn rate(&self) -> f64 {
        self.requests() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of all requests did not exceed, from 0 to 1.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(share))
    }
}

/// What all connections count in.
struct Tally {
    sent: u64,
    answers: BTreeMap<u16, u64>,
    latency: Histogram<u64>,
}

/// Latencies are recorded to three digits between these, in nanoseconds.
const LATENCIES: (u64, u64) = (1_000, 100_000_000_000);

/// Most responses fit and are read with one system call.
const BUFFER: usize = 16 * 1024;

/// Loads a server, on the thread that calls this.
///
/// # Errors
/// If a connection fails or a response is not HTTP: a figure without all requests would mean
/// nothing.
pub fn run(load: &Load) -> Result<Outcome, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run_all(load))
}

async fn run_all(load: &Load) -> Result<Outcome, Error> {
    let tally = Arc::new(Mutex::new(Tally {
        sent: 0,
        answers: BTreeMap::new(),
        latency: Histogram::new_with_bounds(LATENCIES.0, LATENCIES.1, 3)?,
    }));
    let mut streams = Vec::new();
    for _ in 0..load.connections {
        streams.push(Connection::open(load).await?);
    }
    let begin = Instant::now();
    let (deadline, most) = match load.until {
        Until::Elapsed(time) => (Some(begin + time), u64::MAX),
        Until::Sent(requests) => (None, requests),
    };
    let mut running = tokio::task::JoinSet::new();
    for stream in streams {
        running.spawn(connection(
            stream,
            load.clone(),
            deadline,
            most,
            Arc::clone(&tally),
        ));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let elapsed = begin.elapsed();
    let mut tally = lock(&tally);
    Ok(Outcome {
        elapsed,
        answers: std::mem::take(&mut tally.answers),
        latency: tally.latency.clone(),
    })
}

async fn connection(
    mut stream: Connection,
    load: Load,
    deadline: Option<Instant>,
    most: u64,
    tally: Arc<Mutex<Tally>>,
) -> Result<(), Error> {
    let mut request = Vec::new();
    let mut answer = Vec::with_capacity(BUFFER);
    let mut now = Instant::now();
    while deadline.is_none_or(|deadline| now < deadline) {
        let sequence = {
            let mut tally = lock(&tally);
            if tally.sent == most {
                break;
            }
            tally.sent += 1;
            tally.sent - 1
        };
        let sent = load.requests.nth(sequence, &mut request);
        let (status, close) = stream.exchange(&load, sent, &mut answer).await?;
        let then = now;
        now = Instant::now();
        {
            let mut tally = lock(&tally);
            let nanoseconds = u64::try_from((now - then).as_nanos()).unwrap_or(u64::MAX);
            if load.requests.is_recorded(sequence) {
                tally.latency.saturating_record(nanoseconds);
            }
            *tally.answers.entry(status).or_default() += 1;
        }
        if close || load.transport.closes {
            stream = Connection::open(&load).await?;
        }
    }
    Ok(())
}

/// A connection that has one request in flight.
enum Connection {
    Http1(Box<dyn Stream>),
    Http2(Http2),
}

impl Connection {
    async fn open(load: &Load) -> Result<Self, Error> {
        let (transport, address) = (&load.transport, load.address);
        Ok(if transport.is_http2 {
            Self::Http2(transport.connect_http2(address).await?)
        } else {
            Self::Http1(transport.connect(address).await?)
        })
    }

    /// Sends a request and reads its response. Returns the status, and whether the server closes.
    async fn exchange(
        &mut self,
        load: &Load,
        request: &[u8],
        answer: &mut Vec<u8>,
    ) -> Result<(u16, bool), Error> {
        match self {
            Self::Http1(stream) => {
                stream.write_all(request).await?;
                stream.flush().await?;
                answer.clear();
                let head = read(stream, answer).await?;
                Ok((head.status, head.close))
            }
            Self::Http2(stream) => {
                let is_tls = load.transport.is_tls();
                let status = stream.get(request, load.address, is_tls).await?;
                Ok((status, false))
            }
        }
    }
}

/// Reads one whole response.
async fn read(stream: &mut Box<dyn Stream>, answer: &mut Vec<u8>) -> Result<Head, Error> {
    let mut head = None;
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err("the server closed a connection in place of a whole answer".into());
        }
        if head.is_none() {
            head = Head::parse(answer)?;
        }
        let Some(found) = head else { continue };
        match found.end(answer)? {
            None => {}
            Some(end) if end == answer.len() => return Ok(found),
            Some(_) => return Err("the server sent more than one answer to a request".into()),
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

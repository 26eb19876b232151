//! A server under measurement: start, readiness, process figures, end.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::process;
use crate::Error;

/// How the line begins that servers of this repository print when they accept connections.
const READY: [&str; 2] = ["listening on http://", "listening on https://"];

/// How long a server may take to start.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How many of a server's last lines an error message has.
const LAST_LINES: usize = 10;

/// How to find out where a server listens, and when it is ready.
#[derive(Clone, Copy, Debug)]
pub enum Ready {
    /// It prints its address on standard error.
    Announced,
    /// It listens here, and is ready when it accepts connections.
    At(SocketAddr),
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// Where it is.
    pub address: SocketAddr,
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// If it cannot be started, or ends; with its last lines.
    pub fn start(mut command: Command, ready: Ready) -> Result<Self, Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        command
            // Usher's address is read from a line of text.
            .env("USHER_LOG_FORMAT", "text")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Process(
            command
                .spawn()
                .map_err(|error| format!("{program}: {error}"))?,
        );
        let stderr = process.0.stderr.take().ok_or("no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let mut announced = None;
        if let Ready::Announced = ready {
            for line in lines.by_ref() {
                let line = line?;
                let address = READY.iter().find_map(|ready| line.split_once(ready));
                announced = address.and_then(|(_, address)| {
                    address
                        .split_whitespace()
                        .next()?
                        .trim_end_matches('/')
                        .parse()
                        .ok()
                });
                remember(&last, line);
                if announced.is_some() {
                    break;
                }
            }
        }
        let heard = Arc::clone(&last);
        let words = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                remember(&heard, line);
            }
        });
        let address = match ready {
            Ready::At(address) if accepts(address, &mut process.0)? => Some(address),
            _ => announced,
        };
        if let Some(address) = address {
            return Ok(Self { process, address });
        }
        drop(process);
        drop(words.join());
        let last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let last: Vec<_> = last.iter().map(String::as_str).collect();
        Err(format!("{program} does not serve:\n{}", last.join("\n")).into())
    }

    /// Processor time it took, user and system.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu(&self) -> std::io::Result<Duration> {
        process::cpu(self.process.0.id())
    }

    /// The part of it that the kernel took.
    ///
    /// # Errors
    /// If it has ended.
    pub fn system(&self) -> std::io::Result<Duration> {
        process::system(self.process.0.id())
    }

    /// How often its threads have gone to sleep.
    ///
    /// # Errors
    /// If it has ended.
    pub fn sleeps(&self) -> std::io::Result<u64> {
        process::sleeps(self.process.0.id())
    }

    /// Bytes it has in RAM.
    ///
    /// # Errors
    /// If it has ended.
    pub fn resident(&self) -> std::io::Result<u64> {
        process::resident(self.process.0.id())
    }

    /// Sends one GET of a path, and returns the status.
    ///
    /// # Errors
    /// If there is no response.
    pub fn get(&self, path: &str) -> Result<u16, Error> {
        let address = self.address;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(START_LIMIT))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let status = answer
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        status.ok_or_else(|| format!("no HTTP answer to GET {path}").into())
    }
}

/// A free address of this machine.
///
/// # Errors
/// If there is none.
pub fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

/// Waits until a process listens there; fails if the started one has ended.
fn accepts(address: SocketAddr, process: &mut Child) -> Result<bool, Error> {
    let begin = Instant::now();
    while begin.elapsed() < START_LIMIT {
        match TcpStream::connect(address) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error.into()),
        }
        if process.try_wait()?.is_some() {
            return Ok(false);
        }
        // There is no event for another program's listening socket.
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(false)
}

fn remember(last: &Mutex<VecDeque<String>>, line: String) {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    if last.len() == LAST_LINES {
        last.pop_front();
    }
    last.push_back(line);
}

/// A process that is not left behind.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! How the server ends: nothing that a client has sent stays without a response.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use usher::sandbox::USERS_WASM;
use usher_testing::reserved_port::ReservedPort;
use usher_tests::figures;
use usher_tests::http::{Reader, Request, Response};
use usher_tests::janitor::{KillGuard, Scratch};
use usher_tests::process::{Running, Usher};

use crate::startup::{fails_with, send_request, usher};

/// A connection that is kept open as long as the server lets it.
struct KeptAlive {
    reader: Reader<ReadHalf<TcpStream>>,
    write: WriteHalf<TcpStream>,
    request: Vec<u8>,
}

impl KeptAlive {
    async fn open(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let request = Request::get("/users/1").header("connection", "keep-alive");
        let (read, write) = tokio::io::split(stream);
        Ok(Self {
            reader: Reader::new(read),
            write,
            request: request.encode(address),
        })
    }

    async fn get(&mut self) -> std::io::Result<Response> {
        self.write.write_all(&self.request).await?;
        self.reader.response("GET").await
    }
}

/// Whether a response says that it is the last one of its connection.
fn is_last(response: &Response) -> bool {
    response.header("connection").as_deref() == Some("close")
}

fn start(scratch: &Scratch, options: &[&str]) -> Running {
    usher(scratch)
        .args(["--database", "memory:", "--workers", "2"])
        .args(options.iter().copied())
        .spawn()
}

#[tokio::test]
async fn connection_ends_in_good_order_after_its_last_request() {
    let scratch = Scratch::new();
    let mut running = start(&scratch, &["--max-connection-requests", "3"]);
    let address = running.address();
    for _ in 0..2 {
        let mut connection = KeptAlive::open(&address).await.expect("a connection");
        for number in 1..=3 {
            let response = connection.get().await.expect("a response");
            assert_eq!((response.status, is_last(&response)), (404, number == 3));
        }
        connection.get().await.expect_err("it is closed");
    }
}

#[tokio::test]
async fn drain_delay_serves_on_while_ready_is_503_and_responses_say_close() {
    let scratch = Scratch::new();
    let mut running = start(
        &scratch,
        &["--drain-delay", "2s", "--admin-listen", "127.0.0.1:0"],
    );
    let operators = running.operators();
    let address = running.address();
    let mut open = KeptAlive::open(&address).await.expect("a connection");
    assert!(!is_last(&open.get().await.expect("a response")));
    let ready = send_request(&operators, Request::get("/ready")).await;
    assert_eq!(ready.status, 200);

    let began = Instant::now();
    running.terminate();
    running.line("going on for 2s");
    let ready = send_request(&operators, Request::get("/ready")).await;
    assert_eq!(ready.status, 503);
    let response = open.get().await.expect("a response");
    assert!(response.status == 404 && is_last(&response), "{response:?}");
    let rest = open.reader.rest().await.expect("an orderly end");
    assert_eq!(rest, b"");
    let mut new = KeptAlive::open(&address).await.expect("a connection");
    let response = new.get().await.expect("a response");
    assert!(response.status == 404 && is_last(&response), "{response:?}");
    let ended = running.wait();
    assert_eq!(ended.code(), Some(0));
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert!(TcpStream::connect(&address).await.is_err());
}

#[tokio::test]
async fn second_signal_in_the_drain_delay_ends_at_once() {
    let scratch = Scratch::new();
    let mut running = start(
        &scratch,
        &["--drain-delay", "50s", "--drain-timeout", "55s"],
    );
    running.address();
    running.terminate();
    running.line("going on for 50s");
    running.interrupt();
    running.line("SIGINT again");
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn drain_delay_that_leaves_no_time_is_refused_at_start() {
    let ended = usher(&Scratch::new())
        .args(["--database", "memory:"])
        .args(["--drain-delay", "30s", "--drain-timeout", "30s"])
        .run();
    fails_with(&ended, 2, &["--drain-delay 30s", "--drain-timeout 30s"]);
}

/// The race that HTTP/1 cannot avoid: a request is sent while the server decides to close.
#[tokio::test]
async fn request_that_crosses_the_drain_is_answered_and_idle_connections_are_closed() {
    let scratch = Scratch::new();
    let mut running = start(&scratch, &["--head-timeout", "50s"]);
    let address = running.address();
    let mut idle = KeptAlive::open(&address).await.expect("a connection");
    let mut crossing = KeptAlive::open(&address).await.expect("a connection");
    let mut slow = KeptAlive::open(&address).await.expect("a connection");
    let mut ahead = KeptAlive::open(&address).await.expect("a connection");
    for connection in [&mut idle, &mut crossing, &mut slow] {
        assert!(!is_last(&connection.get().await.expect("a response")));
    }
    let request = slow.request.clone();
    let (begin, end) = request.split_at(10);
    slow.write.write_all(begin).await.expect("a part of a head");
    let both = [&ahead.request, begin].concat();
    ahead
        .write
        .write_all(&both)
        .await
        .expect("a part of a head");
    let response = ahead.reader.response("GET").await.expect("a response");
    assert!(!is_last(&response), "{response:?}");
    // An empty line after a request is no part of the next one (RFC 9112, 2.2).
    idle.write.write_all(b"\r\n").await.expect("it is open");
    running.terminate();
    running.line("draining");
    let response = crossing.get().await.expect("a response");
    assert!(is_last(&response), "{response:?}");
    let rest = idle.reader.rest().await.expect("an orderly end");
    assert_eq!(rest, b"");
    // Long after the others are closed, the rest of a head arrives.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for connection in [&mut slow, &mut ahead] {
        connection
            .write
            .write_all(end)
            .await
            .expect("the rest of it");
        let response = connection.reader.response("GET").await.expect("a response");
        assert!(is_last(&response), "{response:?}");
    }
    assert_eq!(running.wait().code(), Some(0));
}

/// How clients fared until they could not connect any more.
#[derive(Debug, Default)]
struct Load {
    answered: AtomicUsize,
    /// Requests that were sent on an open connection and got no response.
    lost: AtomicUsize,
}

/// Sends requests until no connection can be opened, on connections that end when a response says
/// so.
async fn load(address: String, load: Arc<Load>) {
    while let Ok(mut connection) = KeptAlive::open(&address).await {
        loop {
            match connection.get().await {
                Ok(response) if matches!(response.status, 200 | 404) => {
                    load.answered.fetch_add(1, Relaxed);
                    if is_last(&response) {
                        break;
                    }
                }
                _ => {
                    load.lost.fetch_add(1, Relaxed);
                    break;
                }
            }
        }
    }
}

/// A server and its address: the program with this delay, or what `USHER_TEST_SERVER` says, a
/// command of the shell with the address in `ADDRESS`.
async fn start_server(scratch: &Scratch, delay: &str) -> (Running, String) {
    let Ok(command) = std::env::var("USHER_TEST_SERVER") else {
        let mut running = start(scratch, &["--drain-delay", delay]);
        let address = running.address();
        return (running, address);
    };
    let port = ReservedPort::new().expect("a free port");
    let address = format!("127.0.0.1:{}", port.number());
    let running = Usher::new("/bin/sh")
        .current_dir(scratch.path())
        .args(["-c", &format!("exec {command}")])
        .env("ADDRESS", &address)
        .spawn();
    while TcpStream::connect(&address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (running, address)
}

/// As many servers as `USHER_TEST_SIGTERMS` says get SIGTERM while 64 clients send one request
/// after the other. Returns the requests with and without a response.
async fn terminate_under_load(delay: &str, servers: usize) -> (usize, usize) {
    let is_other = std::env::var_os("USHER_TEST_SERVER").is_some();
    let (mut answered, mut lost) = (0, 0);
    for server in 0..servers {
        let scratch = Scratch::new();
        let (running, address) = start_server(&scratch, delay).await;
        let counts = Arc::new(Load::default());
        let mut clients = JoinSet::new();
        for _ in 0..64 {
            clients.spawn(load(address.clone(), Arc::clone(&counts)));
        }
        // At another moment of the clients' work each time.
        tokio::time::sleep(Duration::from_millis(50 + 7 * (server as u64 % 10))).await;
        running.terminate();
        while clients.join_next().await.is_some() {}
        let ended = running.wait();
        assert!(is_other || ended.code() == Some(0), "{:?}", ended.stderr);
        answered += counts.answered.load(Relaxed);
        lost += counts.lost.load(Relaxed);
    }
    (answered, lost)
}

fn servers() -> usize {
    let servers = std::env::var("USHER_TEST_SIGTERMS").ok();
    servers
        .and_then(|servers| servers.parse().ok())
        .unwrap_or(2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_no_request_of_clients_that_honour_close() {
    let servers = servers();
    let (answered, lost) = terminate_under_load("300ms", servers).await;
    figures::print(
        "SIGTERM under load",
        &format!("{servers} servers: {answered} requests answered, {lost} lost"),
    );
    assert_eq!(lost, 0, "{answered} were answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_without_delay_loses_few_requests() {
    let servers = servers();
    let (answered, lost) = terminate_under_load("0s", servers).await;
    figures::print(
        "SIGTERM under load without --drain-delay",
        &format!("{servers} servers: {answered} requests answered, {lost} lost"),
    );
    // A client that this machine stops for longer than the grace may lose one.
    assert!(lost <= servers, "{lost} of {answered}");
}

/// A connection that is opened just before the listener closes is served.
#[tokio::test]
async fn connection_opened_before_the_listener_closes_is_answered() {
    let scratch = Scratch::new();
    let mut running = start(&scratch, &[]);
    let address = running.address();
    // The first one is certainly opened before.
    let mut next = TcpStream::connect(&address).await;
    running.terminate();
    let mut opened = 0;
    while let Ok(mut stream) = next {
        let request = Request::get("/users/1").encode(&address);
        stream.write_all(&request).await.expect("a request");
        let mut response = Vec::new();
        let read = stream.read_to_end(&mut response).await;
        assert!(
            read.is_ok() && response.starts_with(b"HTTP/1.1 404"),
            "connection {opened}: {read:?} {}",
            String::from_utf8_lossy(&response)
        );
        opened += 1;
        next = TcpStream::connect(&address).await;
    }
    assert!(opened > 0);
    assert_eq!(running.wait().code(), Some(0));
}

/// The program on a terminal of its own, which util-linux's `script` has: its process id.
fn on_a_terminal(scratch: &Scratch, before: &str) -> (Running, String, u32) {
    std::fs::write(scratch.path().join("served.wasm"), USERS_WASM).expect("a file");
    let program = env!("CARGO_BIN_EXE_usher-under-test");
    // Its standard error stays that of this test.
    let command = format!(
        "echo $$ >pid; exec {before} '{program}' serve --component served.wasm \
         --database-statements declared --database memory: --listen 127.0.0.1:0 --log debug \
         2>/proc/$PPID/fd/2"
    );
    let script = Usher::new("script").current_dir(scratch.path());
    let script = script.env("SHELL", "/bin/sh");
    let mut running = script
        .args(["-q", "-e", "-c", &command, "/dev/null"])
        .spawn();
    let address = running.address();
    let pid = std::fs::read_to_string(scratch.path().join("pid")).expect("a file");
    let pid = pid.trim().parse().expect("a process id");
    (running, address, pid)
}

fn kill(process: u32, signal: Signal) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    kill_process(process.expect("a process id"), signal).expect("it runs");
}

#[tokio::test]
async fn hangup_does_not_end_a_server_that_starts_or_reads_nothing_again() {
    let scratch = Scratch::new();
    let file = rusqlite::Connection::open(scratch.path().join("users.db")).expect("a file");
    file.execute_batch("CREATE TABLE t (c); BEGIN EXCLUSIVE")
        .expect("it is locked");
    let mut running = usher(&scratch)
        .args(["--database", "sqlite:users.db", "--log", "debug"])
        .spawn();
    running.line("trying again");
    kill(running.id(), Signal::HUP);
    running.line("trying again");
    file.execute_batch("ROLLBACK").expect("it is free");
    let address = running.address();
    kill(running.id(), Signal::HUP);
    let get = || Request::get("/users/1");
    assert_eq!(send_request(&address, get()).await.status, 404);
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
}

#[tokio::test]
async fn closed_terminal_drains_the_server_and_nohup_keeps_it() {
    let scratch = Scratch::new();
    let (mut running, address, server) = on_a_terminal(&scratch, "");
    // While the terminal is there, the signal only has files read again.
    kill(server, Signal::HUP);
    running.line("is the one that is served");
    let get = || Request::get("/users/1");
    assert_eq!(send_request(&address, get()).await.status, 404);
    kill(running.id(), Signal::KILL);
    let line = running.line("draining");
    assert!(line.contains("SIGHUP of a terminal"), "{line}");
    // Its end closes the standard error that the test reads.
    running.wait();

    let (mut running, address, server) = on_a_terminal(&scratch, "nohup");
    let _guard = KillGuard::process(server);
    kill(running.id(), Signal::KILL);
    running.line("is the one that is served");
    assert_eq!(send_request(&address, get()).await.status, 404);
    kill(server, Signal::TERM);
    running.wait();
}

#[test]
fn crash_of_the_server_writes_no_core_dump() {
    let scratch = Scratch::new();
    let program = env!("CARGO_BIN_EXE_usher-under-test");
    let command = format!("ulimit -S -c $(ulimit -H -c); exec '{program}' \"$@\"");
    let mut running = Usher::new("sh")
        .current_dir(scratch.path())
        .args(["-c", &command, "sh", "--database", "memory:"])
        .args(["--listen", "127.0.0.1:0"])
        .spawn();
    running.address();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.id()));
    let limits = limits.expect("it runs");
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max core file size"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    assert_eq!(soft, Some("0"), "{limits}");
}

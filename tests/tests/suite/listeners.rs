//! Where the server listens: several addresses, Unix sockets, and sockets of a service manager.

use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use usher_tests::figures;
use usher_tests::http::{self, Request};
use usher_tests::janitor::{KillGuard, Scratch};

use crate::startup::{fails_with, program_file, send_request, usher};
use crate::tls::{curl, folder, secure};

async fn status(socket: &Path) -> u16 {
    let stream = UnixStream::connect(socket).await.expect("a connection");
    let response = http::send(stream, &Request::get("/users/1"), "localhost").await;
    response.expect("a response").status
}

#[tokio::test]
async fn several_addresses_are_served_and_a_unix_socket_has_its_mode() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch)
        .args(["--database", "memory:", "--listen", "127.0.0.1:0"])
        .args([
            "--listen",
            "127.0.0.1:0,unix:usher.sock",
            "--listen-mode",
            "600",
        ])
        .spawn();
    let addresses = [running.address(), running.address()];
    assert_ne!(addresses[0], addresses[1]);
    for address in &addresses {
        let response = send_request(address, Request::get("/users/1")).await;
        assert_eq!(response.status, 404);
    }
    running.line("listening on unix:usher.sock");
    let socket = scratch.path().join("usher.sock");
    assert_eq!(status(&socket).await, 404);
    let mode = std::fs::metadata(&socket)
        .expect("a socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
    assert!(!socket.exists());
}

#[tokio::test]
async fn stale_unix_socket_is_replaced_and_anything_else_is_refused() {
    let scratch = Scratch::new();
    let program = || usher(&scratch).args(["--database", "memory:", "--listen", "unix:usher.sock"]);
    let socket = scratch.path().join("usher.sock");
    // What a process that was killed leaves behind.
    drop(UnixListener::bind(&socket).expect("a socket"));
    let mut running = program().spawn();
    running.line("listening on unix:usher.sock");
    assert_eq!(status(&socket).await, 404);
    fails_with(
        &program().run(),
        2,
        &[
            "unix:usher.sock (--listen)",
            "another program listens there",
        ],
    );
    assert_eq!(status(&socket).await, 404);
    drop(running);
    std::fs::remove_file(&socket).expect("a stale socket");
    std::fs::write(&socket, "mine").expect("a file");
    fails_with(
        &program().run(),
        2,
        &["unix:usher.sock (--listen)", "no socket"],
    );
    assert_eq!(std::fs::read(&socket).expect("a file"), b"mine");
    let nothing = usher(&scratch).args(["--database", "memory:", "--listen", "systemd"]);
    fails_with(
        &nothing.run(),
        2,
        &["systemd (--listen)", "no socket was passed"],
    );
}

#[tokio::test]
async fn unix_socket_has_no_tls_and_its_peers_are_those_of_this_machine() {
    let scratch = folder();
    let mut running = secure(&scratch)
        .args(["--listen", "127.0.0.1:0", "--listen", "unix:usher.sock"])
        .spawn();
    running.line("listening on https://");
    running.line("listening on unix:usher.sock");
    let written = curl(
        scratch.path(),
        &[
            "--unix-socket",
            "usher.sock",
            "-o",
            "body",
            "-H",
            "x-request-id: mine",
            "-w",
            "%{http_code} %header{x-request-id}",
            "http://localhost/users/1",
        ],
    );
    assert_eq!(written, "404 mine");
}

#[test]
fn service_manager_is_told_when_the_server_is_ready_and_ends() {
    let scratch = Scratch::new();
    let manager = UnixDatagram::bind(scratch.path().join("notify")).expect("a socket");
    manager
        .set_read_timeout(Some(Duration::from_mins(1)))
        .expect("a timeout");
    let told = || {
        let mut state = [0; 64];
        let length = manager.recv(&mut state).expect("a state");
        String::from_utf8_lossy(&state[..length]).into_owned()
    };
    let mut running = usher(&scratch)
        .args(["--database", "memory:"])
        .env("NOTIFY_SOCKET", "notify")
        .spawn();
    assert_eq!(told(), "READY=1");
    running.address();
    running.terminate();
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(running.wait().code(), Some(0));
}

/// A server with a listener of the test, which is a service manager here.
struct Activated {
    child: Child,
    _kill_guard: KillGuard,
}

impl Activated {
    fn start(scratch: &Scratch, listener: &std::net::TcpListener, options: &[&str]) -> Self {
        let listener = listener.try_clone().expect("another descriptor");
        // The shell makes the third descriptor of the socket, and becomes the server.
        let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&0 </dev/null";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(program_file())
            .args(["--listen", "systemd", "--database", "sqlite:users.db"])
            .args(options)
            .current_dir(scratch.path())
            .env("USHER_LOG_FORMAT", "text")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let kill_guard = KillGuard::process(child.id());
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let (sender, ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if line.contains("listening on http://") {
                    let _ = sender.send(());
                }
            }
        });
        let waited = ready.recv_timeout(Duration::from_mins(1));
        waited.expect("it listens");
        Self {
            child,
            _kill_guard: kill_guard,
        }
    }

    fn end(mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it runs"), Signal::TERM).expect("it runs");
        let ended = self.child.wait().expect("it ends");
        assert!(ended.success(), "{ended}");
    }
}

/// One process after the other takes over a socket, and clients notice nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passed_socket_is_handed_from_process_to_process_without_a_lost_request() {
    let handovers = std::env::var("USHER_TEST_SIGTERMS").ok();
    let handovers = handovers.and_then(|count| count.parse().ok()).unwrap_or(2);
    let scratch = Scratch::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let options = ["--drain-delay", "100ms", "--workers", "1"];
    let mut running = Activated::start(&scratch, &listener, &options);
    let (answered, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        let (address, answered) = (address.clone(), Arc::clone(&answered));
        let is_over = Arc::clone(&is_over);
        clients.spawn(async move {
            while is_over.load(Relaxed) == 0 {
                let stream = TcpStream::connect(&address)
                    .await
                    .expect("it listens always");
                let response = http::send(stream, &Request::get("/users/1"), &address).await;
                assert_eq!(response.expect("a response").status, 404);
                answered.fetch_add(1, Relaxed);
            }
        });
    }
    for _ in 0..handovers {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let next = tokio::task::block_in_place(|| {
            let next = Activated::start(&scratch, &listener, &options);
            running.end();
            next
        });
        running = next;
    }
    is_over.store(1, Relaxed);
    while let Some(client) = clients.join_next().await {
        client.expect("no request is lost");
    }
    running.end();
    figures::print(
        "a passed socket",
        &format!(
            "{handovers} handovers: {} requests answered, 0 lost",
            answered.load(Relaxed)
        ),
    );
}

/// A connection from an address of this machine that is no trusted proxy.
async fn connect_from(local: &str, address: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    let local = format!("{local}:0").parse().expect("an address");
    socket.bind(local).expect("it is this machine's");
    let address = address.parse().expect("an address");
    socket.connect(address).await.expect("a connection")
}

async fn is_served(stream: &mut TcpStream) -> bool {
    let request = Request::get("/users/1").header("connection", "keep-alive");
    let sent = stream.write_all(&request.encode("localhost")).await;
    sent.is_ok() && http::Reader::new(stream).response("GET").await.is_ok()
}

#[tokio::test]
async fn client_address_over_its_limit_is_refused_and_others_are_served() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch)
        .args(["--database", "memory:", "--listen", "127.0.0.1:0"])
        .args([
            "--max-client-connections",
            "3",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .spawn();
    let operators = running.operators();
    let address = running.address();
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_from("127.0.0.2", &address).await;
        assert!(is_served(&mut stream).await);
        open.push(stream);
    }
    assert!(!is_served(&mut connect_from("127.0.0.2", &address).await).await);
    running.line("its client has 3 others (--max-client-connections)");
    assert!(is_served(&mut connect_from("127.0.0.3", &address).await).await);
    // A trusted proxy has no limit.
    let mut proxied = Vec::new();
    for _ in 0..5 {
        let mut stream = connect_from("127.0.0.1", &address).await;
        assert!(is_served(&mut stream).await);
        proxied.push(stream);
    }
    let metrics = send_request(&operators, Request::get("/metrics"))
        .await
        .text();
    assert!(
        metrics.contains("usher_connections_refused_total 1\n"),
        "{metrics}"
    );
    // There is room again once one of them is closed.
    drop(open.pop());
    while !is_served(&mut connect_from("127.0.0.2", &address).await).await {}
}

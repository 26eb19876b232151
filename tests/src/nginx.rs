//! A real proxy in front of the program under test: nginx with its defaults and a test's own
//! locations.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use usher_testing::janitor::{KillGuard, Scratch};
use usher_testing::process::WAIT_LIMIT;
use usher_testing::programs::Program;

/// A running nginx, killed when dropped.
#[derive(Debug)]
pub struct Nginx {
    address: String,
    child: Child,
    _kill_guard: KillGuard,
    _scratch: Scratch,
}

/// How many ports to try, because another test may bind a free port first.
const PORTS: usize = 8;

impl Nginx {
    /// Starts nginx on a free port of 127.0.0.1, with these lines in its only `server`.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start(server: &str) -> Self {
        for _ in 0..PORTS {
            if let Some(nginx) = Self::try_start(server) {
                return nginx;
            }
        }
        panic!("nginx does not start: see its messages above");
    }

    fn try_start(server: &str) -> Option<Self> {
        let scratch = Scratch::new();
        let address = free_port();
        let folder = scratch.path().display();
        // It writes only to the test's directory.
        let config = format!(
            "worker_processes 1; daemon off; master_process off; pid {folder}/nginx.pid; \
                error_log {folder}/error.log;
             events {{}}
             http {{
                 access_log off;
                 client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; \
                 fastcgi_temp_path {folder}/fastcgi;
                 uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
                 server {{ listen {address}; {server} }}
             }}"
        );
        let file = scratch.path().join("nginx.conf");
        let mut written = std::fs::File::create(&file).ok()?;
        written.write_all(config.as_bytes()).ok()?;
        let mut child = Program::find("nginx", "nginx-light")
            .unwrap_or_else(|error| panic!("{error}"))
            .command()
            .arg("-p")
            .arg(scratch.path())
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let kill_guard = KillGuard::process(child.id());
        let deadline = Instant::now() + WAIT_LIMIT;
        while TcpStream::connect(address).is_err() {
            if child.try_wait().is_ok_and(|ended| ended.is_some()) || Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(Self {
            address: address.to_string(),
            child,
            _kill_guard: kill_guard,
            _scratch: scratch,
        })
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it is bound")
}

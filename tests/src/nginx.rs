//! A real proxy in front of the program under test: nginx with its defaults and a test's own
//! locations.

use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use usher_testing::janitor::{KillGuard, Scratch};
use usher_testing::process::WAIT_LIMIT;
use usher_testing::programs::Program;
use usher_testing::reserved_port::ReservedPort;

/// A running nginx, killed when dropped.
#[derive(Debug)]
pub struct Nginx {
    address: String,
    child: Child,
    _kill_guard: KillGuard,
    _port: ReservedPort,
    _scratch: Scratch,
}

impl Nginx {
    /// Starts nginx on a free port of 127.0.0.1, with these lines in its only `server`.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start(server: &str) -> Self {
        let scratch = Scratch::new();
        let port = ReservedPort::new().unwrap_or_else(|error| panic!("{error}"));
        let address = format!("127.0.0.1:{}", port.number());
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
        std::fs::write(&file, config).expect("the test's own directory");
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
        while TcpStream::connect(&address).is_err() {
            let is_running = child.try_wait().is_ok_and(|ended| ended.is_none());
            assert!(
                is_running && Instant::now() < deadline,
                "nginx does not start: see its messages above"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Self {
            address,
            child,
            _kill_guard: kill_guard,
            _port: port,
            _scratch: scratch,
        }
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

//! A PgBouncer before a PostgreSQL server, from the program that is installed on this machine.

use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::config::Host;

use crate::cluster::unprivileged_user;
use crate::janitor::Doomed;
use crate::process::PATIENCE;

/// For how long a server session belongs to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// As long as the connection lasts.
    Session,
    /// For a transaction.
    Transaction,
}

/// A running PgBouncer. It is gone when this value or the process is.
#[derive(Debug)]
pub struct PgBouncer {
    process: Option<(Child, Doomed)>,
    settings: String,
    port: u16,
    database: String,
}

impl PgBouncer {
    /// Starts one that leads to the server and role of this URL, whatever the database, with these
    /// further settings.
    ///
    /// # Panics
    /// Where PgBouncer is not installed or does not start.
    #[track_caller]
    pub fn start(url: &str, pooling: Pooling, settings: &[&str]) -> Self {
        let server: tokio_postgres::Config = url.parse().expect("a URL");
        let host = match server.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            _ => "127.0.0.1".to_owned(),
        };
        let port = server.get_ports().first().copied().unwrap_or(5432);
        let password = server.get_password().unwrap_or_default();
        let mut text = format!(
            "[databases]\n* = host={host} port={port} user={} password={}\n[pgbouncer]\n\
             auth_type = any\nunix_socket_dir =\nlisten_addr = 127.0.0.1\npool_mode = {}\n\
             log_connections = 0\nlog_disconnections = 0\nlog_pooler_errors = 0\n",
            server.get_user().unwrap_or("postgres"),
            String::from_utf8_lossy(password),
            match pooling {
                Pooling::Session => "session",
                Pooling::Transaction => "transaction",
            }
        );
        for setting in settings {
            let _ = writeln!(text, "{setting}");
        }
        let mut this = Self {
            process: None,
            settings: text,
            port: free_port(),
            database: server.get_dbname().unwrap_or("postgres").to_owned(),
        };
        // Another process may take the port before it is bound.
        for _ in 0..5 {
            if this.restart() {
                return this;
            }
            this.port = free_port();
        }
        panic!("PgBouncer does not start");
    }

    /// The URL of the database it was started for, for clients.
    pub fn url(&self) -> String {
        format!("postgres://usher@127.0.0.1:{}/{}", self.port, self.database)
    }

    /// The URL of its console, where `SHOW POOLS`, `PAUSE` and their like are said.
    pub fn console(&self) -> String {
        format!("postgres://usher@127.0.0.1:{}/pgbouncer", self.port)
    }

    /// Its process id.
    ///
    /// # Panics
    /// Where it was stopped.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").0.id()
    }

    /// Kills it: all its connections are cut.
    pub fn stop(&mut self) {
        if let Some((mut process, doomed)) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
            drop(doomed);
        }
    }

    /// Starts it again, on the port it had. Gives whether it accepts connections.
    ///
    /// # Panics
    /// Where PgBouncer is not installed.
    pub fn restart(&mut self) -> bool {
        self.stop();
        let (uid, gid) = if rustix::process::geteuid().is_root() {
            // It refuses to run as root.
            unprivileged_user()
        } else {
            (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            )
        };
        let file = Settings::write(
            &format!("{}listen_port = {}\n", self.settings, self.port),
            uid,
            gid,
        );
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
            .into_iter()
            .find(|program| Path::new(program).exists())
            .unwrap_or("pgbouncer");
        let mut command = Command::new(program);
        command
            .arg("-q")
            .arg(file.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(uid).gid(gid);
        }
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start {program} (on Debian: apt install pgbouncer): {error}")
        });
        let doomed = Doomed::process(process.id());
        let began = Instant::now();
        // Another process may have the port: what answers there must be this one.
        while TcpStream::connect(("127.0.0.1", self.port)).is_err()
            || !listens(process.id(), self.port)
        {
            if began.elapsed() > PATIENCE || process.try_wait().is_ok_and(|end| end.is_some()) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process = Some((process, doomed));
        true
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The file of settings, which holds a password: it is there only until it was read.
struct Settings(PathBuf);

impl Settings {
    fn write(text: &str, uid: u32, gid: u32) -> Self {
        let directory = (0..u32::MAX)
            .map(|attempt| {
                let process = std::process::id();
                std::env::temp_dir().join(format!("usher-pgbouncer.{process}.{attempt}"))
            })
            .find(|path| std::fs::DirBuilder::new().mode(0o700).create(path).is_ok())
            .expect("there are more names than directories");
        let this = Self(directory);
        std::fs::write(this.path(), text).expect("a file");
        chown(this.path(), Some(uid), Some(gid)).expect("its own file");
        chown(&this.0, Some(uid), Some(gid)).expect("its own directory");
        this
    }

    fn path(&self) -> PathBuf {
        self.0.join("pgbouncer.ini")
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether it is this process that listens on a port of 127.0.0.1.
fn listens(process: u32, port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let listening = table.lines().skip(1).filter_map(|line| {
        // proc_net_tcp: the local address is the second, the state the fourth (0A: listening), the
        // socket's number the tenth.
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state, number) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (local.ends_with(&format!(":{port:04X}")) && *state == "0A")
            .then(|| format!("socket:[{number}]"))
    });
    let sockets: Vec<String> = listening.collect();
    let open = std::fs::read_dir(format!("/proc/{process}/fd"));
    open.into_iter().flatten().flatten().any(|file| {
        std::fs::read_link(file.path())
            .is_ok_and(|target| sockets.iter().any(|socket| target == Path::new(socket)))
    })
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port on 127.0.0.1")
        .port()
}

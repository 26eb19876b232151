//! A PgBouncer in front of a PostgreSQL server, from the program installed on this machine.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::config::Host;

use crate::cluster::unprivileged_user;
use crate::janitor::KillGuard;
use crate::process::WAIT_LIMIT;
use crate::programs::Program;
use crate::reserved_port::ReservedPort;

/// How long a client connection keeps its server session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// As long as the client connection lasts.
    Session,
    /// For one transaction.
    Transaction,
}

/// A running PgBouncer, ended when this value is dropped or this process ends.
#[derive(Debug)]
pub struct PgBouncer {
    process: Option<(Child, KillGuard)>,
    settings: String,
    port: ReservedPort,
    database: String,
}

impl PgBouncer {
    /// Starts a PgBouncer for the server and role of this URL, for every database, with these
    /// additional settings.
    ///
    /// # Panics
    /// If PgBouncer is not installed or does not start.
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
            port: ReservedPort::new().unwrap_or_else(|error| panic!("{error}")),
            database: server.get_dbname().unwrap_or("postgres").to_owned(),
        };
        assert!(this.restart(), "PgBouncer does not start");
        this
    }

    /// The URL for clients of the database that it was started for.
    pub fn url(&self) -> String {
        let (port, database) = (self.port.number(), &self.database);
        format!("postgres://usher@127.0.0.1:{port}/{database}")
    }

    /// The URL of its console, which accepts `SHOW POOLS`, `PAUSE` and similar commands.
    pub fn console(&self) -> String {
        let port = self.port.number();
        format!("postgres://usher@127.0.0.1:{port}/pgbouncer")
    }

    /// Its process id.
    ///
    /// # Panics
    /// If it was stopped.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").0.id()
    }

    /// Kills it and so closes all its connections.
    pub fn stop(&mut self) {
        if let Some((mut process, kill_guard)) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
            drop(kill_guard);
        }
    }

    /// Starts it again on the same port. Returns whether it accepts connections.
    ///
    /// # Panics
    /// If PgBouncer is not installed.
    pub fn restart(&mut self) -> bool {
        self.stop();
        let (uid, gid) = if rustix::process::geteuid().is_root() {
            // PgBouncer refuses to run as root.
            unprivileged_user()
        } else {
            (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            )
        };
        let file = Settings::write(
            &format!("{}listen_port = {}\n", self.settings, self.port.number()),
            uid,
            gid,
        );
        let program =
            Program::find("pgbouncer", "pgbouncer").unwrap_or_else(|error| panic!("{error}"));
        let mut command = program.command();
        command
            .arg("-q")
            .arg(file.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(uid).gid(gid);
        }
        let mut process = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {program:?}: {error}"));
        let kill_guard = KillGuard::process(process.id());
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port.number())).is_err() {
            if began.elapsed() > WAIT_LIMIT || process.try_wait().is_ok_and(|end| end.is_some()) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process = Some((process, kill_guard));
        true
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The file of settings. It holds a password and is removed as soon as it was read.
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

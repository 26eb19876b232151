//! A throw-away PostgreSQL cluster from the machine's programs, or from fetched ones.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::programs::PostgreSql;
use crate::reserved_port::ReservedPort;

/// How the server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Open transactions are rolled back and clients told, as when an administrator restarts it.
    Fast,
    /// As by a power cut: every process at once, by SIGKILL.
    Kill,
}

/// How a server's certificate is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// By an authority, with the name as an alternative one.
    Authority,
    /// The same, with an address as an alternative name.
    AuthorityAddress,
    /// By an authority, as PostgreSQL's manual has it (18.9.5): of X.509 version 1, with a common
    /// name alone.
    AuthorityV1,
    /// By itself, as the manual has it: of version 3, an authority too, with a common name alone.
    SelfSigned,
    /// By itself, of version 1.
    SelfSignedV1,
}

/// A cluster of this process's own: it is gone when this value or the process is, however the
/// process ends.
#[derive(Debug)]
pub struct Cluster {
    shell: Mutex<Shell>,
    port: ReservedPort,
    password: String,
}

impl Cluster {
    /// Makes a cluster and starts its server, which takes about a second.
    ///
    /// # Errors
    /// One line that says what is missing or what went wrong, and what to do about it.
    pub fn start() -> Result<Self, String> {
        Self::with("init")
    }

    /// The same with PostgreSQL's own settings, so that a commit waits for the disk as it would in
    /// earnest.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn durable() -> Result<Self, String> {
        Self::with("durable")
    }

    fn with(init: &str) -> Result<Self, String> {
        let mut shell = Shell::start(&PostgreSql::find()?)?;
        let password = random_password()?;
        shell
            .order(&format!("{init} {password}"))
            .map_err(|error| format!("initdb failed: {error}"))?;
        let port = ReservedPort::new()?;
        shell
            .order(&format!("start {}", port.number()))
            .map_err(|error| format!("PostgreSQL does not start: {error}"))?;
        Ok(Self {
            shell: Mutex::new(shell),
            port,
            password,
        })
    }

    /// The URL of its database `postgres`, with the superuser and the password.
    pub fn url(&self) -> String {
        format!(
            "postgres://usher:{}@127.0.0.1:{}/postgres",
            self.password,
            self.port()
        )
    }

    /// Its port on 127.0.0.1, the same after every [`Cluster::restart`], and nobody else's while
    /// the server is stopped.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The server's first process, of which all others are children.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn pid(&self) -> Result<u32, String> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = shell.order("pid")?;
        pid.parse().map_err(|_| format!("{pid} is no process id"))
    }

    /// Stops the server and waits until all its processes are gone.
    ///
    /// # Panics
    /// Where it does not stop.
    pub fn stop(&self, how: Stop) {
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Kill => "kill",
        };
        self.order(&format!("stop {mode}"));
    }

    /// Starts the server again, on the port it had, and waits until it accepts connections.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn restart(&self) {
        self.order(&format!("start {}", self.port()));
    }

    /// Starts the server again as a hot standby whose primary is gone: it can be read from, and
    /// refuses whatever writes. It takes a server that was stopped in order, with `wal_level` at
    /// least `replica`.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn restart_as_standby(&self) {
        self.order(&format!("standby {}", self.port()));
    }

    /// Makes a standby take writes, under the connections it has, and waits until it does.
    ///
    /// # Panics
    /// Where it does not.
    pub fn promote(&self) {
        self.order("promote");
    }

    /// Has the server offer TLS from its next start, with a certificate for this name. The
    /// certificate of the authority that vouches for it is the file `ca.crt` in the server's data
    /// directory.
    ///
    /// # Panics
    /// Where the program `openssl` is not there, or fails.
    pub fn certify(&self, name: &str) {
        self.certify_as(Certificate::Authority, name);
    }

    /// The same with a certificate of another make.
    ///
    /// # Panics
    /// Where the program `openssl` is not there, or fails.
    pub fn certify_as(&self, kind: Certificate, name: &str) {
        let kind = match kind {
            Certificate::Authority => "authority",
            Certificate::AuthorityAddress => "authority-address",
            Certificate::AuthorityV1 => "authority-v1",
            Certificate::SelfSigned => "self",
            Certificate::SelfSignedV1 => "self-v1",
        };
        self.order(&format!("certify {kind} {name}"));
    }

    /// Lets none of the server's files grow beyond so many bytes, or whatever size, where none is
    /// given. A limit that is no multiple of a page's 8 KiB has the effect of a full disk: the
    /// kernel writes a part of a page, and PostgreSQL takes that for what it usually is
    /// (`disk_full`, 53100). No privileges are needed, unlike for a disk that is really full.
    ///
    /// # Panics
    /// Where `prlimit` of util-linux is not there, or fails.
    pub fn limit_files(&self, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => self.order(&format!("limit {bytes}")),
            None => self.order("limit unlimited"),
        }
    }

    fn order(&self, order: &str) {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = shell.order(order) {
            panic!("PostgreSQL does not {order}: {error}");
        }
    }
}

/// The shell that runs the cluster, as the user who owns it.
#[derive(Debug)]
struct Shell {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Shell {
    fn start(postgresql: &PostgreSql) -> Result<Self, String> {
        let mut command = Command::new("sh");
        command
            .args(["-c", include_str!("cluster.sh"), "usher-testing-cluster"])
            .arg(&postgresql.programs)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        for (name, _) in std::env::vars_os() {
            // PGDATA, PGPORT, PGOPTIONS and their like are meant for another cluster.
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Some(libraries) = &postgresql.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        if rustix::process::geteuid().is_root() {
            // PostgreSQL refuses to run as root.
            let (uid, gid) = unprivileged_user();
            command.uid(uid).gid(gid);
        }
        let mut process = command
            .spawn()
            .map_err(|error| format!("cannot start sh to run PostgreSQL: {error}"))?;
        let answers = process.stdout.take().ok_or("sh has no standard output")?;
        Ok(Self {
            orders: process.stdin.take(),
            answers: BufReader::new(answers),
            process,
        })
    }

    /// Gives what there is to say.
    fn order(&mut self, order: &str) -> Result<String, String> {
        let orders = self.orders.as_mut().ok_or("the cluster is gone")?;
        writeln!(orders, "{order}").map_err(|error| error.to_string())?;
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .map_err(|error| error.to_string())?;
        let answer = answer.trim();
        match answer {
            "" => Err("no directory for temporary files can be written to".to_owned()),
            _ => match answer.strip_prefix("ok") {
                Some(rest) => Ok(rest.trim().to_owned()),
                None => Err(answer.trim_start_matches("failed ").to_owned()),
            },
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The end of the orders makes it stop the server, remove the directory and end.
        self.orders = None;
        let _ = self.process.wait();
    }
}

/// The user and group ids of `postgres`, or else of `nobody`.
pub(crate) fn unprivileged_user() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |name: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields[..] {
                [user, _, uid, gid, ..] if user == name => {
                    Some((uid.parse().ok()?, gid.parse().ok()?))
                }
                _ => None,
            }
        })
    };
    ids("postgres")
        .or_else(|| ids("nobody"))
        .unwrap_or((65534, 65534))
}

/// Keeps other users of this machine out of the cluster, whose superuser may run programs.
fn random_password() -> Result<String, String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| format!("/dev/urandom: {error}"))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::{Cluster, Stop};
    use std::net::TcpStream;

    #[test]
    fn cluster_survives_a_crash_and_is_removed_on_drop() {
        let cluster = Cluster::start().unwrap_or_else(|error| panic!("{error}"));
        let port = cluster.port();
        for stop in [Stop::Fast, Stop::Kill] {
            TcpStream::connect(("127.0.0.1", port)).expect("a running server accepts connections");
            cluster.stop(stop);
            TcpStream::connect(("127.0.0.1", port)).expect_err("a stopped server accepts none");
            cluster.restart();
        }
        drop(cluster);
        TcpStream::connect(("127.0.0.1", port)).expect_err("nothing is left of it");
    }
}

//! A throw-away PostgreSQL server for whoever has none to give. It keeps PostgreSQL's own settings, so that a commit waits
//! for the disk as it would in earnest.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Error;

/// Makes the server, says the process id of its first process, and removes all of it when standard input ends, which it also
/// does when this program is killed. `$1` is where PostgreSQL's programs are, `$2` the port; standard input begins with the
/// password.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
umask 077
dir=$(mktemp -d "${TMPDIR:-/tmp}/usher-bench.XXXXXX" 2>/dev/null) || dir=$(mktemp -d /tmp/usher-bench.XXXXXX) || exit
cd "$dir" || exit
trap '"$1/pg_ctl" stop --pgdata=data --silent --mode=immediate >stop.log 2>&1; cd / && rm -rf "$dir"' EXIT
IFS= read -r password && printf '%s\n' "$password" >password
"$1/initdb" --pgdata=data --username=usher --pwfile=password --auth=scram-sha-256 --encoding=UTF8 --locale=C \
    --no-sync >init.log 2>&1 </dev/null || { tail -n 1 init.log; exit; }
printf "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 300\n" >>data/postgresql.conf
"$1/pg_ctl" start --pgdata=data --wait --silent --log=server.log --options="-p $2" >start.log 2>&1 </dev/null ||
    { tail -n 1 server.log; exit; }
echo "ok $(head -n 1 data/postmaster.pid)"
read -r end
"#;

/// A running server; stopped and removed when dropped.
#[derive(Debug)]
pub struct Cluster {
    shell: Child,
    /// A URL of its first database, with the right to make others.
    pub url: String,
    /// Its first process, of which all others are children.
    pub pid: u32,
}

impl Cluster {
    /// Starts a server.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or does not start.
    pub fn start() -> Result<Self, Error> {
        let programs = programs().ok_or(
            "no initdb on PATH or in /usr/lib/postgresql: install PostgreSQL, or give a server with --postgres",
        )?;
        let password = password()?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut command = Command::new("sh");
        command
            .args(["-c", SCRIPT, "sh"])
            .arg(programs)
            .arg(port.to_string());
        command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if is_root()? {
            // PostgreSQL refuses to be run by root.
            let (user, group) =
                unprivileged().ok_or("no user postgres or nobody to run PostgreSQL as")?;
            command.uid(user).gid(group);
        }
        let mut shell = command.spawn()?;
        let (stdin, stdout) = (shell.stdin.as_mut(), shell.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err("a shell without standard input or output".into());
        };
        writeln!(stdin, "{password}")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let pid = line
            .strip_prefix("ok ")
            .and_then(|pid| pid.trim().parse().ok())
            .ok_or_else(|| format!("PostgreSQL does not start: {}", line.trim()))?;
        let url = format!("postgres://usher:{password}@127.0.0.1:{port}/postgres");
        Ok(Self { shell, url, pid })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The end of its input ends the shell, which removes what it made; there is nobody to tell if it cannot.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// The newest PostgreSQL's programs, or those on PATH.
fn programs() -> Option<PathBuf> {
    let complete = |directory: &Path| {
        ["initdb", "pg_ctl", "postgres"]
            .iter()
            .all(|program| directory.join(program).is_file())
    };
    let version = |path: &Path| path.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    std::env::split_paths(&path)
        .find(|directory| complete(directory))
        .or_else(|| {
            debian
                .map(|entry| entry.path().join("bin"))
                .filter(|directory| complete(directory))
                .max_by_key(|directory| version(directory))
        })
}

/// Keeps other users of this machine out of the server, whose superuser may run programs.
fn password() -> Result<String, Error> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

fn is_root() -> Result<bool, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let user = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    Ok(user == Some("0"))
}

fn unprivileged() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|name| {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields[..] {
                [user, _, uid, gid, ..] if user == *name => {
                    Some((uid.parse().ok()?, gid.parse().ok()?))
                }
                _ => None,
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::Cluster;
    use std::net::TcpStream;
    use tokio_postgres::{Config, NoTls};

    #[tokio::test]
    async fn a_cluster_answers_and_is_gone_when_dropped() {
        let cluster = Cluster::start().expect("PostgreSQL is installed");
        let config: Config = cluster.url.parse().expect("a URL");
        let (client, connection) = config.connect(NoTls).await.expect("it accepts connections");
        let connection = tokio::spawn(connection);
        let row = client.query_one("SELECT 1", &[]).await.expect("it answers");
        assert_eq!(row.get::<_, i32>(0), 1);
        drop(client);
        connection.await.expect("no panic").expect("a clean end");
        let port = config.get_ports()[0];
        drop(cluster);
        TcpStream::connect(("127.0.0.1", port)).expect_err("nothing listens any more");
    }
}

//! The PostgreSQL database that the servers share: all of them see the same rows, and none pays for
//! rows that another added.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls};
use usher_testing::cluster::Cluster;

use super::process;
use super::scenario::{SLOW_SECONDS, SLOW_USER};
use crate::Error;
use crate::native::POSTGRES_SCHEMA;

/// Prefix of the databases that this program creates.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A database of its own on a PostgreSQL server; dropped with this.
#[derive(Debug)]
pub struct Database {
    runtime: Runtime,
    /// Connected to the database in the URL that was given.
    server: Client,
    /// Connected to the database under measurement.
    client: Client,
    name: String,
    /// The URL for the servers.
    pub url: String,
    cluster: Option<Cluster>,
    /// Whether there is a user that takes long to read.
    slow: Cell<bool>,
}

impl Database {
    /// Creates one on the server with this URL, or on a temporary server.
    ///
    /// # Errors
    /// If there is no such server, or the role may not create databases on it.
    pub fn make(url: Option<&str>) -> Result<Self, Error> {
        let (cluster, url) = if let Some(url) = url {
            (None, url.to_owned())
        } else {
            let cluster = Cluster::durable()?;
            let url = cluster.url();
            (Some(cluster), url)
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("usher_bench_{}_{number}", std::process::id());
        let config: Config = url.parse()?;
        let server = runtime.block_on(connect(&config))?;
        runtime.block_on(server.batch_execute(&format!("CREATE DATABASE {name}")))?;
        let client = runtime.block_on(connect(config.clone().dbname(&name)))?;
        runtime.block_on(client.batch_execute(POSTGRES_SCHEMA))?;
        let url = with_database(&url, &name).ok_or("the URL of PostgreSQL names no host")?;
        Ok(Self {
            runtime,
            server,
            client,
            name,
            url,
            cluster,
            slow: Cell::new(false),
        })
    }

    /// The server's version.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn version(&self) -> Result<String, Error> {
        let row = self
            .runtime
            .block_on(self.client.query_one("SHOW server_version", &[]))?;
        Ok(row.try_get(0)?)
    }

    /// Leaves users 1 to `users` in a table that is otherwise as good as new.
    ///
    /// # Errors
    /// If the database refuses.
    pub fn fill(&self, users: u64) -> Result<(), Error> {
        let insert = format!(
            "INSERT INTO users (name, email)
             SELECT 'User ' || n, 'user.' || n || '@example.com' FROM generate_series(1, {users}) \
             AS n ORDER BY n"
        );
        for statement in [
            "TRUNCATE users RESTART IDENTITY",
            &insert,
            "VACUUM ANALYZE users",
            "CHECKPOINT",
        ] {
            self.runtime
                .block_on(self.client.batch_execute(statement))?;
        }
        Ok(())
    }

    /// Adds a user that takes long to read, or removes it. With it, servers read a view of the
    /// table.
    ///
    /// # Errors
    /// If the database refuses.
    pub fn slow_user(&self, exists: bool) -> Result<(), Error> {
        if self.slow.get() == exists {
            return Ok(());
        }
        let statements = if exists {
            format!(
                "INSERT INTO users (id, name, email) VALUES ({SLOW_USER}, 'Slow', \
                    'slow@example.com');
                 ALTER TABLE users RENAME TO users_table;
                 CREATE VIEW users AS SELECT id,
                     CASE WHEN id = {SLOW_USER} THEN name || pg_sleep({SLOW_SECONDS})::text ELSE \
                     name END AS name,
                     email, version
                 FROM users_table"
            )
        } else {
            "DROP VIEW users; ALTER TABLE users_table RENAME TO users".to_owned()
        };
        self.runtime
            .block_on(self.client.batch_execute(&statements))?;
        self.slow.set(exists);
        Ok(())
    }

    /// Sets whether commits wait for the disk, for connections made from now on.
    ///
    /// # Errors
    /// If the database refuses.
    pub fn wait_for_disk(&self, wait: bool) -> Result<(), Error> {
        let value = if wait { "on" } else { "off" };
        let statement = format!(
            "ALTER DATABASE {} SET synchronous_commit = {value}",
            self.name
        );
        Ok(self
            .runtime
            .block_on(self.client.batch_execute(&statement))?)
    }

    /// Processor time of the server, if this program started it.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu(&self) -> std::io::Result<Option<std::time::Duration>> {
        self.cluster
            .as_ref()
            .map(|cluster| {
                let pid = cluster.pid().map_err(std::io::Error::other)?;
                process::cpu_with_children(pid)
            })
            .transpose()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        if let Err(error) = self.runtime.block_on(self.server.batch_execute(&statement)) {
            eprintln!("the database {} is left behind: {error}", self.name);
        }
    }
}

async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // The next statement reports whatever ended it.
    tokio::spawn(async { drop(connection.await) });
    Ok(client)
}

/// The same URL with another database in its path.
fn with_database(url: &str, name: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (place, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let authority = place.split('/').next()?;
    Some(format!("{scheme}://{authority}/{name}{query}"))
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn database_url_with_new_name_keeps_its_other_parts() {
        for (url, expected) in [
            ("postgres://a:b@c:5/d?e=f/g", "postgres://a:b@c:5/x?e=f/g"),
            ("postgres://c", "postgres://c/x"),
            ("postgresql://c/?e=f", "postgresql://c/x?e=f"),
        ] {
            assert_eq!(with_database(url, "x").as_deref(), Some(expected));
        }
    }
}

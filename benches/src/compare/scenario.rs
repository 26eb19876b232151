//! The requests that the servers get.

use std::net::SocketAddr;

use super::certificate::Certificate;
use super::contestant::{Contestant, Programs};
use crate::Error;
use crate::load::{Requests, Transport};

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// GET of one user, PostgreSQL.
    Get,
    /// The same with a fresh instance for each request.
    GetFresh,
    /// The same over 64 connections, for the slowest answers.
    Get64,
    /// GET of one user, PostgreSQL, while one more client sends a request that takes PostgreSQL a
    /// tenth of a second.
    GetBesideSlow,
    /// GET of one user, PostgreSQL, over TLS.
    GetTls,
    /// GET of one user, PostgreSQL, by HTTP/2 without TLS.
    GetHttp2,
    /// GET of one user, PostgreSQL, by HTTP/2 over TLS.
    GetTlsHttp2,
    /// GET of one user, PostgreSQL, over TLS, with a new connection and a full handshake for each.
    Handshake,
    /// GET of one user, in memory.
    GetMemory,
    /// POST, PostgreSQL; a commit waits for the disk.
    Post,
    /// POST, PostgreSQL; a commit does not wait for the disk (`synchronous_commit = off`).
    PostUnflushed,
    /// GET of a page of 100 users, PostgreSQL.
    List,
    /// GET of the list of users with one address, PostgreSQL.
    ListByEmail,
    /// GET of all users as NDJSON, of which there are 100,000, PostgreSQL, over four connections.
    Ndjson,
    /// PUT, PostgreSQL; a commit does not wait for the disk.
    Put,
    /// PATCH of a user whose version is given (`If-Match`), PostgreSQL; a commit does not wait for
    /// the disk.
    Patch,
    /// DELETE, PostgreSQL; a commit does not wait for the disk.
    Delete,
    /// GET of one user, SQLite file.
    GetFile,
    /// POST, SQLite file; a commit waits for the disk.
    PostFile,
    /// The same with one client alone.
    PostFileAlone,
    /// Nine GET and one POST, SQLite file. The latencies are those of GET.
    MixedFile,
    /// From starting a server to its first answer.
    Start,
}

/// The user that takes PostgreSQL [`SLOW_SECONDS`] to read.
pub const SLOW_USER: u32 = 2_000_000_000;

/// How long that takes.
pub const SLOW_SECONDS: f32 = 0.1;

/// How many users one run can delete.
const MOST_DELETED: u64 = 300_000;

/// How many users are changed one after the other, before the first is changed again.
const MOST_CHANGED: u64 = 50_000;

/// How many users a list as NDJSON has.
const STREAMED: u64 = 100_000;

/// How many users a page has.
const PAGE: u64 = 100;

impl Scenario {
    /// Its name in the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Get => "GET, PostgreSQL",
            Self::GetFresh => "GET, PostgreSQL, fresh instances",
            Self::Get64 => "GET, PostgreSQL, 64 connections",
            Self::GetBesideSlow => "GET, PostgreSQL, beside a slow query",
            Self::GetTls => "GET, PostgreSQL, TLS",
            Self::GetHttp2 => "GET, PostgreSQL, HTTP/2",
            Self::GetTlsHttp2 => "GET, PostgreSQL, TLS and HTTP/2",
            Self::Handshake => "GET, PostgreSQL, a TLS handshake for each",
            Self::GetMemory => "GET, in memory",
            Self::Post => "POST, PostgreSQL",
            Self::PostUnflushed => "POST, PostgreSQL, not waiting for the disk",
            Self::List => "GET of 100 users, PostgreSQL",
            Self::ListByEmail => "GET of users by address, PostgreSQL",
            Self::Ndjson => "GET of 100,000 users as NDJSON, PostgreSQL",
            Self::Put => "PUT, PostgreSQL, not waiting for the disk",
            Self::Patch => "PATCH with If-Match, PostgreSQL, not waiting for the disk",
            Self::Delete => "DELETE, PostgreSQL, not waiting for the disk",
            Self::GetFile => "GET, SQLite file",
            Self::PostFile => "POST, SQLite file",
            Self::PostFileAlone => "POST, SQLite file, one client",
            Self::MixedFile => "GET beside 10 % POST, SQLite file",
            Self::Start => "start to first answer",
        }
    }

    /// Whether users are in PostgreSQL.
    pub fn on_postgres(self) -> bool {
        !self.on_file() && !matches!(self, Self::GetMemory | Self::Start)
    }

    /// Whether clients connect over TLS.
    pub fn is_over_tls(self) -> bool {
        matches!(self, Self::GetTls | Self::GetTlsHttp2 | Self::Handshake)
    }

    /// Whether clients speak HTTP/2.
    pub fn is_by_http2(self) -> bool {
        matches!(self, Self::GetHttp2 | Self::GetTlsHttp2)
    }

    /// How clients connect to servers with this certificate.
    ///
    /// # Errors
    /// If the certificate cannot be used.
    pub fn transport(self, certificate: Option<&Certificate>) -> Result<Transport, Error> {
        let mut transport = Transport::default();
        if self.is_by_http2() {
            transport = transport.http2();
        }
        if self == Self::Handshake {
            transport = transport.closing();
        }
        match certificate {
            Some(certificate) => transport.tls(&certificate.file),
            None => Ok(transport),
        }
    }

    /// Whether each server keeps users in an SQLite file.
    pub fn on_file(self) -> bool {
        matches!(
            self,
            Self::GetFile | Self::PostFile | Self::PostFileAlone | Self::MixedFile
        )
    }

    /// Whether users are written, so that each run has to begin with those of
    /// [`users`](Self::users) alone.
    pub fn writes(self) -> bool {
        self.creates() || matches!(self, Self::Put | Self::Patch | Self::Delete)
    }

    fn creates(self) -> bool {
        matches!(
            self,
            Self::Post | Self::PostUnflushed | Self::PostFile | Self::PostFileAlone
        )
    }

    /// Whether a commit waits for the disk.
    pub fn waits_for_disk(self) -> bool {
        !matches!(
            self,
            Self::PostUnflushed | Self::Put | Self::Patch | Self::Delete
        )
    }

    /// How many users there have to be, where reads of single users go over so many.
    pub fn users(self, users: u64) -> u64 {
        match self {
            _ if self.creates() || self == Self::Start => 0,
            // A connection may be slow: no user is changed again before it has the version that the
            // next request expects.
            Self::Patch => users.max(MOST_CHANGED),
            // None is deleted twice.
            Self::Delete => users.max(MOST_DELETED),
            Self::Ndjson => STREAMED,
            // One more, so that a page has a link to the next one.
            Self::List => users.max(PAGE + 1),
            _ => users,
        }
    }

    /// How many connections; `usual` of them in most scenarios.
    pub fn connections(self, usual: usize) -> usize {
        match self {
            Self::Get64 => 64,
            Self::Ndjson => 4,
            Self::PostFileAlone => 1,
            _ => usual,
        }
    }

    /// The servers that take part.
    pub fn contestants(self, programs: &Programs, database: &str) -> Vec<Contestant> {
        let mut all = vec![Contestant::Idiomatic, Contestant::Best];
        all.push(if self == Self::GetFresh {
            Contestant::UsherFresh
        } else {
            Contestant::Usher
        });
        if matches!(
            self,
            Self::Get
                | Self::Post
                | Self::PostUnflushed
                | Self::GetFile
                | Self::PostFile
                | Self::PostFileAlone
        ) {
            all.push(Contestant::FastApi);
        }
        if matches!(self, Self::PostFile | Self::PostFileAlone) {
            all.push(Contestant::Loop);
        }
        let is_plain = !self.is_over_tls() && !self.is_by_http2();
        if is_plain && !matches!(self, Self::Start | Self::GetFresh) {
            all.extend(programs.others.iter().cloned().map(Contestant::Other));
        }
        all.retain(|contestant| contestant.takes_part(programs, database));
        all
    }

    /// What one more client sends continuously.
    pub fn beside(self, address: SocketAddr) -> Option<Requests> {
        (self == Self::GetBesideSlow).then(|| {
            let before = SLOW_USER - 1;
            Requests::get(address, [format!("/users/?limit=1&after={before}")])
        })
    }

    /// The requests to a server with these users. Of many users only some are read, spread over all
    /// of them.
    pub fn requests(self, address: SocketAddr, users: u64) -> Requests {
        /// How many different users are read at most.
        const DIFFERENT: u64 = 10_000;
        match self {
            _ if self.creates() => Requests::new_users(address),
            Self::Put => Requests::replace_users(address, users),
            Self::Patch => Requests::change_users(address, users),
            Self::Delete => Requests::delete_users(address),
            Self::MixedFile => Self::GetFile
                .requests(address, users)
                .with_tenth(Requests::new_users(address)),
            Self::Ndjson => Requests::get(address, ["/users.ndjson".to_owned()]),
            Self::List | Self::Start => Requests::get(address, [format!("/users/?limit={PAGE}")]),
            _ => {
                let step = users.div_ceil(DIFFERENT).max(1);
                let ids = (1..=users).step_by(usize::try_from(step).unwrap_or(usize::MAX));
                let path = |id| match self {
                    Self::ListByEmail => format!("/users/?email=user.{id}%40example.com"),
                    _ => format!("/users/{id}"),
                };
                Requests::get(address, ids.map(path))
            }
        }
    }
}

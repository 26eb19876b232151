//! What a session is asked to be, and the proof that it is.
//!
//! There are two kinds of connections. On one of its own a statement has the time it was given. On a
//! shared one it stands before the statements of others, so the server cancels it after
//! [`SHARED_STATEMENT`], or [`SHARED_LOCK`] of waiting for somebody's lock: it is undone then, and run
//! again on a connection of its own.
//!
//! How a session gets its settings depends on what stands before the server ([`Pooling`]): in the
//! start-up message, by `SET` after connecting, or by `SET LOCAL` in each transaction. In each case
//! they are read back before the first use, since a pooler may have dropped them.

use std::fmt::Write as _;
use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;

use crate::database::config::Config;
use crate::database::types::Isolation;

/// How long a statement may run on a shared connection.
const SHARED_STATEMENT: Duration = Duration::from_millis(250);

/// How long a statement on a shared connection waits for a lock.
pub(super) const SHARED_LOCK: Duration = Duration::from_millis(20);

/// What stands between the host and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// Nothing that shares server sessions: a connection is one.
    Direct,
    /// A pooler that hands out a server session for as long as the connection lasts.
    Session,
    /// A pooler that hands out a server session for each transaction.
    Transaction,
}

/// The settings of one kind of connection.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    statement_timeout: Duration,
    lock_timeout: Option<Duration>,
    idle_timeout: Duration,
    read_only: bool,
    application: String,
}

/// The settings of a connection that a statement has to itself.
pub(super) fn own(session: &tokio_postgres::Config, config: &Config) -> Settings {
    Settings {
        statement_timeout: config.statement_timeout,
        lock_timeout: None,
        idle_timeout: config.idle_transaction_timeout,
        read_only: config.read_only,
        application: session.get_application_name().unwrap_or("usher").to_owned(),
    }
}

/// The settings of a connection that statements share.
pub(super) fn shared(session: &tokio_postgres::Config, config: &Config) -> Settings {
    Settings {
        statement_timeout: config.statement_timeout.min(SHARED_STATEMENT),
        lock_timeout: Some(SHARED_LOCK),
        ..own(session, config)
    }
}

fn milliseconds(time: Duration) -> u128 {
    time.as_millis().max(1)
}

impl Settings {
    /// The settings by name. Timeouts are in milliseconds.
    fn values(&self) -> Vec<(&'static str, String)> {
        let mut values = vec![
            (
                "statement_timeout",
                milliseconds(self.statement_timeout).to_string(),
            ),
            (
                "idle_in_transaction_session_timeout",
                milliseconds(self.idle_timeout).to_string(),
            ),
            ("standard_conforming_strings", "on".to_owned()),
        ];
        if let Some(lock) = self.lock_timeout {
            values.push(("lock_timeout", milliseconds(lock).to_string()));
        }
        values
    }

    /// How a connection is opened behind this pooling.
    pub(super) fn session(
        &self,
        session: &tokio_postgres::Config,
        pooling: Pooling,
    ) -> tokio_postgres::Config {
        let mut session = session.clone();
        session.application_name(self.application.as_str());
        if pooling == Pooling::Direct {
            let mut options = session.get_options().unwrap_or_default().to_owned();
            for (name, value) in self.values() {
                let _ = write!(options, " -c {name}={value}");
            }
            if self.read_only {
                options.push_str(" -c default_transaction_read_only=on");
            }
            session.options(options.trim_start());
        }
        session
    }

    /// What is sent once a connection is open. Its last row is [`Facts`].
    pub(super) fn set_up(&self, pooling: Pooling) -> String {
        match pooling {
            Pooling::Direct => format!("{}; {FACTS}", pin(false)),
            Pooling::Session => format!("{} {}; {FACTS}", self.restore(), pin(false)),
            Pooling::Transaction => {
                let mut text = format!("{}; ", self.begin(None, false));
                self.set("SET LOCAL", &mut text);
                let _ = write!(text, "{}; {FACTS}; COMMIT", pin(true));
                text
            }
        }
    }

    /// What gives a pooled session its settings, whoever had it before.
    fn restore(&self) -> String {
        let mut text = format!("{RESET} SET client_encoding = 'UTF8'; ");
        let _ = write!(
            text,
            "SET application_name = {}; ",
            literal(&self.application)
        );
        self.set("SET", &mut text);
        if self.read_only {
            text.push_str("SET default_transaction_read_only = on; ");
        }
        text
    }

    fn set(&self, set: &str, text: &mut String) {
        for (name, value) in self.values() {
            let _ = write!(text, "{set} {name} = {value}; ");
        }
    }

    fn begin(&self, isolation: Option<Isolation>, read_only: bool) -> String {
        let mut begin = "BEGIN".to_owned();
        if let Some(isolation) = isolation {
            begin.push_str(match isolation {
                Isolation::ReadCommitted => " ISOLATION LEVEL READ COMMITTED",
                Isolation::RepeatableRead => " ISOLATION LEVEL REPEATABLE READ",
                Isolation::Serializable => " ISOLATION LEVEL SERIALIZABLE",
            });
        }
        // Never READ WRITE: a server that was made read-only has its reasons.
        if read_only || self.read_only {
            begin.push_str(if isolation.is_some() {
                ", READ ONLY"
            } else {
                " READ ONLY"
            });
        }
        begin
    }

    /// What is wrong with a session that has these facts.
    pub(super) fn verify(&self, facts: &Facts, pooling: Pooling) -> Result<(), String> {
        let wanted = [
            (
                "statement_timeout",
                &facts.statement_timeout,
                milliseconds(self.statement_timeout).to_string(),
            ),
            (
                "idle_in_transaction_session_timeout",
                &facts.idle_timeout,
                milliseconds(self.idle_timeout).to_string(),
            ),
            (
                "standard_conforming_strings",
                &facts.strings,
                "on".to_owned(),
            ),
            ("client_encoding", &facts.encoding, "UTF8".to_owned()),
        ];
        let lock = self.lock_timeout.map(|lock| {
            (
                "lock_timeout",
                &facts.lock_timeout,
                milliseconds(lock).to_string(),
            )
        });
        let read_only = self.read_only.then(|| match pooling {
            Pooling::Direct | Pooling::Session => (
                "default_transaction_read_only",
                &facts.default_read_only,
                "on".to_owned(),
            ),
            Pooling::Transaction => ("transaction_read_only", &facts.read_only, "on".to_owned()),
        });
        for (name, is, wanted) in wanted.into_iter().chain(lock).chain(read_only) {
            if *is != wanted {
                return Err(format!(
                    "its setting {name} is {is} where {wanted} was asked for"
                ));
            }
        }
        Ok(())
    }
}

/// What ends all that a session may hold beyond its settings at start, which it goes back to.
const RESET: &str = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; UNLISTEN *; CLOSE ALL; \
    DISCARD TEMP; DISCARD SEQUENCES; SELECT pg_catalog.pg_advisory_unlock_all();";

/// Has temporary objects looked for last, so that none takes the place of another object.
///
/// Where no schema of the path exists the path stays as it is: tables would be made as temporary ones
/// otherwise.
fn pin(local: bool) -> String {
    format!(
        "SELECT pg_catalog.set_config('search_path', path || ', pg_temp', {local}) \
         FROM (SELECT pg_catalog.current_setting('search_path') AS path) AS session \
         WHERE pg_catalog.strpos(path, 'pg_temp') = 0 \
         AND pg_catalog.current_schema() IS NOT NULL"
    )
}

/// Asks what the session is. Durations are asked for in milliseconds.
const FACTS: &str = "SELECT pg_catalog.pg_backend_pid(), \
    (extract(epoch FROM pg_catalog.current_setting('statement_timeout')::interval) * 1000)::bigint, \
    (extract(epoch FROM pg_catalog.current_setting('lock_timeout')::interval) * 1000)::bigint, \
    (extract(epoch FROM \
        pg_catalog.current_setting('idle_in_transaction_session_timeout')::interval) * 1000)::bigint, \
    pg_catalog.current_setting('standard_conforming_strings'), \
    pg_catalog.current_setting('client_encoding'), \
    pg_catalog.current_setting('transaction_read_only'), \
    pg_catalog.current_setting('default_transaction_read_only'), \
    pg_catalog.current_setting('search_path'), \
    pg_catalog.current_setting('role')";

/// What a session says of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The server's process.
    pub(super) process: i32,
    statement_timeout: String,
    lock_timeout: String,
    idle_timeout: String,
    strings: String,
    encoding: String,
    /// Whether this transaction only reads: `on` or `off`.
    pub(super) read_only: String,
    /// The same for those to come that do not say it themselves.
    default_read_only: String,
    search_path: String,
    role: String,
}

impl Facts {
    /// From the answer to [`Settings::set_up`]. Nothing where there is no such row in it.
    pub(super) fn read(answer: &[SimpleQueryMessage]) -> Option<Self> {
        let row = answer.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })?;
        let text = |column| row.try_get(column).ok().flatten().map(ToOwned::to_owned);
        Some(Self {
            process: text(0)?.parse().ok()?,
            statement_timeout: text(1)?,
            lock_timeout: text(2)?,
            idle_timeout: text(3)?,
            strings: text(4)?,
            encoding: text(5)?,
            read_only: text(6)?,
            default_read_only: text(7)?,
            search_path: text(8)?,
            role: text(9)?,
        })
    }
}

/// The host's own statements on one session.
#[derive(Clone, Debug)]
pub(super) struct Words {
    settings: Settings,
    /// What follows `BEGIN`, where a transaction brings its settings along.
    local: String,
    /// What is sent after a guest's transaction, where the session is ours.
    pub(super) reset: Option<Box<str>>,
    /// What a statement that is sent alone stands in, where it needs a transaction for its settings.
    pub(super) alone: Option<Box<str>>,
    /// What begins a group of writes.
    pub(super) group: Box<str>,
}

impl Words {
    pub(super) fn new(settings: &Settings, pooling: Pooling, facts: &Facts) -> Self {
        let path = literal(&facts.search_path);
        let (local, reset) = match pooling {
            Pooling::Direct => (
                String::new(),
                Some(format!(
                    "{RESET} SELECT pg_catalog.set_config('search_path', {path}, false)"
                )),
            ),
            Pooling::Session => (
                String::new(),
                Some(format!(
                    "{} SELECT pg_catalog.set_config('search_path', {path}, false)",
                    settings.restore()
                )),
            ),
            Pooling::Transaction => {
                let mut local = "; ".to_owned();
                settings.set("SET LOCAL", &mut local);
                let _ = write!(
                    local,
                    "SELECT pg_catalog.set_config('search_path', {path}, true), \
                     pg_catalog.set_config('role', {}, true)",
                    literal(&facts.role)
                );
                (local, None)
            }
        };
        let group = format!("{}{local}", settings.begin(None, false)).into_boxed_str();
        Self {
            alone: (pooling == Pooling::Transaction).then(|| group.clone()),
            group,
            settings: settings.clone(),
            local,
            reset: reset.map(String::into_boxed_str),
        }
    }

    /// What begins a transaction.
    pub(super) fn begin(&self, isolation: Option<Isolation>, read_only: bool) -> String {
        format!(
            "{}{}",
            self.settings.begin(isolation, read_only),
            self.local
        )
    }

    /// What gives a transaction its settings once it has begun, if it needs any.
    pub(super) fn local(&self) -> Option<&str> {
        self.local.strip_prefix("; ")
    }
}

/// A text as SQL writes it, whatever `standard_conforming_strings` is.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::url::Url;

    /// Makes one fact another than what was asked for.
    type Spoil = fn(&mut Facts);

    #[test]
    fn a_session_that_is_not_what_was_asked_for_is_told_by_its_setting() {
        let mut config = Config::new(Url::memory());
        config.read_only = true;
        let settings = shared(&tokio_postgres::Config::new(), &config);
        let facts = Facts {
            statement_timeout: "250".into(),
            lock_timeout: "20".into(),
            idle_timeout: "10000".into(),
            strings: "on".into(),
            encoding: "UTF8".into(),
            default_read_only: "on".into(),
            ..Facts::default()
        };
        assert_eq!(settings.verify(&facts, Pooling::Direct), Ok(()));
        for (name, spoil) in [
            (
                "statement_timeout",
                (|facts| facts.statement_timeout = "0".into()) as Spoil,
            ),
            ("lock_timeout", |facts| facts.lock_timeout = "0".into()),
            ("idle_in_transaction", |facts| {
                facts.idle_timeout = "0".into();
            }),
            ("standard_conforming", |facts| facts.strings = "off".into()),
            ("client_encoding", |facts| {
                facts.encoding = "SQL_ASCII".into();
            }),
            ("read_only", |facts| facts.default_read_only = "off".into()),
        ] {
            let mut spoilt = facts.clone();
            spoil(&mut spoilt);
            let told = settings.verify(&spoilt, Pooling::Direct).expect_err(name);
            assert!(told.contains(name), "{told}");
        }
    }

    #[test]
    fn a_text_is_quoted_under_either_rule_for_backslashes() {
        assert_eq!(literal(r#""$user", o'b\s"#), r#"E'"$user", o''b\\s'"#);
    }
}

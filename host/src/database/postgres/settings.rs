//! The settings of a session, and the check that it has them.
//!
//! On a dedicated connection a statement has the configured time. On a shared one it blocks the
//! statements behind it, so the server cancels it after [`SHARED_STATEMENT`], or after waiting
//! [`SHARED_LOCK`] for a lock; it then has had no effect, and is retried on a dedicated connection.
//!
//! Depending on the [pooler](Pooling), a session gets its settings from the start-up message, by
//! `SET` after connecting, or by `SET LOCAL` in each transaction. They are read back before the
//! first use, because a pooler may drop them; a session with other settings is refused.

use std::fmt::Write as _;
use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;

use crate::database::config::Config;
use crate::database::types::Isolation;

/// How long a statement may run on a shared connection.
const SHARED_STATEMENT: Duration = Duration::from_millis(250);

/// How long a statement on a shared connection waits for a lock.
pub(super) const SHARED_LOCK: Duration = Duration::from_millis(20);

/// The kind of pooler between the host and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// None: each connection is a session.
    Direct,
    /// A pooler in session mode: a connection keeps one session.
    Session,
    /// A pooler in transaction mode: each transaction may run in another session.
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

pub(super) fn dedicated(session: &tokio_postgres::Config, config: &Config) -> Settings {
    Settings {
        statement_timeout: config.statement_timeout,
        lock_timeout: None,
        idle_timeout: config.idle_transaction_timeout,
        read_only: config.read_only,
        application: session.get_application_name().unwrap_or("usher").to_owned(),
    }
}

pub(super) fn shared(session: &tokio_postgres::Config, config: &Config) -> Settings {
    Settings {
        statement_timeout: config.statement_timeout.min(SHARED_STATEMENT),
        lock_timeout: Some(SHARED_LOCK),
        ..dedicated(session, config)
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

    /// The configuration of the start-up message.
    pub(super) fn start_up(
        &self,
        config: &tokio_postgres::Config,
        pooling: Pooling,
    ) -> tokio_postgres::Config {
        let mut config = config.clone();
        config.application_name(self.application.as_str());
        if pooling == Pooling::Direct {
            let mut options = config.get_options().unwrap_or_default().to_owned();
            for (name, value) in self.values() {
                let _ = write!(options, " -c {name}={value}");
            }
            if self.read_only {
                options.push_str(" -c default_transaction_read_only=on");
            }
            config.options(options.trim_start());
        }
        config
    }

    /// The commands after connecting. Their last row is [`ReportedSettings`].
    pub(super) fn set_up(&self, pooling: Pooling) -> String {
        match pooling {
            Pooling::Direct => format!("{}; {REPORT}", pin_search_path(false)),
            Pooling::Session => format!("{} {}; {REPORT}", self.restore(), pin_search_path(false)),
            Pooling::Transaction => {
                let mut text = format!("{}; ", self.begin(None, false));
                self.set("SET LOCAL", &mut text);
                let _ = write!(text, "{}; {REPORT}; COMMIT", pin_search_path(true));
                text
            }
        }
    }

    /// The commands that set up a pooled session, whatever its state.
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
        // Never READ WRITE, which would override a server's `default_transaction_read_only`.
        if read_only || self.read_only {
            begin.push_str(if isolation.is_some() {
                ", READ ONLY"
            } else {
                " READ ONLY"
            });
        }
        begin
    }

    /// Fails with the first setting that is not as requested.
    pub(super) fn verify(
        &self,
        reported: &ReportedSettings,
        pooling: Pooling,
    ) -> Result<(), String> {
        let expected = [
            (
                "statement_timeout",
                &reported.statement_timeout,
                milliseconds(self.statement_timeout).to_string(),
            ),
            (
                "idle_in_transaction_session_timeout",
                &reported.idle_timeout,
                milliseconds(self.idle_timeout).to_string(),
            ),
            (
                "standard_conforming_strings",
                &reported.strings,
                "on".to_owned(),
            ),
            ("client_encoding", &reported.encoding, "UTF8".to_owned()),
        ];
        let lock = self.lock_timeout.map(|lock| {
            (
                "lock_timeout",
                &reported.lock_timeout,
                milliseconds(lock).to_string(),
            )
        });
        let read_only = self.read_only.then(|| match pooling {
            Pooling::Direct | Pooling::Session => (
                "default_transaction_read_only",
                &reported.default_read_only,
                "on".to_owned(),
            ),
            Pooling::Transaction => (
                "transaction_read_only",
                &reported.read_only,
                "on".to_owned(),
            ),
        });
        for (name, actual, expected) in expected.into_iter().chain(lock).chain(read_only) {
            if *actual != expected {
                return Err(format!(
                    "its setting {name} is {actual} instead of {expected}"
                ));
            }
        }
        Ok(())
    }
}

/// Releases everything that a session holds, and restores the settings from its start.
const RESET: &str = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; UNLISTEN *; CLOSE ALL; \
    DISCARD TEMP; DISCARD SEQUENCES; SELECT pg_catalog.pg_advisory_unlock_all();";

/// Puts `pg_temp` last in the search path, so that no temporary object hides another object.
///
/// If no schema of the path exists, the path stays unchanged; otherwise new tables would be
/// temporary.
fn pin_search_path(local: bool) -> String {
    format!(
        "SELECT pg_catalog.set_config('search_path', path || ', pg_temp', {local}) \
         FROM (SELECT pg_catalog.current_setting('search_path') AS path) AS session \
         WHERE pg_catalog.strpos(path, 'pg_temp') = 0 \
         AND pg_catalog.current_schema() IS NOT NULL"
    )
}

/// Returns the settings of the session, durations in milliseconds.
const REPORT: &str = "SELECT pg_catalog.pg_backend_pid(), \
    (extract(epoch FROM \
        pg_catalog.current_setting('statement_timeout')::interval) * 1000)::bigint, \
    (extract(epoch FROM \
        pg_catalog.current_setting('lock_timeout')::interval) * 1000)::bigint, \
    (extract(epoch FROM \
        pg_catalog.current_setting('idle_in_transaction_session_timeout')::interval) \
        * 1000)::bigint, \
    pg_catalog.current_setting('standard_conforming_strings'), \
    pg_catalog.current_setting('client_encoding'), \
    pg_catalog.current_setting('transaction_read_only'), \
    pg_catalog.current_setting('default_transaction_read_only'), \
    pg_catalog.current_setting('search_path'), \
    pg_catalog.current_setting('role')";

#[derive(Clone, Debug, Default)]
pub(super) struct ReportedSettings {
    /// The id of the server's process.
    pub(super) process: i32,
    statement_timeout: String,
    lock_timeout: String,
    idle_timeout: String,
    strings: String,
    encoding: String,
    /// Whether this transaction is read-only: `on` or `off`.
    pub(super) read_only: String,
    /// The default for later transactions.
    default_read_only: String,
    search_path: String,
    role: String,
}

impl ReportedSettings {
    /// From the response to [`Settings::set_up`]; `None` if it has no such row.
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

/// The commands that the host itself sends in one session.
#[derive(Clone, Debug)]
pub(super) struct SessionCommands {
    settings: Settings,
    /// Follows `BEGIN`, if each transaction needs its settings.
    set_local: String,
    /// Follows a guest's transaction, unless the session belongs to a pooler.
    pub(super) reset: Option<Box<str>>,
    /// Precedes a single statement, if each transaction needs its settings.
    pub(super) begin_single: Option<Box<str>>,
    /// Precedes a group of writes.
    pub(super) begin_group: Box<str>,
}

impl SessionCommands {
    pub(super) fn new(settings: &Settings, pooling: Pooling, reported: &ReportedSettings) -> Self {
        let path = literal(&reported.search_path);
        let (set_local, reset) = match pooling {
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
                let mut set_local = "; ".to_owned();
                settings.set("SET LOCAL", &mut set_local);
                let _ = write!(
                    set_local,
                    "SELECT pg_catalog.set_config('search_path', {path}, true), \
                     pg_catalog.set_config('role', {}, true)",
                    literal(&reported.role)
                );
                (set_local, None)
            }
        };
        let begin = format!("{}{set_local}", settings.begin(None, false)).into_boxed_str();
        Self {
            begin_single: (pooling == Pooling::Transaction).then(|| begin.clone()),
            begin_group: begin,
            settings: settings.clone(),
            set_local,
            reset: reset.map(String::into_boxed_str),
        }
    }

    pub(super) fn begin(&self, isolation: Option<Isolation>, read_only: bool) -> String {
        format!(
            "{}{}",
            self.settings.begin(isolation, read_only),
            self.set_local
        )
    }

    /// The commands that apply the settings after `BEGIN`, if the transaction needs them.
    pub(super) fn set_local(&self) -> Option<&str> {
        self.set_local.strip_prefix("; ")
    }
}

/// An SQL string literal, whatever `standard_conforming_strings` is.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::url::Url;

    /// Sets one setting to another value than the requested one.
    type Spoil = fn(&mut ReportedSettings);

    #[test]
    fn session_with_wrong_setting_is_refused_by_its_name() {
        let mut config = Config::new(Url::memory());
        config.read_only = true;
        let settings = shared(&tokio_postgres::Config::new(), &config);
        let reported = ReportedSettings {
            statement_timeout: "250".into(),
            lock_timeout: "20".into(),
            idle_timeout: "10000".into(),
            strings: "on".into(),
            encoding: "UTF8".into(),
            default_read_only: "on".into(),
            ..ReportedSettings::default()
        };
        assert_eq!(settings.verify(&reported, Pooling::Direct), Ok(()));
        for (name, spoil) in [
            (
                "statement_timeout",
                (|reported| reported.statement_timeout = "0".into()) as Spoil,
            ),
            ("lock_timeout", |reported| {
                reported.lock_timeout = "0".into();
            }),
            ("idle_in_transaction", |reported| {
                reported.idle_timeout = "0".into();
            }),
            ("standard_conforming", |reported| {
                reported.strings = "off".into();
            }),
            ("client_encoding", |reported| {
                reported.encoding = "SQL_ASCII".into();
            }),
            ("read_only", |reported| {
                reported.default_read_only = "off".into();
            }),
        ] {
            let mut spoilt = reported.clone();
            spoil(&mut spoilt);
            let error = settings.verify(&spoilt, Pooling::Direct).expect_err(name);
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn literal_with_special_characters_is_quoted_for_either_backslash_rule() {
        assert_eq!(literal(r#""$user", o'b\s"#), r#"E'"$user", o''b\\s'"#);
    }
}

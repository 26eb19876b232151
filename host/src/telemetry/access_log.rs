//! The access log: one line for each request, without anything that its client has chosen.
//!
//! A line has no path, no query, no header field but a checked id, and no address. Its format is
//! that of the other lines. It is put together here rather than by the subscriber, which would take
//! several times as long.

use std::cell::RefCell;
use std::io::Write as _;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::log::{Format, Log, timestamp};

/// The settings of the access log.
#[derive(Args, Clone, Copy, Debug)]
#[group(id = "access-log-options")]
pub struct Config {
    /// Which requests to log, one line each: off, errors (status 400 and above, and responses cut
    /// short), slow=DURATION (also those that take at least so long) or all.
    #[arg(
        long,
        env = "USHER_ACCESS_LOG",
        value_name = "WHICH",
        default_value = "off"
    )]
    pub access_log: AccessLog,
}

/// Which requests are logged. Each includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// None.
    #[default]
    Off,
    /// Those with an error.
    Errors,
    /// Also those that take at least so long.
    Slow(Duration),
    /// All.
    All,
}

impl FromStr for AccessLog {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "errors" => Ok(Self::Errors),
            "all" => Ok(Self::All),
            _ => match text.strip_prefix("slow=").map(humantime::parse_duration) {
                Some(Ok(limit)) => Ok(Self::Slow(limit)),
                Some(Err(error)) => Err(format!("the duration of slow=DURATION: {error}")),
                None => Err("one of off, errors, slow=DURATION and all is expected".to_owned()),
            },
        }
    }
}

impl AccessLog {
    /// Whether a request that took so long is logged.
    pub(super) fn includes(self, is_error: bool, took: Duration) -> bool {
        match self {
            Self::Off => false,
            Self::Errors => is_error,
            Self::Slow(limit) => is_error || took >= limit,
            Self::All => true,
        }
    }
}

/// What a line says of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) id: &'a str,
    /// The id of the trace that the request belongs to, if a trusted client named one.
    pub(super) trace: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) route: &'a str,
    pub(super) status: u16,
    /// Bytes of the response's body that went to the connection.
    pub(super) bytes: u64,
    pub(super) host_us: u64,
    pub(super) guest_us: u64,
    pub(super) database_us: u64,
    pub(super) statements: u64,
    pub(super) retries: u64,
    /// Who is to blame for the error, if there is one.
    pub(super) blame: Option<&'a str>,
    /// Whether the response ended before it was complete.
    pub(super) is_cut_short: bool,
}

enum Value<'a> {
    Text(&'a str),
    Number(u64),
    Flag,
}

/// The message of each line.
const MESSAGE: &str = "request";

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Entry<'_> {
    /// Logs it, by the subscriber of the embedding program if there is one.
    pub(super) fn write(&self) {
        let Some(log) = Log::started() else {
            return self.write_by_subscriber();
        };
        LINE.with_borrow_mut(|line| {
            line.clear();
            self.format(log.format, line);
            log.push(line, false);
        });
    }

    fn write_by_subscriber(&self) {
        tracing::info!(
            target: "usher::access",
            id = self.id,
            trace = self.trace,
            method = self.method,
            route = self.route,
            status = self.status,
            bytes = self.bytes,
            host_us = self.host_us,
            guest_us = self.guest_us,
            database_us = self.database_us,
            statements = self.statements,
            retries = self.retries,
            blame = self.blame,
            cut_short = self.is_cut_short,
            "{MESSAGE}"
        );
    }

    fn format(&self, format: Format, line: &mut Vec<u8>) {
        let time = timestamp();
        // Writing to a vector cannot fail.
        let _ = match format {
            Format::Text => write!(line, "{time}  INFO {MESSAGE}"),
            Format::Json => write!(
                line,
                r#"{{"timestamp":"{time}","level":"INFO","message":"{MESSAGE}""#
            ),
        };
        self.fields(|name, value| {
            let text = matches!(value, Value::Text(_));
            let (before, after): (&[u8], &[u8]) = match format {
                Format::Text => (b" ", b"="),
                Format::Json => (b",\"", b"\":"),
            };
            let quote: &[u8] = if text && format == Format::Json {
                b"\""
            } else {
                b""
            };
            line.extend_from_slice(before);
            line.extend_from_slice(name.as_bytes());
            line.extend_from_slice(after);
            line.extend_from_slice(quote);
            match value {
                // Ids, methods and templates have no character that JSON escapes.
                Value::Text(text) => line.extend_from_slice(text.as_bytes()),
                Value::Number(number) => {
                    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                }
                Value::Flag => line.extend_from_slice(b"true"),
            }
            line.extend_from_slice(quote);
        });
        line.extend_from_slice(match format {
            Format::Text => b"\n",
            Format::Json => b"}\n",
        });
    }

    fn fields(&self, mut each: impl FnMut(&str, Value<'_>)) {
        each("id", Value::Text(self.id));
        if let Some(trace) = self.trace {
            each("trace", Value::Text(trace));
        }
        each("method", Value::Text(self.method));
        each("route", Value::Text(self.route));
        each("status", Value::Number(self.status.into()));
        for (name, number) in [
            ("bytes", self.bytes),
            ("host_us", self.host_us),
            ("guest_us", self.guest_us),
            ("database_us", self.database_us),
            ("statements", self.statements),
            ("retries", self.retries),
        ] {
            each(name, Value::Number(number));
        }
        if self.is_cut_short {
            each("cut_short", Value::Flag);
        }
        if let Some(blame) = self.blame {
            each("blame", Value::Text(blame));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Entry<'_> = Entry {
        id: "abc-1",
        trace: Some("0af7651916cd43dd8448eb211c80319c"),
        method: "GET",
        route: "/users/{user_id}",
        status: 503,
        bytes: 32,
        host_us: 40,
        guest_us: 15,
        database_us: 18_446_744_073_709_551_615,
        statements: 1,
        retries: 2,
        blame: Some("database"),
        is_cut_short: true,
    };

    fn formatted(entry: &Entry<'_>, format: Format) -> String {
        let mut line = Vec::new();
        entry.format(format, &mut line);
        String::from_utf8(line).expect("it is text")
    }

    #[test]
    fn entry_in_json_is_one_object_with_all_fields() {
        let line = formatted(&ENTRY, Format::Json);
        let mut object: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        let time = object["timestamp"].take();
        let time = time.as_str().expect("a text");
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
        let expected = serde_json::json!({
            "timestamp": null, "level": "INFO", "message": "request", "id": "abc-1",
            "trace": "0af7651916cd43dd8448eb211c80319c", "method": "GET",
            "route": "/users/{user_id}", "status": 503, "bytes": 32, "host_us": 40,
            "guest_us": 15, "database_us": 18_446_744_073_709_551_615_u64, "statements": 1,
            "retries": 2, "cut_short": true, "blame": "database",
        });
        assert_eq!(object, expected);
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn entry_in_text_has_the_fields_after_the_message() {
        let entry = Entry {
            trace: None,
            blame: None,
            is_cut_short: false,
            ..ENTRY
        };
        let line = formatted(&entry, Format::Text);
        let (time, rest) = line.split_once(' ').expect("several words");
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
        assert_eq!(
            rest,
            " INFO request id=abc-1 method=GET route=/users/{user_id} status=503 bytes=32 \
             host_us=40 guest_us=15 database_us=18446744073709551615 statements=1 retries=2\n"
        );
    }

    #[test]
    fn each_mode_includes_the_one_before_it() {
        let limit = Duration::from_millis(100);
        let modes = ["off", "errors", "slow=100ms", "all"].map(|text| {
            let mode: AccessLog = text.parse().expect("a mode");
            [
                mode.includes(false, Duration::ZERO),
                mode.includes(false, limit),
                mode.includes(true, Duration::ZERO),
            ]
        });
        assert_eq!(
            modes,
            [
                [false, false, false],
                [false, false, true],
                [false, true, true],
                [true, true, true]
            ]
        );
        for text in ["", "slow", "slow=", "slow=1", "ALL", "error"] {
            assert!(text.parse::<AccessLog>().is_err(), "{text}");
        }
    }
}

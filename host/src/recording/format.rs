//! A recording, and its file: JSON lines, described in `docs/recording.md`.
//!
//! The first line says that it is a recording, and in which version of the format; the last says
//! whether it can be replayed. A file without its last line was not written completely.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use serde::{Deserialize, Serialize};

use super::error::RecordingError;
use super::value::{self, Hex};
use crate::database::tape::{Call, Operation, Outcome};
use crate::database::{self, Isolation, Row, Rows, SqlDialect};

/// The version of the format. Another one is a change that a reader of this one would misread.
pub const VERSION: u32 = 1;

/// A request, what the component asked of its database and got, and its answer.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Where it comes from.
    pub head: Head,
    /// The request.
    pub request: Sent,
    /// The calls on the database, in order.
    pub calls: Vec<Call>,
    /// The answer.
    pub answer: Answer,
    /// From the request's arrival at the component to its answer.
    pub took: Duration,
    /// Why it cannot be replayed, if it cannot.
    pub not_replayable: Option<String>,
}

/// Where a recording comes from.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Head {
    /// The version of the format.
    #[serde(rename = "usher-recording")]
    pub version: u32,
    /// The request's id, as in the logs.
    pub id: String,
    /// When it arrived.
    pub time: String,
    /// The version of the host.
    pub usher: String,
    /// The SHA-256 of the component.
    pub component: String,
    /// The database's dialect, `postgres` or `sqlite`.
    pub dialect: String,
    /// Whether what identifies people is masked.
    pub masked: bool,
}

impl Head {
    /// The dialect, if it is one that this host knows.
    pub fn dialect(&self) -> Option<SqlDialect> {
        let known = [SqlDialect::Postgres, SqlDialect::Sqlite];
        known
            .into_iter()
            .find(|&dialect| name_of(dialect) == self.dialect)
    }
}

/// A dialect's name.
pub(super) fn name_of(dialect: SqlDialect) -> &'static str {
    match dialect {
        SqlDialect::Postgres => "postgres",
        SqlDialect::Sqlite => "sqlite",
    }
}

/// A request as it is sent to the component.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The method.
    pub method: String,
    /// Whether the client's connection, or that to its proxy, was encrypted.
    pub is_https: bool,
    /// The path and the query.
    pub target: String,
    /// The header fields.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Sent {
    /// The request as one to send.
    ///
    /// # Errors
    /// Which part of it is invalid.
    pub fn request(&self) -> Result<Request<Bytes>, String> {
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(self.target.as_str())
            .body(self.body.clone())
            .map_err(|error| format!("the request: {error}"))?;
        for (name, value) in &self.headers {
            let field = HeaderName::try_from(name.as_str()).ok();
            let value = HeaderValue::from_bytes(value.as_bytes()).ok();
            let invalid = || format!("the header {name} of the request is invalid");
            let (field, value) = field.zip(value).ok_or_else(invalid)?;
            request.headers_mut().append(field, value);
        }
        Ok(request)
    }
}

/// How a request ended.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With this response of the component.
    Response {
        /// Its status.
        status: u16,
        /// Its header fields, without those that differ each time.
        headers: Vec<(String, String)>,
        /// Its body.
        body: Bytes,
    },
    /// The component failed, so that the host answered 500. The text says why.
    Failed(String),
    /// There is none.
    None,
}

#[derive(Serialize, Deserialize)]
struct RequestLine {
    request: RequestJson,
}

#[derive(Serialize, Deserialize)]
struct RequestJson {
    method: String,
    scheme: String,
    target: String,
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Body>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Body {
    Text(String),
    Bytes { hex: Hex },
}

impl Body {
    fn of(bytes: &[u8]) -> Option<Self> {
        let body = || match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes {
                hex: Hex(bytes.to_vec()),
            },
        };
        (!bytes.is_empty()).then(body)
    }

    fn bytes(body: Option<Self>) -> Bytes {
        match body {
            None => Bytes::new(),
            Some(Self::Text(text)) => text.into(),
            Some(Self::Bytes { hex }) => hex.0.into(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct CallLine {
    call: usize,
    #[serde(default, skip_serializing_if = "is_zero")]
    transaction: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    cursor: u32,
    #[serde(flatten)]
    operation: OperationJson,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    params: Vec<value::Value>,
    #[serde(flatten)]
    outcome: OutcomeJson,
    us: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde passes it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OperationJson {
    Query(String),
    Execute(String),
    Open(String),
    Next(u32),
    Begin(String),
    BeginReadOnly(String),
    Commit(()),
    Rollback(()),
    Drop(()),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OutcomeJson {
    Unfinished(()),
    Done(()),
    Result {
        columns: Vec<String>,
        rows: Vec<Vec<value::Value>>,
    },
    Affected(u64),
    Columns(Vec<String>),
    Rows(Vec<Vec<value::Value>>),
    Error(value::Error),
}

/// Each isolation level in a file.
const LEVELS: [(&str, Isolation); 3] = [
    ("read-committed", Isolation::ReadCommitted),
    ("repeatable-read", Isolation::RepeatableRead),
    ("serializable", Isolation::Serializable),
];

#[derive(Serialize, Deserialize)]
struct AnswerLine {
    #[serde(flatten)]
    answer: AnswerJson,
    us: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum AnswerJson {
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Body>,
    },
    Failed(String),
    Unanswered(()),
}

#[derive(Serialize, Deserialize)]
struct EndLine {
    end: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// What the last line says of a recording that can be replayed, and of one that cannot.
const REPLAYABLE: &str = "replayable";
const NOT_REPLAYABLE: &str = "not replayable";

fn values(row: &[database::Value]) -> Vec<value::Value> {
    row.iter().map(value::Value::from).collect()
}

fn rows(rows: &[Row]) -> Vec<Vec<value::Value>> {
    rows.iter().map(|row| values(row)).collect()
}

fn read_values(row: Vec<value::Value>) -> Result<Row, String> {
    row.into_iter().map(TryInto::try_into).collect()
}

fn read_rows(rows: Vec<Vec<value::Value>>) -> Result<Vec<Row>, String> {
    rows.into_iter().map(read_values).collect()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl CallLine {
    fn of(number: usize, call: &Call) -> Self {
        let level = |isolation: &Isolation| {
            let level = LEVELS.iter().find(|(_, level)| level == isolation);
            level.map_or("serializable", |(name, _)| *name).to_owned()
        };
        Self {
            call: number,
            transaction: call.transaction,
            cursor: call.cursor,
            operation: match &call.operation {
                Operation::Query(text, _) => OperationJson::Query(text.clone()),
                Operation::Execute(text, _) => OperationJson::Execute(text.clone()),
                Operation::Open(text, _) => OperationJson::Open(text.clone()),
                Operation::Next { at_most } => OperationJson::Next(*at_most),
                Operation::Begin {
                    isolation,
                    read_only: false,
                } => OperationJson::Begin(level(isolation)),
                Operation::Begin { isolation, .. } => {
                    OperationJson::BeginReadOnly(level(isolation))
                }
                Operation::Commit => OperationJson::Commit(()),
                Operation::Rollback => OperationJson::Rollback(()),
                Operation::Drop => OperationJson::Drop(()),
            },
            params: call
                .operation
                .statement()
                .map_or_else(Vec::new, |(_, params)| values(params)),
            outcome: match &call.outcome {
                Outcome::Unfinished => OutcomeJson::Unfinished(()),
                Outcome::Done => OutcomeJson::Done(()),
                Outcome::Rows(found) => OutcomeJson::Result {
                    columns: found.columns.to_vec(),
                    rows: rows(&found.rows),
                },
                Outcome::Affected(count) => OutcomeJson::Affected(*count),
                Outcome::Columns(columns) => OutcomeJson::Columns(columns.clone()),
                Outcome::Batch(batch) => OutcomeJson::Rows(rows(batch)),
                Outcome::Failed(error) => OutcomeJson::Error(error.into()),
            },
            us: micros(call.took),
        }
    }

    fn read(self) -> Result<Call, String> {
        let params = read_values(self.params)?;
        let level = |name: String| {
            let level = LEVELS.iter().find(|(known, _)| *known == name);
            let level = level.map(|(_, level)| *level);
            level.ok_or_else(|| format!("{name} is no isolation level"))
        };
        let begin = |name, read_only| {
            Ok::<_, String>(Operation::Begin {
                isolation: level(name)?,
                read_only,
            })
        };
        Ok(Call {
            transaction: self.transaction,
            cursor: self.cursor,
            operation: match self.operation {
                OperationJson::Query(text) => Operation::Query(text, params),
                OperationJson::Execute(text) => Operation::Execute(text, params),
                OperationJson::Open(text) => Operation::Open(text, params),
                OperationJson::Next(at_most) => Operation::Next { at_most },
                OperationJson::Begin(name) => begin(name, false)?,
                OperationJson::BeginReadOnly(name) => begin(name, true)?,
                OperationJson::Commit(()) => Operation::Commit,
                OperationJson::Rollback(()) => Operation::Rollback,
                OperationJson::Drop(()) => Operation::Drop,
            },
            outcome: match self.outcome {
                OutcomeJson::Unfinished(()) => Outcome::Unfinished,
                OutcomeJson::Done(()) => Outcome::Done,
                OutcomeJson::Result { columns, rows } => {
                    let rows = read_rows(rows)?;
                    if rows.iter().any(|row| row.len() != columns.len()) {
                        return Err("a row has more or fewer values than there are columns".into());
                    }
                    Outcome::Rows(Rows {
                        columns: columns.into(),
                        rows,
                    })
                }
                OutcomeJson::Affected(count) => Outcome::Affected(count),
                OutcomeJson::Columns(columns) => Outcome::Columns(columns),
                OutcomeJson::Rows(rows) => Outcome::Batch(read_rows(rows)?),
                OutcomeJson::Error(error) => Outcome::Failed(error.into()),
            },
            took: Duration::from_micros(self.us),
        })
    }
}

impl Recording {
    /// The text of its file.
    pub(super) fn write(&self) -> serde_json::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(2048);
        line(&mut out, &self.head)?;
        let sent = &self.request;
        line(
            &mut out,
            &RequestLine {
                request: RequestJson {
                    method: sent.method.clone(),
                    scheme: if sent.is_https { "https" } else { "http" }.to_owned(),
                    target: sent.target.clone(),
                    headers: sent.headers.clone(),
                    body: Body::of(&sent.body),
                },
            },
        )?;
        for (call, number) in self.calls.iter().zip(1..) {
            line(&mut out, &CallLine::of(number, call))?;
        }
        let answer = match &self.answer {
            Answer::Response {
                status,
                headers,
                body,
            } => AnswerJson::Response {
                status: *status,
                headers: headers.clone(),
                body: Body::of(body),
            },
            Answer::Failed(why) => AnswerJson::Failed(why.clone()),
            Answer::None => AnswerJson::Unanswered(()),
        };
        let us = micros(self.took);
        line(&mut out, &AnswerLine { answer, us })?;
        let end = match self.not_replayable {
            None => REPLAYABLE,
            Some(_) => NOT_REPLAYABLE,
        };
        let (end, why) = (end.to_owned(), self.not_replayable.clone());
        line(&mut out, &EndLine { end, why })?;
        Ok(out)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// See [`RecordingError`].
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| RecordingError::Read(path.to_owned(), error))?;
        let malformed = |why| RecordingError::Malformed(path.to_owned(), why);
        let first = text.lines().next().unwrap_or_default();
        let version = version(first).map_err(malformed)?;
        if version != VERSION {
            return Err(RecordingError::Version(path.to_owned(), version, VERSION));
        }
        Self::parse(&text).map_err(malformed)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().zip(1_usize..).peekable();
        let mut next = |what: &str| {
            let ends_early = || format!("it ends before the {what}");
            lines.next().ok_or_else(ends_early)
        };
        let head: Head = parse(next("head")?)?;
        let RequestLine { request } = parse(next("request")?)?;
        let mut calls = Vec::new();
        let answer: AnswerLine = loop {
            let found = next("answer")?;
            if !found.0.starts_with("{\"call\"") {
                break parse(found)?;
            }
            let call: CallLine = parse(found)?;
            calls.push(call.read().map_err(|why| at(found.1, why))?);
        };
        let EndLine { end, why } = parse(next("end")?)?;
        if let Some((_, number)) = lines.next() {
            return Err(at(number, "nothing is expected after the end"));
        }
        Ok(Self {
            head,
            request: Sent {
                method: request.method,
                is_https: request.scheme == "https",
                target: request.target,
                headers: request.headers,
                body: Body::bytes(request.body),
            },
            calls,
            answer: match answer.answer {
                AnswerJson::Response {
                    status,
                    headers,
                    body,
                } => Answer::Response {
                    status,
                    headers,
                    body: Body::bytes(body),
                },
                AnswerJson::Failed(why) => Answer::Failed(why),
                AnswerJson::Unanswered(()) => Answer::None,
            },
            took: Duration::from_micros(answer.us),
            not_replayable: (end != REPLAYABLE).then(|| why.unwrap_or(end)),
        })
    }
}

/// The version that the first line says.
fn version(first: &str) -> Result<u32, String> {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "usher-recording")]
        version: u32,
    }
    let version: Result<Version, _> = serde_json::from_str(first);
    let no_recording = |_| at(1, "it does not begin with {\"usher-recording\":VERSION,…}");
    version.map(|found| found.version).map_err(no_recording)
}

fn line(out: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.push(b'\n');
    Ok(())
}

fn parse<'t, T: Deserialize<'t>>((text, number): (&'t str, usize)) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| at(number, error))
}

fn at(number: usize, why: impl std::fmt::Display) -> String {
    format!("line {number}: {why}")
}

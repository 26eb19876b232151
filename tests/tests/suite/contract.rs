//! Every recorded case of the HTTP contract, each on a database of its own, over the server code of
//! production without a socket.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use usher_testing::TestApp;
use usher_tests::http::{self, Request, Response};
use usher_tests::http2;
use usher_tests::json::Json;
use usher_tests::postgres;

use crate::databases::{Fresh, Kind};

const CASES: &str = include_str!("../../contract/cases.jsonl");

/// How many cases run at once.
const AT_ONCE: usize = 8;

const HOST: &str = "testserver:8000";

#[derive(Deserialize)]
struct Case {
    name: String,
    group: String,
    level: Level,
    setup: Vec<Sent>,
    /// The id of the user that each request of `setup` stores, if it stores one.
    #[serde(default)]
    setup_ids: Vec<Option<i64>>,
    request: Sent,
    response: Expected,
}

/// How closely a response is compared.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// Status, content type, location and body.
    Exact,
    /// Status, content type, and the type and place of every error.
    Shape,
    /// Status, content type, the first error's type and the first part of its place.
    Type,
    Status,
}

#[derive(Deserialize)]
struct Sent {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_b64: Option<String>,
}

#[derive(Deserialize)]
struct Expected {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Box<RawValue>>,
    text: Option<String>,
}

impl Sent {
    fn request(&self) -> Request {
        let mut request = Request::new(&self.method, &self.path);
        request.headers = self.headers.clone().into_iter().collect();
        request.body = match (&self.body_b64, &self.body) {
            (Some(text), _) => Some(base64(text)),
            (None, body) => body.clone().map(String::into_bytes),
        };
        request
    }
}

/// Every request of every case, in order.
pub(crate) fn requests() -> Vec<Request> {
    let lines = CASES.lines().filter(|line| !line.is_empty());
    let cases = lines.map(|line| serde_json::from_str::<Case>(line).expect("a recorded case"));
    let requests = cases.flat_map(|case| {
        let setup: Vec<_> = case.setup.iter().map(Sent::request).collect();
        setup.into_iter().chain([case.request.request()])
    });
    requests.collect()
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes().filter(|byte| *byte != b'=') {
        let value = ALPHABET
            .iter()
            .position(|letter| *letter == digit)
            .expect("base64");
        bits = (bits << 6) | u32::try_from(value).expect("six bits");
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).expect("eight bits"));
        }
    }
    bytes
}

fn content_type(value: Option<&str>) -> Option<String> {
    value.map(|value| {
        value
            .to_lowercase()
            .split(';')
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(";")
    })
}

/// The type and place of every error, or only the beginning of the first.
fn errors(body: &Json, all: bool) -> Option<Vec<String>> {
    let errors = body.get("detail")?.items()?.iter().map(|error| {
        let (kind, place) = (error.get("type")?, error.get("loc")?.items()?);
        let place = if all { place } else { place.get(..1)? };
        Some(format!(
            "{kind} at {}",
            place
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(".")
        ))
    });
    errors.take(if all { usize::MAX } else { 1 }).collect()
}

impl Case {
    async fn run(&self, app: &TestApp, path: Path) -> Result<(), String> {
        for (number, sent) in self.setup.iter().enumerate() {
            let answer = send(app, path, &sent.request()).await?;
            if let Some(Some(id)) = self.setup_ids.get(number) {
                let stored = answer.status == 200 && answer.json()["id"] == *id;
                if !stored {
                    return Err(format!(
                        "setup request {number} is to store user {id}: {} {}",
                        answer.status,
                        answer.text()
                    ));
                }
            }
        }
        let got = send(app, path, &self.request.request()).await?;
        self.compare(&got)
    }

    fn compare(&self, response: &Response) -> Result<(), String> {
        let want = &self.response;
        if response.status != want.status {
            return Err(format!(
                "status {} in place of {}: {}",
                response.status,
                want.status,
                response.text()
            ));
        }
        if self.level == Level::Status {
            return Ok(());
        }
        let header = |name: &str| want.headers.get(name).map(String::as_str);
        let (expected, got) = (
            content_type(header("content-type")),
            content_type(response.header("content-type").as_deref()),
        );
        if expected != got {
            return Err(format!("content type {got:?} in place of {expected:?}"));
        }
        if let Some(location) = header("location") {
            let location = location.replacen("{host}", HOST, 1);
            if response.header("location").as_deref() != Some(&location) {
                return Err(format!(
                    "location {:?} in place of {location:?}",
                    response.header("location")
                ));
            }
        }
        let Some(json) = &want.json else {
            let text = want.text.as_deref().unwrap_or_default();
            return if response.text() == text {
                Ok(())
            } else {
                Err(format!("body {:?} in place of {text:?}", response.text()))
            };
        };
        let expected =
            Json::from_raw(json).map_err(|error| format!("the recorded body: {error}"))?;
        let got = Json::parse(&response.text())
            .map_err(|error| format!("{error} in {}", response.text()))?;
        if self.level == Level::Exact {
            return expected.difference(&got).map_or(Ok(()), Err);
        }
        let all = self.level == Level::Shape;
        match (errors(&expected, all), errors(&got, all)) {
            (Some(expected), Some(got)) if expected == got => Ok(()),
            (expected, got) => Err(format!("errors {got:?} in place of {expected:?}")),
        }
    }
}

/// How requests reach the component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Http1,
    Http2,
    /// Through `wasi:http/incoming-handler`.
    IncomingHandler,
}

async fn send(app: &TestApp, path: Path, request: &Request) -> Result<Response, String> {
    let mut sent = match path {
        Path::Http2 => http2::send(app.connect(), request, HOST).await,
        _ => http::send(app.connect(), request, HOST).await,
    };
    if path == Path::Http2
        && sent
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput)
    {
        // It has no form in HTTP/2.
        sent = http::send(app.connect(), request, HOST).await;
    }
    sent.map_err(|error| format!("no answer: {error}"))
}

/// Migrated, empty databases: on PostgreSQL copies of a migrated one, which are emptied and used
/// again.
struct Source {
    kind: Kind,
    path: Path,
    template: Option<postgres::Database>,
    emptied: Mutex<Vec<postgres::Database>>,
}

impl Source {
    async fn new(kind: Kind, path: Path) -> Self {
        let template = match kind {
            Kind::Postgres | Kind::Pooled(_) => {
                let template = postgres::database().await;
                drop(TestApp::start(template.url()).await.expect("it migrates"));
                Some(template)
            }
            Kind::Memory | Kind::File => None,
        };
        Self {
            kind,
            path,
            template,
            emptied: Mutex::default(),
        }
    }

    fn emptied(&self) -> MutexGuard<'_, Vec<postgres::Database>> {
        self.emptied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn app(&self) -> (TestApp, Option<Fresh>, Option<postgres::Database>) {
        let (url, fresh, copy) = if let Some(template) = &self.template {
            let emptied = self.emptied().pop();
            let copy = match emptied {
                Some(copy) => copy,
                None => template.copy().await,
            };
            (copy.url().to_owned(), None, Some(copy))
        } else {
            let fresh = self.kind.fresh().await;
            (fresh.url.clone(), Some(fresh), None)
        };
        let mut app = TestApp::builder().database(url);
        if copy.is_some() {
            app = app.no_migrate();
        }
        if self.path == Path::IncomingHandler {
            app = app.via_incoming_handler();
        }
        (app.start().await.expect("it starts"), fresh, copy)
    }

    /// Returns a copy for reuse.
    async fn reuse(&self, copy: postgres::Database) {
        let client = copy.connect().await;
        let empty = "TRUNCATE users RESTART IDENTITY";
        client.batch_execute(empty).await.expect("it is emptied");
        self.emptied().push(copy);
    }
}

async fn holds(kind: Kind, path: Path) {
    let source = Arc::new(Source::new(kind, path).await);
    let mut running = JoinSet::new();
    let (mut failed, mut count) = (Vec::new(), 0);
    for line in CASES.lines().filter(|line| !line.is_empty()) {
        let case: Case = serde_json::from_str(line).expect("a recorded case");
        count += 1;
        if running.len() == AT_ONCE {
            failed.extend(
                running
                    .join_next()
                    .await
                    .expect("one runs")
                    .expect("it does not panic"),
            );
        }
        let source = Arc::clone(&source);
        running.spawn(async move {
            let (app, _file, copy) = source.app().await;
            let failed = case
                .run(&app, path)
                .await
                .err()
                .map(|why| format!("{}/{}: {why}", case.group, case.name));
            drop(app);
            if let Some(copy) = copy {
                source.reuse(copy).await;
            }
            failed
        });
    }
    while let Some(done) = running.join_next().await {
        failed.extend(done.expect("it does not panic"));
    }
    let copies = std::mem::take(&mut *source.emptied());
    for copy in copies {
        copy.remove().await;
    }
    assert_eq!(count, 748, "recorded cases");
    assert!(
        failed.is_empty(),
        "{} of {count} fail on {kind:?}:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[tokio::test]
async fn contract_holds_in_memory() {
    holds(Kind::Memory, Path::Http1).await;
}

#[tokio::test]
async fn contract_holds_over_http_2() {
    holds(Kind::Memory, Path::Http2).await;
}

#[tokio::test]
async fn contract_holds_through_incoming_handler() {
    holds(Kind::Memory, Path::IncomingHandler).await;
}

#[tokio::test]
async fn contract_holds_on_a_file() {
    holds(Kind::File, Path::Http1).await;
}

#[tokio::test]
async fn contract_holds_on_postgresql() {
    holds(Kind::Postgres, Path::Http1).await;
}

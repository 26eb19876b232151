//! A response and what a test expects of it.
//!
//! A failed expectation panics with one block of text: what was expected, the request, the
//! response, and the statements that the component ran for it, with parameters and outcomes.

use std::fmt::{self, Write as _};
use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use usher::server::body::Body;

use crate::calls::{Call, CallLog};
use crate::error::TestError;

/// What was sent, for the text of a failed expectation.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Sent {
    pub(crate) fn new<B>(request: &Request<B>, body: Bytes) -> Self {
        Self {
            method: request.method().clone(),
            target: request.uri().to_string(),
            headers: request.headers().clone(),
            body,
        }
    }
}

/// How much of a body is shown.
const SHOWN: usize = 2000;

/// The complete response to a request. It is an [`http::Response`] of bytes too.
#[derive(Clone, Debug)]
pub struct TestResponse {
    response: Response<Bytes>,
    exchange: Exchange,
}

/// A request, and where its calls are logged.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) sent: Sent,
    pub(crate) log: CallLog,
    pub(crate) number: u64,
    pub(crate) took: Duration,
}

#[expect(
    clippy::return_self_not_must_use,
    reason = "an expectation may be the last"
)]
impl TestResponse {
    pub(crate) fn new(response: Response<Bytes>, exchange: Exchange) -> Self {
        Self { response, exchange }
    }

    pub(crate) fn ended_after(&mut self, took: Duration) {
        self.exchange.took = took;
    }

    /// Expects this status.
    ///
    /// # Panics
    /// If it is another one.
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        if self.response.status() != status {
            let found = self.response.status();
            let expected = StatusCode::from_u16(status)
                .map_or_else(|_| status.to_string(), |status| status.to_string());
            self.fail(&format!("expected the status {expected}, got {found}"));
        }
        self
    }

    /// Expects a header field with this value.
    ///
    /// # Panics
    /// If it has another value or is missing.
    #[track_caller]
    pub fn expect_header(self, name: &str, value: &str) -> Self {
        let found = self.header(name);
        if found != Some(value) {
            let found = found.map_or_else(|| "none".to_owned(), |found| format!("{found:?}"));
            self.fail(&format!(
                "expected the header {name}: {value:?}, got {found}"
            ));
        }
        self
    }

    /// Expects this JSON, whatever the order of its keys.
    ///
    /// # Panics
    /// If the body is other JSON, or none.
    #[track_caller]
    pub fn expect_json(self, expected: &serde_json::Value) -> Self {
        match serde_json::from_slice::<serde_json::Value>(self.response.body()) {
            Ok(found) if found == *expected => self,
            _ => self.fail(&format!("expected the body {expected}")),
        }
    }

    /// Expects exactly this text.
    ///
    /// # Panics
    /// If the body is another one.
    #[track_caller]
    pub fn expect_text(self, expected: &str) -> Self {
        if *self.response.body() != expected.as_bytes() {
            self.fail(&format!("expected the body {expected:?}"));
        }
        self
    }

    /// The body as a value.
    ///
    /// # Panics
    /// If it is not JSON for this type.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(self.response.body()) {
            Ok(value) => value,
            Err(error) => {
                let kind = std::any::type_name::<T>();
                self.fail(&format!("the body is not JSON for {kind}: {error}"))
            }
        }
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.response.body()).into_owned()
    }

    /// The value of a header field, if it has one that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.response.headers(), name)
    }

    /// The calls of the component on its database for this request, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.exchange.log.of_request(self.exchange.number)
    }

    /// Fails the test with this text, the request, the response and the statements.
    ///
    /// # Panics
    /// Always.
    #[track_caller]
    pub fn fail(&self, why: &str) -> ! {
        panic!("{why}\n\n{}", self.report())
    }

    /// The request, the response and the statements as one block of text.
    pub fn report(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    /// Its body, without the rest.
    pub fn into_body(self) -> Bytes {
        self.response.into_body()
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let Exchange { sent, took, .. } = &self.exchange;
        writeln!(out, "request\n  {} {}", sent.method, sent.target)?;
        message(out, &sent.headers, &sent.body)?;
        let millis = took.as_secs_f64() * 1000.0;
        let status = self.response.status();
        writeln!(out, "response after {millis:.1} ms\n  {status}")?;
        message(out, self.response.headers(), self.response.body())?;
        let calls = self.calls();
        if calls.is_empty() {
            return out.write_str("statements\n  none\n");
        }
        writeln!(out, "statements")?;
        for (index, call) in calls.iter().enumerate() {
            writeln!(out, "  {}. {call}", index + 1)?;
        }
        Ok(())
    }
}

impl Deref for TestResponse {
    type Target = Response<Bytes>;

    fn deref(&self) -> &Self::Target {
        &self.response
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn message(out: &mut String, headers: &HeaderMap, body: &Bytes) -> fmt::Result {
    for (name, value) in headers {
        writeln!(
            out,
            "  {name}: {}",
            String::from_utf8_lossy(value.as_bytes())
        )?;
    }
    if body.is_empty() {
        return out.write_char('\n');
    }
    let shown = body.get(..SHOWN).unwrap_or(body);
    writeln!(
        out,
        "\n  {}",
        String::from_utf8_lossy(shown).replace('\n', "\n  ")
    )?;
    if shown.len() < body.len() {
        writeln!(out, "  … {} bytes in all", body.len())?;
    }
    out.write_char('\n')
}

/// A response whose body is read piece by piece.
#[derive(Debug)]
pub struct Streamed {
    response: Response<Body>,
    exchange: Exchange,
}

impl Streamed {
    pub(crate) fn new(response: Response<Body>, exchange: Exchange) -> Self {
        Self { response, exchange }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The header fields.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The value of a header field, if it has one that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.response.headers(), name)
    }

    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// [`TestError::Response`] if the body broke off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, TestError> {
        loop {
            match self.response.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(TestError::Response(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Reads the rest.
    ///
    /// # Errors
    /// [`TestError::Response`] if the body broke off.
    pub async fn collect(self) -> Result<TestResponse, TestError> {
        let (head, body) = self.response.into_parts();
        let body = body.collect().await.map_err(TestError::Response)?;
        let response = Response::from_parts(head, body.to_bytes());
        Ok(TestResponse::new(response, self.exchange))
    }
}

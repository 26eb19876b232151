//! A request that is built step by step and sent when it is awaited.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use serde::Serialize;

use crate::client::{Body, Client};
use crate::error::TestError;
use crate::response::{Sent, Streamed, TestResponse};

/// A request to a [`TestApp`](crate::TestApp). Awaiting it sends it and returns the complete
/// response.
#[must_use = "a request is sent when it is awaited"]
pub struct RequestBuilder<'a> {
    client: &'a Client,
    head: http::request::Builder,
    body: Content,
    json: Option<serde_json::Error>,
}

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    Chunks(VecDeque<Bytes>),
}

impl fmt::Debug for RequestBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("head", &self.head)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl<'a> RequestBuilder<'a> {
    pub(crate) fn new(client: &'a Client, method: Method, path: &str) -> Self {
        Self {
            client,
            head: Request::builder().method(method).uri(path),
            body: Content::Whole(Bytes::new()),
            json: None,
        }
    }

    /// Adds a header field. A name may repeat.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.head = self.head.header(name, value);
        self
    }

    /// Sends this value as JSON.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => self.json_text(json),
            Err(error) => {
                self.json = Some(error);
                self
            }
        }
    }

    /// Sends a text as JSON, whether or not it is.
    pub fn json_text(mut self, text: impl Into<Bytes>) -> Self {
        let content_type = HeaderValue::from_static("application/json");
        if let Some(headers) = self.head.headers_mut() {
            headers.entry(CONTENT_TYPE).or_insert(content_type);
        }
        self.body(text)
    }

    /// Sends these bytes. The content type is the test's to set.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Content::Whole(body.into());
        self
    }

    /// Sends a body of unknown length in these pieces.
    pub fn chunks(mut self, chunks: impl IntoIterator<Item = impl Into<Bytes>>) -> Self {
        self.body = Content::Chunks(chunks.into_iter().map(Into::into).collect());
        self
    }

    /// Sends the request and returns the response as soon as its head is there.
    ///
    /// # Errors
    /// If the request cannot be made.
    pub async fn stream(self) -> Result<Streamed, TestError> {
        let client = self.client;
        let (request, sent) = self.build()?;
        Ok(client.stream(request, sent).await)
    }

    fn build(self) -> Result<(Request<Body>, Sent), TestError> {
        if let Some(error) = self.json {
            return Err(TestError::Json(error));
        }
        let request = self.head.body(()).map_err(TestError::Request)?;
        let shown = match &self.body {
            Content::Whole(body) => body.clone(),
            Content::Chunks(chunks) => chunks.iter().flatten().copied().collect(),
        };
        let sent = Sent::new(&request, shown);
        let body = match self.body {
            Content::Whole(body) => Full::new(body).boxed_unsync(),
            Content::Chunks(chunks) => Chunks(chunks).boxed_unsync(),
        };
        Ok((request.map(|()| body), sent))
    }
}

impl<'a> IntoFuture for RequestBuilder<'a> {
    type Output = Result<TestResponse, TestError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let client = self.client;
        let built = self.build();
        Box::pin(async move {
            let (request, sent) = built?;
            client.send(request, sent).await
        })
    }
}

/// A body in pieces, whose length is not known before its end.
struct Chunks(VecDeque<Bytes>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}

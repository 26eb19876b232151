//! HTTP/1.1 byte by byte, over any stream: sends exactly what the test wrote.
//!
//! A client library would correct what a test wants to be wrong, such as a path with raw spaces or
//! a body without a length.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A request as it is sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method, verbatim.
    pub method: String,
    /// The request target, verbatim.
    pub path: String,
    /// The headers, in order. `host`, `content-length` and `connection: close` are added if they
    /// are absent; with `transfer-encoding` the body is one chunk.
    pub headers: Vec<(String, String)>,
    /// The body; an empty one differs from none.
    pub body: Option<Vec<u8>>,
}

impl Request {
    /// A request without headers or body.
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// `GET`.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// `POST` of JSON.
    pub fn post(path: &str, body: &Value) -> Self {
        Self::new("POST", path)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(header, _)| header.eq_ignore_ascii_case(name))
    }

    /// The bytes of the request; `authority` is its host unless it has one.
    pub fn encode(&self, authority: &str) -> Vec<u8> {
        let chunked = self.has("transfer-encoding");
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !self.has("host") {
            head.extend(["host: ", authority, "\r\n"]);
        }
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if let Some(body) = &self.body
            && !chunked
            && !self.has("content-length")
        {
            head.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
        }
        if !self.has("connection") {
            head.push_str("connection: close\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        match &self.body {
            Some(body) if chunked => {
                bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
                bytes.extend_from_slice(b"\r\n0\r\n\r\n");
            }
            Some(body) => bytes.extend_from_slice(body),
            None => {}
        }
        bytes
    }
}

/// A complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without its transfer coding.
    pub body: Vec<u8>,
}

impl Response {
    /// A header's values, joined with `, ` (RFC 9110, 5.3).
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON, with the complete response.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "not JSON ({error}): {} {:?} {}",
                self.status,
                self.headers,
                self.text()
            )
        })
    }
}

/// Sends a request on a connection of its own, and reads the response.
///
/// # Errors
/// If the connection ends before the response is complete, or the response is not HTTP/1.1.
pub async fn send<S>(stream: S, request: &Request, authority: &str) -> io::Result<Response>
where
    S: AsyncRead + AsyncWrite,
{
    let (read, mut write) = tokio::io::split(stream);
    let bytes = request.encode(authority);
    let mut reader = Reader::new(read);
    // Reads while it writes, because a server may respond before it has read everything.
    tokio::select! {
        response = reader.response(&request.method) => response,
        never = async {
            let _ = write.write_all(&bytes).await;
            std::future::pending().await
        } => never,
    }
}

/// Reads responses from a stream.
#[derive(Debug)]
pub struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from `stream`, at the beginning of a response.
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Reads the final response to a request with this method, and skips interim ones (1xx).
    ///
    /// # Errors
    /// See [`send`].
    pub async fn response(&mut self, method: &str) -> io::Result<Response> {
        let (status, headers) = loop {
            let (status, headers) = self.head().await?;
            if status >= 200 || status == 101 {
                break (status, headers);
            }
        };
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        if method == "HEAD" || matches!(status, 204 | 304) {
            return Ok(response);
        }
        response.body = if response.is_chunked() {
            let mut body = Vec::new();
            self.chunks(|chunk| body.extend_from_slice(chunk)).await?;
            body
        } else if let Some(length) = response.header("content-length") {
            self.exactly(length.parse().map_err(|_| malformed(&length))?)
                .await?
        } else {
            while self.fill().await? {}
            std::mem::take(&mut self.buffer)
        };
        Ok(response)
    }

    /// As [`response`](Self::response) for a chunked body, which is passed to `chunk` as it
    /// arrives. The returned body is empty.
    ///
    /// # Errors
    /// As [`send`], and if the body is not chunked.
    pub async fn streamed(&mut self, chunk: impl FnMut(&[u8])) -> io::Result<Response> {
        let (status, headers) = self.head().await?;
        let response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        if !response.is_chunked() {
            return Err(malformed(&format!("{response:?} has no chunks")));
        }
        self.chunks(chunk).await?;
        Ok(response)
    }

    /// Reads until the server closes, and returns the bytes after the last response.
    ///
    /// # Errors
    /// If the connection is reset.
    pub async fn rest(mut self) -> io::Result<Vec<u8>> {
        while self.fill().await? {}
        Ok(self.buffer)
    }

    async fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let line = self.line().await?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| line.strip_prefix("HTTP/1.0 "))
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| malformed(&line))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    async fn chunks(&mut self, mut hand_on: impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| malformed(&line))?;
            if size == 0 {
                // Trailers, if any, and the empty line after them.
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            hand_on(&self.exactly(size).await?);
            self.line().await?;
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                break end;
            }
            if !self.fill().await? {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "closed before the response was complete",
                ));
            }
        };
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        line.pop();
        line.pop_if(|last| *last == b'\r');
        // Bytes outside ASCII are opaque (RFC 9112); one char for each keeps them distinct.
        Ok(line.into_iter().map(char::from).collect())
    }

    async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill().await? {
                let message = format!("body cut short: {} of {count} bytes", self.buffer.len());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    async fn fill(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}

fn malformed(line: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not HTTP/1.1: {line:?}"),
    )
}

//! What a core keeps of a request that is recorded, until its response is complete.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response};

use super::format::Sent;
use super::headers;
use super::queue::{Answered, Ended, Job, Queue, too_large};
use crate::database::tape::Tape;
use crate::sandbox::{CallError, GuestBody, Runtime};
use crate::telemetry::RequestInfo;
use crate::wasi_http::bindings::wasi::http::types::Scheme;
use crate::wasi_http::forwarded;

/// A request that is recorded. If it is dropped before its end is known, its client has left.
#[derive(Debug)]
pub(crate) struct Capture {
    queue: Arc<Queue>,
    runtime: Arc<Runtime>,
    tape: Arc<Tape>,
    info: Arc<RequestInfo>,
    began: Instant,
    kept: Option<Kept>,
    /// What is known of a response whose body is not complete.
    streamed: Option<Answered>,
}

/// The request.
#[derive(Debug)]
struct Kept {
    time: SystemTime,
    sent: Sent,
    is_too_large: bool,
}

impl Capture {
    pub(super) fn of(
        queue: Arc<Queue>,
        runtime: Arc<Runtime>,
        request: &Request<Bytes>,
        info: &Arc<RequestInfo>,
    ) -> Box<Self> {
        let found = request.headers();
        let scheme = forwarded::scheme(found, request.extensions());
        let target = request.uri().path_and_query();
        let is_too_large = request.body().len() > queue.limit;
        let mut headers = headers::fields(found, headers::is_recorded);
        // HTTP/2 has the host in the request's target.
        if let (None, Some(authority)) = (found.get(HOST), request.uri().authority()) {
            headers.push((HOST.as_str().to_owned(), authority.as_str().to_owned()));
        }
        let sent = Sent {
            method: request.method().as_str().to_owned(),
            is_https: matches!(scheme, Scheme::Https),
            target: target.map_or("/", |target| target.as_str()).to_owned(),
            headers,
            body: if is_too_large {
                Bytes::new()
            } else {
                request.body().clone()
            },
        };
        Box::new(Self {
            tape: Tape::new(queue.limit.saturating_sub(sent.body.len())),
            queue,
            runtime,
            info: Arc::clone(info),
            began: Instant::now(),
            kept: Some(Kept {
                time: SystemTime::now(),
                sent,
                is_too_large,
            }),
            streamed: None,
        })
    }

    /// What notes the calls of the request.
    pub(crate) fn tape(&self) -> &Arc<Tape> {
        &self.tape
    }

    /// The component has answered. Returns the capture if the body is still being written.
    pub(crate) fn answered(
        mut self: Box<Self>,
        response: &Response<GuestBody>,
    ) -> Option<Box<Self>> {
        let status = response.status().as_u16();
        let headers = headers::fields(response.headers(), |name| !headers::is_volatile(name));
        let body = match response.body() {
            GuestBody::Buffered(body) => body.clone().unwrap_or_default(),
            GuestBody::Streaming { .. } => {
                self.streamed = Some(Answered {
                    status,
                    headers,
                    length: Some(0),
                    body: None,
                });
                return Some(self);
            }
        };
        self.end(Ended::Answered(Answered {
            status,
            headers,
            length: Some(body.len()),
            body: Some(body),
        }));
        None
    }

    /// So many bytes of the body were read.
    pub(crate) fn read(&mut self, bytes: usize) {
        if let Some(Answered {
            length: Some(length),
            ..
        }) = &mut self.streamed
        {
            *length += bytes;
        }
    }

    /// The body is complete.
    pub(crate) fn complete(&mut self) {
        if let Some(answered) = self.streamed.take() {
            self.end(Ended::Answered(answered));
        }
    }

    /// The component failed, before its response or while it was read.
    pub(crate) fn failed(&mut self, error: Option<&CallError>) {
        self.end(match error {
            Some(CallError::Guest(_)) => Ended::Failed,
            Some(error) => Ended::Spoiled(error.to_string()),
            None => Ended::Spoiled("its response ended before it was complete".to_owned()),
        });
    }

    fn end(&mut self, ended: Ended) {
        let Some(kept) = self.kept.take() else {
            return;
        };
        let ended = if kept.is_too_large {
            Ended::Spoiled(too_large(self.queue.limit))
        } else {
            ended
        };
        self.queue.push(Job {
            runtime: Arc::clone(&self.runtime),
            id: self.info.id().to_owned(),
            time: kept.time,
            sent: kept.sent,
            taped: self.tape.take(),
            ended,
            took: self.began.elapsed(),
        });
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // The body of a response to HEAD is not read.
        if self.info.is_head()
            && let Some(mut answered) = self.streamed.take()
        {
            answered.length = None;
            self.end(Ended::Answered(answered));
        }
        self.end(Ended::Spoiled(
            "the client left before the response was complete".to_owned(),
        ));
    }
}

//! `usher:service/buffered-handler`: a request and its response in one call.

use std::borrow::Cow;

use super::bindings::exports::usher::service::buffered_handler as wit;
use super::database::Import;
use super::exported::Component;
use crate::answer::Answer;
use crate::http::{BufferedRequest, JSON, Method, RequestHeaders, Response, Scheme};
use crate::service::Service;

/// A larger document is streamed rather than copied. In bytes.
const COPY_LIMIT: usize = 64 << 10;

impl<S: Service> wit::Guest for Component<S> {
    fn header_fields() -> Vec<wit::HeaderField> {
        let field = |header: &S::Header| wit::HeaderField {
            name: header.name().into(),
            containing: header.required_text().map(str::to_owned),
        };
        S::Header::ALL.iter().map(field).collect()
    }

    fn handle(request: wit::Request) -> Option<wit::Response> {
        let is_head = matches!(request.method, wit::Method::Head);
        let response = match S::handle(&BufferedRequest::from(request), &Import) {
            // No statement has run yet: `incoming-handler` runs it.
            Answer::Streamed(_) => return None,
            Answer::Buffered(response) => response,
        };
        // Borrowed bytes are part of the component, so the request has had no effect. Any other
        // response may be the outcome of a write, which must not be repeated.
        if matches!(response.body, Cow::Borrowed(bytes) if bytes.len() > COPY_LIMIT) {
            return None;
        }
        Some(complete(response, is_head))
    }
}

/// A response as it is passed.
pub(super) fn complete(response: Response, is_head: bool) -> wit::Response {
    let (mut etag, mut fields) = (None, Vec::new());
    // Hosts see from the body of any other response how long it is.
    if is_head && response.body.is_empty() && response.has_length() {
        fields.push(("content-length".to_owned(), "0".to_owned()));
    }
    for (name, value) in response.headers {
        if name == "etag" {
            etag = Some(value.into_owned());
        } else {
            fields.push((name.to_owned(), value.into_owned()));
        }
    }
    let content = |content_type| match content_type {
        JSON => wit::Content::Json,
        other => wit::Content::Other(str::to_owned(other)),
    };
    wit::Response {
        status: response.status,
        content_type: response.content_type.map(content),
        etag,
        fields,
        body: response.body.into_owned(),
    }
}

impl From<wit::Request> for BufferedRequest {
    fn from(request: wit::Request) -> Self {
        Self {
            method: match request.method {
                wit::Method::Get => Method::Get,
                wit::Method::Head => Method::Head,
                wit::Method::Post => Method::Post,
                wit::Method::Put => Method::Put,
                wit::Method::Patch => Method::Patch,
                wit::Method::Delete => Method::Delete,
                _ => Method::Other,
            },
            scheme: match request.scheme {
                wit::Scheme::Http => Scheme::Http,
                wit::Scheme::Https => Scheme::Https,
            },
            authority: request.authority,
            target: request.target,
            fields: request.fields.unwrap_or_default(),
            body: request.body.unwrap_or_default(),
        }
    }
}

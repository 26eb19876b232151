//! A request and its response in one call, with a component that offers `usher:service/whole-handler`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use wasmtime::Store;

use super::fields::{self, Fields};
use super::response::{Response, Source};
use crate::bindings::whole::Whole;
use crate::bindings::whole::exports::usher::service::whole_handler as wit;
use crate::instances::State;

/// A header field that a component looks at.
#[derive(Debug)]
pub(crate) struct Wanted {
    name: HeaderName,
    /// It is handed over only where one of its values has this text in it, whatever the case.
    containing: Option<String>,
}

impl Wanted {
    fn matters(&self, headers: &HeaderMap) -> bool {
        let Some(text) = self.containing.as_deref().filter(|text| !text.is_empty()) else {
            return true;
        };
        let has = |value: &HeaderValue| {
            let mut windows = value.as_bytes().windows(text.len());
            windows.any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
        };
        headers.get_all(&self.name).iter().any(has)
    }
}

/// The header fields a component looks at.
///
/// # Errors
/// Where the guest fails.
pub(crate) async fn wanted(
    whole: &Whole,
    store: &mut Store<State>,
) -> wasmtime::Result<Vec<Wanted>> {
    let fields = whole
        .usher_service_whole_handler()
        .call_fields(store)
        .await?;
    let wanted = fields.into_iter().filter_map(|field| {
        let name = HeaderName::try_from(field.name.as_str()).ok()?;
        (!fields::is_forbidden(&name)).then_some(Wanted {
            name,
            containing: field.containing,
        })
    });
    Ok(wanted.collect())
}

/// Hands over a request. Without a response the guest has done nothing, and wants to stream its answer.
///
/// # Errors
/// Where the guest fails, or answers with what is no response.
pub(crate) async fn handle(
    whole: &Whole,
    store: &mut Store<State>,
    request: &http::Request<Bytes>,
    wanted: &[Wanted],
) -> wasmtime::Result<Option<Response>> {
    let headers = request.headers();
    let mut fields = Vec::new();
    for field in wanted.iter().filter(|field| field.matters(headers)) {
        for value in headers.get_all(&field.name) {
            fields.push((field.name.as_str(), value.as_bytes()));
        }
    }
    let authority = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok()),
    };
    let asked = wit::Request {
        method: method(request.method()),
        target: request
            .uri()
            .path_and_query()
            .map_or("/", |target| target.as_str()),
        authority,
        fields: &fields,
        body: request.body(),
    };
    let answer = whole
        .usher_service_whole_handler()
        .call_handle(store, asked)
        .await?;
    let Some(answer) = answer else {
        return Ok(None);
    };
    let status = StatusCode::from_u16(answer.status)
        .map_err(|_| wasmtime::format_err!("it answered with the status {}", answer.status))?;
    let fields = Fields::collect(answer.fields)
        .map_err(|error| wasmtime::format_err!("a header of its response: {error}"))?;
    let body = Bytes::from(answer.body);
    let promised = fields
        .content_length()
        .map_err(|()| wasmtime::format_err!("its Content-Length is no number"))?;
    // What is left out of an answer to HEAD still has its length, and so has what a client knows already (RFC 9110, 8.6).
    let without = *request.method() == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    if promised.is_some_and(|promised| promised != body.len() as u64) && !without {
        return Err(wasmtime::format_err!(
            "it promised a body of {promised:?} bytes and gave {}",
            body.len()
        ));
    }
    Ok(Some(Response {
        status,
        headers: fields.into_map(),
        source: Source::Whole(body),
    }))
}

fn method(method: &Method) -> wit::Method {
    match *method {
        Method::GET => wit::Method::Get,
        Method::HEAD => wit::Method::Head,
        Method::POST => wit::Method::Post,
        Method::PUT => wit::Method::Put,
        Method::DELETE => wit::Method::Delete,
        Method::CONNECT => wit::Method::Connect,
        Method::OPTIONS => wit::Method::Options,
        Method::TRACE => wit::Method::Trace,
        Method::PATCH => wit::Method::Patch,
        _ => wit::Method::Other,
    }
}

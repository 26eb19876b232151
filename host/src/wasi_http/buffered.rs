//! A request and its response in one call, with a component that offers `usher:service/buffered-handler`.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use wasmtime::Store;

use super::bindings::wasi::http::types::{HeaderError, Scheme};
use super::bindings::whole::Whole;
use super::bindings::whole::exports::usher::service::buffered_handler as wit;
use super::fields::{self, Given};
use super::request::authority;
use super::{forwarded, head};

/// A header field that a component looks at.
#[derive(Debug)]
pub(crate) struct Wanted {
    name: HeaderName,
    /// It is handed over only where one of its values has this text in it, whatever the case.
    containing: Option<String>,
}

impl Wanted {
    /// Whether a field by this name is handed over: all of its lines, or none.
    fn fits(&self, name: &HeaderName, headers: &HeaderMap) -> bool {
        self.name == *name
            && self.containing.as_deref().is_none_or(|text| {
                let mut values = headers.get_all(name).iter();
                values.any(|value| contains(value.as_bytes(), text.as_bytes()))
            })
    }
}

/// Whether a value has this text in it, whatever the case.
fn contains(value: &[u8], text: &[u8]) -> bool {
    text.is_empty()
        || value
            .windows(text.len())
            .any(|window| window.eq_ignore_ascii_case(text))
}

/// The header fields a component looks at.
///
/// # Errors
/// Where the guest fails.
pub(crate) async fn wanted<T: Send>(
    whole: &Whole,
    store: &mut Store<T>,
) -> wasmtime::Result<Vec<Wanted>> {
    let fields = whole
        .usher_service_buffered_handler()
        .call_header_fields(store)
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

/// Hands over a request. Without a response the guest has done nothing, and wants it by `wasi:http/incoming-handler`: then the request
/// is as it was. Else its header fields are gone, and the response's are in their place.
///
/// # Errors
/// Where the guest fails, or answers with what is no response.
pub(crate) async fn handle<T: Send>(
    whole: &Whole,
    store: &mut Store<T>,
    request: &mut Request<Bytes>,
    wanted: &[Wanted],
) -> wasmtime::Result<Option<Response<Bytes>>> {
    let (headers, body, mut fields) = (request.headers(), request.body(), Vec::new());
    // Found in the one pass over the headers: lookups would cost more.
    let (mut host, mut is_forwarded) = (None, false);
    for (name, value) in headers {
        if *name == HOST {
            host = Some(value);
        }
        is_forwarded |= forwarded::names_scheme(name);
        if wanted.iter().any(|wanted| wanted.fits(name, headers)) {
            fields.push((name.as_str(), value.as_bytes()));
        }
    }
    let asked = wit::Request {
        method: method(request.method()),
        scheme: match is_forwarded.then(|| forwarded::scheme(headers)) {
            Some(Scheme::Https) => wit::Scheme::Https,
            _ => wit::Scheme::Http,
        },
        authority: authority(request.uri(), host),
        target: request
            .uri()
            .path_and_query()
            .map_or("/", |target| target.as_str()),
        fields: (!fields.is_empty()).then_some(&fields),
        body: (!body.is_empty()).then_some(body),
    };
    let answer = whole
        .usher_service_buffered_handler()
        .call_handle(store, asked)
        .await?;
    let Some(answer) = answer else {
        return Ok(None);
    };
    let status = head::status(answer.status)?;
    let has_others = !answer.fields.is_empty();
    let given = Given::in_place_of(std::mem::take(request.headers_mut()));
    let fields = fields_of(given, answer.content_type, answer.etag, answer.fields)
        .map_err(|error| wasmtime::format_err!("a header of its response: {error}"))?;
    // Looked for only where it can be.
    let promised = if has_others {
        fields
            .content_length()
            .map_err(|()| wasmtime::format_err!("its Content-Length is no number"))?
    } else {
        None
    };
    let body = Bytes::from(answer.body);
    let mut headers = fields.into_map();
    if has_others {
        head::without_trailers(&mut headers);
    }
    let bytes = Some(body.len());
    head::agree(request.method(), status, &mut headers, promised, bytes)?;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(Some(response))
}

/// The header fields of a response.
fn fields_of(
    mut given: Given,
    content: Option<wit::Content>,
    etag: Option<String>,
    entries: Vec<(String, String)>,
) -> Result<Given, HeaderError> {
    if let Some(content) = content {
        let value = match content {
            wit::Content::Json => HeaderValue::from_static("application/json"),
            wit::Content::Other(text) => fields::parse_value(text.into())?,
        };
        given.append(CONTENT_TYPE, value)?;
    }
    if let Some(etag) = etag {
        given.append(ETAG, fields::parse_value(etag.into())?)?;
    }
    for (name, value) in entries {
        given.append(
            fields::parse_name(&name)?,
            fields::parse_value(value.into())?,
        )?;
    }
    Ok(given)
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

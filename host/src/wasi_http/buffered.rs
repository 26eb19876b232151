//! Passes a request and returns its response in one call of `usher:service/buffered-handler`.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use wasmtime::Store;

use super::bindings::buffered::Buffered;
use super::bindings::buffered::exports::usher::service::buffered_handler as wit;
use super::bindings::wasi::http::types::{HeaderError, Scheme};
use super::fields::{self, FieldMap};
use super::request::authority;
use super::{forwarded, head};

/// A header field that a component requests.
#[derive(Debug)]
pub(crate) struct RequestedField {
    name: HeaderName,
    /// The field is passed only if one of its values contains this text, in any case.
    containing: Option<String>,
}

impl RequestedField {
    /// Whether all fields of this name are passed.
    fn matches(&self, name: &HeaderName, headers: &HeaderMap) -> bool {
        self.name == *name
            && self.containing.as_deref().is_none_or(|text| {
                let mut values = headers.get_all(name).iter();
                values.any(|value| contains(value.as_bytes(), text.as_bytes()))
            })
    }
}

/// The header fields that a component requests.
#[derive(Debug, Default)]
pub(crate) struct RequestedFields {
    fields: Vec<RequestedField>,
    /// The lengths of their names, a bit for each. Most fields of a request have another.
    lengths: u64,
}

impl FromIterator<RequestedField> for RequestedFields {
    fn from_iter<I: IntoIterator<Item = RequestedField>>(fields: I) -> Self {
        let fields: Vec<_> = fields.into_iter().collect();
        let lengths = fields.iter().map(|field| length_bit(&field.name));
        Self {
            lengths: lengths.fold(0, std::ops::BitOr::bitor),
            fields,
        }
    }
}

impl RequestedFields {
    /// Whether all fields of this name are passed.
    fn have(&self, name: &HeaderName, headers: &HeaderMap) -> bool {
        self.lengths & length_bit(name) != 0
            && self.fields.iter().any(|field| field.matches(name, headers))
    }
}

/// A bit for a name's length; names of 64 bytes and more share some.
fn length_bit(name: &HeaderName) -> u64 {
    1 << (name.as_str().len() % 64)
}

/// Whether a value contains this text, in any case.
fn contains(value: &[u8], text: &[u8]) -> bool {
    text.is_empty()
        || value
            .windows(text.len())
            .any(|window| window.eq_ignore_ascii_case(text))
}

/// The header fields that the component requests.
///
/// # Errors
/// If the guest fails.
pub(crate) async fn requested_fields<T: Send>(
    handler: &Buffered,
    store: &mut Store<T>,
) -> wasmtime::Result<RequestedFields> {
    let fields = handler
        .usher_service_buffered_handler()
        .call_header_fields(store)
        .await?;
    let requested = fields.into_iter().filter_map(|field| {
        let name = HeaderName::try_from(field.name.as_str()).ok()?;
        (!fields::is_forbidden(&name)).then_some(RequestedField {
            name,
            containing: field.containing,
        })
    });
    Ok(requested.collect())
}

/// Passes a request to the guest. `None` means that the guest has done nothing and the request must
/// go through `wasi:http/incoming-handler`; the request is then unchanged. A response takes over
/// the request's header map.
///
/// # Errors
/// If the guest fails or returns an invalid response.
pub(crate) async fn handle<T: Send>(
    handler: &Buffered,
    store: &mut Store<T>,
    request: &mut Request<Bytes>,
    requested: &RequestedFields,
) -> wasmtime::Result<Option<Response<Bytes>>> {
    let (headers, body, mut fields) = (request.headers(), request.body(), Vec::new());
    // One pass over the headers costs less than lookups.
    let (mut host, mut is_forwarded) = (None, false);
    for (name, value) in headers {
        if *name == HOST {
            host = Some(value);
        }
        is_forwarded |= forwarded::names_scheme(name);
        if requested.have(name, headers) {
            fields.push((name.as_str(), value.as_bytes()));
        }
    }
    let scheme = if is_forwarded {
        forwarded::scheme(headers, request.extensions())
    } else {
        forwarded::scheme_of_connection(request.extensions())
    };
    let call = wit::Request {
        method: method(request.method()),
        scheme: match scheme {
            Scheme::Https => wit::Scheme::Https,
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
    let returned = handler
        .usher_service_buffered_handler()
        .call_handle(store, call)
        .await?;
    let Some(returned) = returned else {
        return Ok(None);
    };
    let status = head::status(returned.status)?;
    let has_others = !returned.fields.is_empty();
    let map = FieldMap::reusing(std::mem::take(request.headers_mut()));
    let fields = fields_of(map, returned.content_type, returned.etag, returned.fields)
        .map_err(|error| wasmtime::format_err!("a header of its response: {error}"))?;
    // Only the other fields can contain one.
    let content_length = if has_others {
        fields
            .content_length()
            .map_err(|()| wasmtime::format_err!("its Content-Length is no number"))?
    } else {
        None
    };
    let body = Bytes::from(returned.body);
    let mut headers = fields.into_map();
    if has_others {
        head::without_trailers(&mut headers);
    }
    let bytes = Some(body.len());
    head::reconcile(
        request.method(),
        status,
        &mut headers,
        content_length,
        bytes,
    )?;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(Some(response))
}

/// The header fields of a response.
fn fields_of(
    mut map: FieldMap,
    content: Option<wit::Content>,
    etag: Option<String>,
    entries: Vec<(String, String)>,
) -> Result<FieldMap, HeaderError> {
    if let Some(content) = content {
        let value = match content {
            wit::Content::Json => HeaderValue::from_static("application/json"),
            wit::Content::Other(text) => fields::parse_value(text.into())?,
        };
        map.append(CONTENT_TYPE, value)?;
    }
    if let Some(etag) = etag {
        map.append(ETAG, fields::parse_value(etag.into())?)?;
    }
    for (name, value) in entries {
        map.append(
            fields::parse_name(&name)?,
            fields::parse_value(value.into())?,
        )?;
    }
    Ok(map)
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

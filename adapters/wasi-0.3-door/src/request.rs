//! A request, as the service takes it.

use std::cell::OnceCell;

use crate::bindings::usher::service::buffered_handler::{
    self, HeaderField, Method, Request, Scheme,
};
use crate::bindings::wasi::http0_3_0::types::{
    ErrorCode, Method as WasiMethod, Request as WasiRequest, Scheme as WasiScheme,
};
use crate::bindings::wit_future;

thread_local! {
    /// The header fields that the service reads, the same for the life of a component.
    static HEADER_FIELDS: OnceCell<Vec<HeaderField>> = const { OnceCell::new() };
}

/// Receives a request with its body. Its host limits the size.
///
/// # Errors
/// The host's, if the body does not arrive completely.
pub(crate) async fn receive(request: WasiRequest) -> Result<Request, ErrorCode> {
    let method = method(&request.get_method());
    let scheme = match request.get_scheme() {
        Some(WasiScheme::Https) => Scheme::Https,
        _ => Scheme::Http,
    };
    let lines = request.get_headers().copy_all();
    // A host may pass it as the field (RFC 9112, 3.2). wasmtime 49 passes neither.
    let authority = request.get_authority().or_else(|| host(&lines));
    // A target without a path means the root (RFC 9110, 4.2.3), as in `OPTIONS *`.
    let target = request
        .get_path_with_query()
        .unwrap_or_else(|| "/".to_owned());
    let fields = read_fields(lines);
    let body = body(request).await?;
    Ok(Request {
        method,
        scheme,
        authority,
        target,
        fields: (!fields.is_empty()).then_some(fields),
        body: (!body.is_empty()).then_some(body),
    })
}

fn method(method: &WasiMethod) -> Method {
    match method {
        WasiMethod::Get => Method::Get,
        WasiMethod::Head => Method::Head,
        WasiMethod::Post => Method::Post,
        WasiMethod::Put => Method::Put,
        WasiMethod::Delete => Method::Delete,
        WasiMethod::Connect => Method::Connect,
        WasiMethod::Options => Method::Options,
        WasiMethod::Trace => Method::Trace,
        WasiMethod::Patch => Method::Patch,
        WasiMethod::Other(_) => Method::Other,
    }
}

fn host(lines: &[(String, Vec<u8>)]) -> Option<String> {
    let (_, value) = lines
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("host"))?;
    String::from_utf8(value.clone()).ok()
}

/// The field lines that the service reads, with names in lower case.
fn read_fields(lines: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let is_read = |line: &(String, Vec<u8>)| {
        HEADER_FIELDS.with(|fields| {
            let fields = fields.get_or_init(buffered_handler::header_fields);
            fields.iter().any(|field| field.name == line.0)
        })
    };
    lines
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(is_read)
        .collect()
}

async fn body(request: WasiRequest) -> Result<Vec<u8>, ErrorCode> {
    // What became of the body: nobody asks.
    let (outcome, received) = wit_future::new(|| Ok(()));
    let (stream, trailers) = WasiRequest::consume_body(request, received);
    let body = stream.collect().await;
    drop(outcome);
    trailers.await?;
    Ok(body)
}

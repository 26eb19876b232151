//! A response, and the body that is sent after it.

use crate::bindings::usher::service::buffered_handler::{Content, Method, Response};
use crate::bindings::usher::service::streamed_handler::Chunks;
use crate::bindings::wasi::http0_3_0::types::{ErrorCode, Fields, Response as WasiResponse};
use crate::bindings::{wit_future, wit_stream};

/// Makes a response whose body is sent after this returns.
///
/// # Errors
/// If the host refuses the response's head.
pub(crate) fn send(
    response: Response,
    chunks: Option<Chunks>,
    method: Method,
) -> Result<WasiResponse, ErrorCode> {
    let fields = Fields::from_list(&fields(&response, chunks.is_some()))
        .map_err(|error| refused(&format!("the response's fields: {error:?}")))?;
    let (mut body, read) = wit_stream::new();
    let (trailers, end) = wit_future::new(|| Ok(None));
    let is_empty = chunks.is_none() && response.body.is_empty();
    let contents = (method != Method::Head && !is_empty).then_some(read);
    let has_body = contents.is_some();
    let (sent, _) = WasiResponse::new(fields, contents, end);
    sent.set_status_code(response.status)
        .map_err(|()| refused("the response's status"))?;
    wit_bindgen::spawn_local(async move {
        if has_body {
            body.write_all(response.body).await;
        }
        let outcome = match chunks {
            Some(chunks) if has_body => stream(&chunks, body).await,
            _ => Ok(()),
        };
        // An error aborts the response, so that no client takes it for complete.
        let _ = trailers.write(outcome.map(|()| None)).await;
    });
    Ok(sent)
}

/// Sends the parts as fast as the client reads them.
async fn stream(chunks: &Chunks, mut body: wit_bindgen::StreamWriter<u8>) -> Result<(), ErrorCode> {
    while let Some(chunk) = chunks
        .next()
        .map_err(|()| ErrorCode::HttpResponseIncomplete)?
    {
        // What is left is what the client did not read: it has disconnected.
        if !body.write_all(chunk).await.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

fn fields(response: &Response, is_streamed: bool) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::with_capacity(response.fields.len() + 3);
    let mut add = |name: &str, value: &str| fields.push((name.to_owned(), value.into()));
    match &response.content_type {
        Some(Content::Json) => add("content-type", "application/json"),
        Some(Content::Other(content_type)) => add("content-type", content_type),
        None => {}
    }
    if let Some(etag) = &response.etag {
        add("etag", etag);
    }
    let mut has_length = is_streamed || matches!(response.status, 204 | 304);
    for (name, value) in &response.fields {
        has_length |= name == "content-length";
        add(name, value);
    }
    if !has_length {
        add("content-length", &response.body.len().to_string());
    }
    fields
}

fn refused(what: &str) -> ErrorCode {
    ErrorCode::InternalError(Some(format!("the host refuses {what}")))
}

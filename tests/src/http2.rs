//! A client of HTTP/2 without TLS, by the library `h2`.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::http::{Request, Response};

/// Fields that HTTP/2 has in another form, or not at all (RFC 9113, 8.2.2).
const OF_THE_CONNECTION: [&str; 4] = ["connection", "host", "keep-alive", "transfer-encoding"];

/// Sends a request on a connection of its own, and reads the response.
///
/// # Errors
/// If the request has no form in HTTP/2, for example because of a space in its path
/// ([`io::ErrorKind::InvalidInput`]), or the response is not complete.
pub async fn send<S>(stream: S, request: &Request, authority: &str) -> io::Result<Response>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let invalid = |error: http::Error| io::Error::new(io::ErrorKind::InvalidInput, error);
    let uri = http::Uri::builder()
        .scheme("http")
        .authority(authority)
        .path_and_query(request.path.as_str())
        .build()
        .map_err(invalid)?;
    let mut head = http::Request::builder()
        .method(request.method.as_str())
        .uri(uri);
    for (name, value) in &request.headers {
        if !OF_THE_CONNECTION.contains(&name.to_ascii_lowercase().as_str()) {
            // HTTP/1 ignores whitespace around a value, HTTP/2 forbids it (RFC 9113, 8.2.1).
            head = head.header(name, value.trim_matches([' ', '\t']));
        }
    }
    let head = head.body(()).map_err(invalid)?;
    let (client, connection) = h2::client::handshake(stream)
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let response = exchange(client, head, request.body.clone()).await;
    connection.abort();
    response.map_err(io::Error::other)
}

async fn exchange(
    client: h2::client::SendRequest<Bytes>,
    head: http::Request<()>,
    body: Option<Vec<u8>>,
) -> Result<Response, h2::Error> {
    let mut client = client.ready().await?;
    let (response, mut stream) = client.send_request(head, body.is_none())?;
    if let Some(body) = body {
        // A server may respond before it has read all.
        let _ = stream.send_data(body.into(), true);
    }
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    let headers = head.headers.iter().map(|(name, value)| {
        // Bytes outside ASCII are opaque, as in `http`.
        let value = value.as_bytes().iter().copied().map(char::from).collect();
        (name.as_str().to_owned(), value)
    });
    Ok(Response {
        status: head.status.as_u16(),
        headers: headers.collect(),
        body: bytes,
    })
}

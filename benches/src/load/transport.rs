//! What is below the requests of a load: TCP or TLS, HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use crate::Error;

/// How a load connects to its server: over TCP by HTTP/1.1 unless it is changed.
#[derive(Clone, Default)]
pub struct Transport {
    tls: Option<TlsConnector>,
    pub(super) is_http2: bool,
    /// Whether each request has a connection of its own.
    pub(super) closes: bool,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("is_tls", &self.tls.is_some())
            .field("is_http2", &self.is_http2)
            .field("closes", &self.closes)
            .finish()
    }
}

/// A connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Transport {
    /// The same by HTTP/2: chosen in the handshake with TLS, known before without.
    #[must_use]
    pub fn http2(self) -> Self {
        Self {
            is_http2: true,
            ..self
        }
    }

    /// The same with a connection, and with TLS a full handshake, for each request.
    #[must_use]
    pub fn closing(self) -> Self {
        Self {
            closes: true,
            ..self
        }
    }

    /// The same over TLS to a server whose certificate is in this file.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn tls(self, certificate: &Path) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate)?)?;
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        let protocol: &[u8] = if self.is_http2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Self {
            tls: Some(TlsConnector::from(Arc::new(config))),
            ..self
        })
    }

    pub(super) async fn connect(&self, address: SocketAddr) -> Result<Box<dyn Stream>, Error> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| format!("cannot connect to {address}: {error}"))?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::from(address.ip());
        let stream = tls.connect(name, stream).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if is_http2 != self.is_http2 {
            return Err("the server chose another version of HTTP".into());
        }
        Ok(Box::new(stream))
    }

    pub(super) async fn connect_http2(&self, address: SocketAddr) -> Result<Http2, Error> {
        let stream = self.connect(address).await?;
        let (client, connection) = h2::client::handshake(stream).await?;
        // The next request reports whatever ended it.
        let connection = tokio::spawn(async { drop(connection.await) });
        Ok(Http2 {
            client,
            connection: connection.abort_handle(),
        })
    }
}

/// A connection of HTTP/2, closed when dropped.
#[derive(Debug)]
pub(super) struct Http2 {
    client: SendRequest<Bytes>,
    connection: AbortHandle,
}

impl Http2 {
    /// Sends a GET that is written in HTTP/1.1, reads its response and returns the status.
    pub(super) async fn get(
        &mut self,
        request: &[u8],
        address: SocketAddr,
        is_tls: bool,
    ) -> Result<u16, Error> {
        let path = path(request).ok_or("over HTTP/2 only GET is sent")?;
        let scheme = if is_tls { "https" } else { "http" };
        let uri = http::Uri::builder()
            .scheme(scheme)
            .authority(address.to_string())
            .path_and_query(path)
            .build()?;
        let request = http::Request::get(uri).body(())?;
        std::future::poll_fn(|cx| self.client.poll_ready(cx)).await?;
        let (response, _) = self.client.send_request(request, true)?;
        let (head, mut body) = response.await?.into_parts();
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data?.len())?;
        }
        Ok(head.status.as_u16())
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// The target of a GET in HTTP/1.1.
fn path(request: &[u8]) -> Option<&str> {
    let rest = request.strip_prefix(b"GET ")?;
    let end = rest.iter().position(|&byte| byte == b' ')?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

impl Transport {
    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn path_of_a_get_is_its_target_and_other_methods_have_none() {
        assert_eq!(path(b"GET /a?b HTTP/1.1\r\n\r\n"), Some("/a?b"));
        assert_eq!(path(b"POST /a HTTP/1.1\r\n\r\n"), None);
    }
}

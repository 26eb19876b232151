//! One request for the keys: `GET` over HTTP/1.1, with TLS for `https`.
//!
//! It follows no redirect and uses no proxy, so that keys come from the place that the operator
//! named or not at all. It is bounded in time and size.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::key::MAX_SET;
use crate::pem;

/// How long one request may take, from the look-up of the name to the last byte.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the keys are fetched from.
pub(super) struct Endpoint {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// The values of `Host` and of the request's target.
    authority: String,
    target: String,
    authorization: Option<HeaderValue>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The URL without secrets.
    shown: String,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.shown).finish()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Why there are no keys.
#[derive(Debug)]
pub(super) enum FetchError {
    Connect(io::Error),
    Late,
    Http(hyper::Error),
    Status(StatusCode),
    /// The body is too long, or incomplete.
    Body(Box<dyn std::error::Error + Send + Sync>),
}

impl FetchError {
    /// Whether it may be otherwise in a moment, unlike a wrong URL or certificate.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) => error.kind() != io::ErrorKind::InvalidData,
            Self::Late | Self::Http(_) => true,
            Self::Status(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Body(_) => false,
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "its server cannot be reached: {error}"),
            Self::Late => write!(f, "it took longer than {FETCH_TIMEOUT:?}"),
            Self::Http(error) => write!(f, "its server did not speak HTTP: {error}"),
            Self::Status(status) if status.is_redirection() => write!(
                f,
                "its server answered {status}, and redirects are not followed: name the address of \
                 the keys themselves"
            ),
            Self::Status(status) => write!(f, "its server answered {status}"),
            Self::Body(error) => {
                write!(
                    f,
                    "the answer was incomplete or longer than {MAX_SET} bytes: {error}"
                )
            }
        }
    }
}

impl Endpoint {
    /// The place that a URL names. `shown` is the URL without secrets.
    ///
    /// # Errors
    /// One line, if the URL cannot be used, or the certificates in the file `ca` cannot.
    pub(super) fn new(uri: &Uri, shown: String, ca: Option<&Path>) -> Result<Self, String> {
        let unusable = |reason: &str| format!("cannot use --jwt-keys {shown}: {reason}");
        let authority = uri
            .authority()
            .ok_or_else(|| unusable("it names no host"))?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        if host.is_empty() {
            return Err(unusable("it names no host"));
        }
        let is_https = uri.scheme_str() == Some("https");
        let port = match authority.port_u16() {
            None if is_https => 443,
            None => 80,
            Some(port) => port,
        };
        let (user, address) = match authority.as_str().rsplit_once('@') {
            None => (None, authority.as_str()),
            Some((user, address)) => (Some(user), address),
        };
        let tls = if is_https {
            let name = ServerName::try_from(host.to_owned());
            let name = name.map_err(|_| unusable("its host is neither a name nor an address"))?;
            Some((TlsConnector::from(client(ca)?), name))
        } else if ca.is_some() {
            return Err("--jwt-keys-ca is for keys at an https URL".to_owned());
        } else {
            None
        };
        let endpoint = Self {
            host: host.to_owned(),
            port,
            authority: address.to_owned(),
            target: uri
                .path_and_query()
                .map_or("/", |target| target.as_str())
                .to_owned(),
            authorization: user
                .map(basic)
                .transpose()
                .map_err(|reason| unusable(&reason))?,
            tls,
            shown,
        };
        if !is_https && !endpoint.is_local() {
            tracing::warn!(
                "the keys are fetched from {endpoint} without TLS: whoever is between can give \
                 others, and let anyone in; use an https URL"
            );
        }
        Ok(endpoint)
    }

    fn is_local(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// Fetches the keys.
    ///
    /// # Errors
    /// If they do not arrive in time and in full, within the limit on their size.
    pub(super) async fn fetch(&self) -> Result<Bytes, FetchError> {
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, async {
            let connecting = TcpStream::connect((self.host.as_str(), self.port));
            let stream = connecting.await.map_err(FetchError::Connect)?;
            match &self.tls {
                None => self.get(stream).await,
                Some((tls, name)) => {
                    let connecting = tls.connect(name.clone(), stream);
                    self.get(connecting.await.map_err(FetchError::Connect)?)
                        .await
                }
            }
        });
        fetched.await.map_err(|_| FetchError::Late)?
    }

    async fn get<I>(&self, stream: I) -> Result<Bytes, FetchError>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = self.target.parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::try_from(&self.authority) {
            headers.insert(HOST, host);
        }
        let accepted = HeaderValue::from_static("application/jwk-set+json, application/json");
        headers.insert(ACCEPT, accepted);
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(FetchError::Http)?;
        let body = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(FetchError::Http)?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_SET).collect().await;
            body.map(http_body_util::Collected::to_bytes)
                .map_err(FetchError::Body)
        };
        tokio::pin!(connection, body);
        tokio::select! {
            body = &mut body => body,
            // All of the body may have been read by then: many servers end TLS without a word.
            ended = &mut connection => body.await.map_err(|error| {
                ended.err().map_or(error, FetchError::Http)
            }),
        }
    }
}

/// The value of `Authorization` for a URL with a user and a password (RFC 7617).
fn basic(user: &str) -> Result<HeaderValue, String> {
    let credentials: Vec<u8> = percent_decode_str(user).collect();
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials)))
        .map_err(|_| "its user or password cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The settings of TLS: the public authorities, and those of a file.
fn client(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(file) = ca {
        for certificate in pem::certificates_of_option("--jwt-keys-ca", file)? {
            roots.add(certificate).map_err(|error| {
                let file = file.display();
                format!("cannot use --jwt-keys-ca {file}: {error}")
            })?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(Arc::new(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}

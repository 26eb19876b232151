//! TLS of clients' connections: the certificate, its key, and the authorities of client
//! certificates, all from files.
//!
//! The files are read at start, where a fault is an error, and again after SIGHUP and when they
//! change. A new handshake takes what was read last. If it cannot be used, for example because the
//! key does not fit the certificate yet, what was read before stays in use, and a line says why.
//! Open connections are not affected.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use clap::Args;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::pem;
use crate::reload::{self, Watch};

/// TLS of clients' connections.
#[derive(Args, Clone, Debug)]
#[group(id = "tls-options")]
pub struct Config {
    /// The certificate with which --listen speaks TLS, and those between it and its root, as PEM.
    /// It is read again after SIGHUP and when it changes.
    #[arg(long, env = "USHER_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The key of --tls-cert, as PEM.
    #[arg(long, env = "USHER_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Certificates of authorities, as PEM: a client needs a certificate that one of them signed.
    #[arg(long, env = "USHER_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
}

impl Config {
    /// The files to read, if there is TLS.
    ///
    /// # Errors
    /// If one of them is missing.
    pub(super) fn files(&self) -> Result<Option<Files>, String> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(Files {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: self.tls_client_ca.clone(),
            })),
            (Some(_), None) => Err("--tls-cert needs --tls-key, the file with its key".to_owned()),
            (None, Some(_)) => Err("--tls-key needs --tls-cert, its certificate".to_owned()),
            (None, None) if self.tls_client_ca.is_some() => {
                Err("--tls-client-ca needs --tls-cert and --tls-key".to_owned())
            }
            (None, None) => Ok(None),
        }
    }
}

/// The files that TLS is set up from.
#[derive(Clone, Debug)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// The protocols of ALPN, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS as it is set up at the moment. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// Sets up TLS from these files.
    ///
    /// # Errors
    /// One line with the option and the file.
    pub(super) fn load(files: &Files) -> Result<Self, String> {
        let loaded = files.load()?;
        if let Some(expired) = loaded.expired() {
            tracing::warn!("{expired}");
        }
        Ok(Self(Arc::new(RwLock::new(loaded.config))))
    }

    /// The handshake with a client.
    ///
    /// # Errors
    /// If the client disconnects, or has no version, suite or certificate that is accepted.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Reads the files again when they change and after SIGHUP, for as long as it is polled.
    ///
    /// # Errors
    /// If the operating system refuses to register a handler.
    pub(super) fn reload(
        self,
        files: Files,
        watched: reload::Files,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        Ok(Watch::new(watched)?.run(move || self.replace(&files)))
    }

    fn replace(&self, files: &Files) {
        match files.load() {
            Ok(loaded) => {
                match loaded.expired() {
                    Some(expired) => tracing::warn!("{expired}"),
                    None => tracing::info!(
                        "new connections have the certificate in {}, valid until {}",
                        files.certificate.display(),
                        loaded.valid_until()
                    ),
                }
                *self.0.write().unwrap_or_else(PoisonError::into_inner) = loaded.config;
            }
            Err(error) => tracing::error!("{error}; the certificate of before stays in use"),
        }
    }
}

/// What was read from the files.
struct Loaded {
    config: Arc<ServerConfig>,
    file: PathBuf,
    certificate: Certificate,
}

impl Loaded {
    fn valid_until(&self) -> String {
        let until = self.certificate.tbs_certificate.validity.not_after;
        until.to_date_time().to_string()
    }

    /// That clients will refuse the certificate, if its time is over.
    fn expired(&self) -> Option<String> {
        let until = self.certificate.tbs_certificate.validity.not_after;
        (until.to_system_time() < std::time::SystemTime::now()).then(|| {
            format!(
                "the certificate in {} has expired at {}, and clients refuse it: replace it",
                self.file.display(),
                self.valid_until()
            )
        })
    }
}

impl Files {
    /// The files as they are before they are read.
    pub(super) fn before_reading(&self) -> reload::Files {
        let files = [
            Some(&self.certificate),
            Some(&self.key),
            self.client_ca.as_ref(),
        ];
        reload::Files::before_reading(files.into_iter().flatten().cloned().collect())
    }

    fn load(&self) -> Result<Loaded, String> {
        let chain = pem::certificates_of_option("--tls-cert", &self.certificate)?;
        let key = pem::private_key(&self.key).map_err(|fault| {
            let file = self.key.display();
            format!("cannot use --tls-key {file}: it has no key that can be read: {fault}")
        })?;
        let unusable = |error: &dyn std::fmt::Display| {
            format!(
                "cannot use --tls-cert {}: {error}",
                self.certificate.display()
            )
        };
        let first = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let certificate = Certificate::from_der(first).map_err(|error| unusable(&error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let unusable = |error: &dyn std::fmt::Display| {
                    format!("cannot use --tls-client-ca {}: {error}", file.display())
                };
                let mut roots = RootCertStore::empty();
                for authority in pem::certificates_of_option("--tls-client-ca", file)? {
                    roots.add(authority).map_err(|error| unusable(&error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| unusable(&error))?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            use rustls::{Error, InconsistentKeys};
            match error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
                    "the key in --tls-key {} is not that of the certificate in --tls-cert {}",
                    self.key.display(),
                    self.certificate.display()
                ),
                error => unusable(&error),
            }
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        // Sessions are resumed by tickets, so that cores share no table of sessions.
        config.ticketer = rustls::crypto::ring::Ticketer::new()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        Ok(Loaded {
            config: Arc::new(config),
            file: self.certificate.clone(),
            certificate,
        })
    }
}

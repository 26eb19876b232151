//! An issuer of tokens: its keys, its signatures, and the server of its keys.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair as RsaKeyPair, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::tls::run;

pub(super) const ISSUER: &str = "https://id.example/";
pub(super) const AUDIENCE: &str = "https://api.example/";

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970, and so many more.
pub(super) fn in_seconds(more: i64) -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    i64::try_from(now.as_secs()).expect("a small number") + more
}

/// Claims that count for an hour, with this scope.
pub(super) fn claims(scope: &str) -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "auth0|7", "scope": scope,
        "iat": in_seconds(0), "nbf": in_seconds(0), "exp": in_seconds(3600),
    })
}

/// A pair of keys.
pub(super) enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    /// An RSA pair, which `ring` cannot make.
    pub(super) fn rsa(folder: &Path) -> Self {
        let arguments =
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER -out rsa";
        let made = run("openssl", folder, &arguments.split(' ').collect::<Vec<_>>());
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let key = std::fs::read(folder.join("rsa")).expect("a key");
        // OpenSSL 3.0 writes PKCS #1, others PKCS #8.
        let pair = RsaKeyPair::from_pkcs8(&key).or_else(|_| RsaKeyPair::from_der(&key));
        Self::Rsa(Box::new(pair.expect("a key")))
    }

    fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).expect("a key")
    }

    pub(super) fn p256() -> Self {
        Self::P256(Self::ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING))
    }

    pub(super) fn p384() -> Self {
        Self::P384(Self::ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING))
    }

    pub(super) fn ed25519() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key"))
    }

    /// The public key as a JWK with these members.
    pub(super) fn jwk(&self, members: Value) -> Value {
        let point = |pair: &EcdsaKeyPair, curve: &str| {
            let point = &pair.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
        };
        let mut jwk = match self {
            Self::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": encode(public.n), "e": encode(public.e)})
            }
            Self::P256(pair) => point(pair, "P-256"),
            Self::P384(pair) => point(pair, "P-384"),
            Self::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())})
            }
        };
        let Value::Object(members) = members else {
            panic!("members are an object, not {members}");
        };
        for (name, value) in members {
            jwk[name] = value;
        }
        jwk
    }

    /// A token with this header. The header's `alg` chooses among the algorithms of RSA alone.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    pub(super) fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let (random, message) = (SystemRandom::new(), signed.as_bytes());
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let is_pss = header.contains("PS256");
                let result = if is_pss {
                    pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature)
                } else {
                    pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                };
                result.expect("a signature");
                signature
            }
            Self::P256(pair) | Self::P384(pair) => pair
                .sign(&random, message)
                .expect("a signature")
                .as_ref()
                .to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        };
        format!("{signed}.{}", encode(signature))
    }
}

/// A server of keys, which counts its requests.
pub(super) struct KeyServer {
    shared: Arc<Shared>,
    port: u16,
}

#[derive(Default)]
struct Shared {
    /// The answer: a status line, and a body. Nobody is answered while there is none.
    answer: Mutex<Option<(String, String)>>,
    is_set: Condvar,
    requests: AtomicUsize,
    /// The heads of the requests.
    heads: Mutex<String>,
}

impl KeyServer {
    /// A server on this machine; with TLS by the certificate in this folder, if there is one.
    pub(super) fn start(keys: &Value, tls: Option<&Path>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let tls = tls.map(|folder| Arc::new(tls_config(folder)));
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that refuses the certificate is its own business.
                let _ended = match &tls {
                    None => served.respond(stream),
                    Some(config) => serve_tls(config, stream, &served),
                };
            }
        });
        let issuer = Self { shared, port };
        issuer.set(keys);
        issuer
    }

    pub(super) fn set(&self, keys: &Value) {
        self.answer("200 OK", &json!({ "keys": keys }).to_string());
    }

    pub(super) fn answer(&self, status: &str, body: &str) {
        *self.shared.answer() = Some((status.to_owned(), body.to_owned()));
        self.shared.is_set.notify_all();
    }

    /// Leaves requests without an answer, until there is one.
    pub(super) fn hold(&self) {
        *self.shared.answer() = None;
    }

    pub(super) fn requests(&self) -> usize {
        self.shared.requests.load(SeqCst)
    }

    pub(super) fn heads(&self) -> String {
        let heads = self
            .shared
            .heads
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        heads.clone()
    }

    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}/keys", self.port)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

fn tls_config(folder: &Path) -> rustls::ServerConfig {
    let certificate = CertificateDer::from_pem_file(folder.join("server.crt"));
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.expect("a certificate")], key)
        .expect("they fit")
}

fn serve_tls(
    config: &Arc<rustls::ServerConfig>,
    stream: TcpStream,
    served: &Shared,
) -> io::Result<()> {
    let connection = rustls::ServerConnection::new(Arc::clone(config));
    let connection = connection.map_err(io::Error::other)?;
    served.respond(rustls::StreamOwned::new(connection, stream))
}

impl Shared {
    fn answer(&self) -> MutexGuard<'_, Option<(String, String)>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn respond(&self, mut stream: impl io::Read + io::Write) -> io::Result<()> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        self.requests.fetch_add(1, SeqCst);
        let head = String::from_utf8_lossy(&head).into_owned();
        self.heads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(&head);
        let (status, body) = {
            let mut answer = self.answer();
            loop {
                if let Some(answer) = &*answer {
                    break answer.clone();
                }
                let waited = self.is_set.wait(answer);
                answer = waited.unwrap_or_else(PoisonError::into_inner);
            }
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        stream.flush()
    }
}

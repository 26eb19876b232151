//! The decision about one token.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::{Cache, Hash, Verified};
use super::claims::Claims;
use super::compact::Compact;
use super::config::{Accepted, Config};
use super::key::{Found, KeySet};
use super::keys::{Keys, Refresh};
use super::rejection::Rejection;
use super::source::Source;
use crate::access::error::AccessError;
use crate::access::scopes::Scopes;

/// Verifies the tokens of one issuer.
#[derive(Debug)]
pub(crate) struct Verifier {
    accepted: Accepted,
    keys: Arc<Keys>,
    leeway: Duration,
    read: String,
    write: String,
    cache: Cache,
}

impl Verifier {
    /// Loads the keys. `None` if no JSON Web Tokens are accepted.
    ///
    /// # Errors
    /// If the settings are incomplete or there are no keys.
    pub(crate) async fn load(config: &Config) -> Result<Option<Self>, AccessError> {
        let Some(accepted) = config.accepted().map_err(AccessError::Settings)? else {
            return Ok(None);
        };
        let ca = config.jwt_keys_ca.as_deref();
        let source = Source::new(&accepted.keys, ca).map_err(AccessError::Settings)?;
        Ok(Some(Self {
            keys: Keys::load(source, config.jwt_wait, config.jwt_refresh).await?,
            accepted,
            leeway: config.jwt_leeway,
            read: config.jwt_read_scope.clone(),
            write: config.jwt_write_scope.clone(),
            cache: Cache::default(),
        }))
    }

    /// Keeps the keys up to date, for as long as it is polled.
    ///
    /// # Errors
    /// If the operating system refuses to register a handler.
    pub(crate) fn watch(&self) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        Arc::clone(&self.keys).watch()
    }

    /// Whose tokens are accepted.
    pub(crate) fn issuer(&self) -> &str {
        &self.accepted.issuer
    }

    /// The name of a scope of the host, as the issuer writes it.
    pub(crate) fn scope(&self, scope: Scopes) -> &str {
        if scope.include(Scopes::WRITE) {
            &self.write
        } else {
            &self.read
        }
    }

    /// Fetches keys, since one is unknown. `None` if there cannot be others now.
    pub(crate) fn refresh(&self) -> Option<Refresh> {
        self.keys.ask(Instant::now())
    }

    /// Verifies a token. `now` is the time since 1970.
    ///
    /// # Errors
    /// Why it does not count. What it says is looked at after its signature.
    pub(crate) fn verify(&self, token: &[u8], now: Duration) -> Result<Arc<Verified>, Rejection> {
        let (keys, hash) = (self.keys.current(), Hash::of(token));
        if let Some(known) = hash.and_then(|hash| self.cache.find(hash, &keys, now)) {
            return Ok(known);
        }
        let verified = Arc::new(self.verify_by(&keys, token, now)?);
        if let Some(hash) = hash {
            self.cache.add(hash, &keys, &verified, now);
        }
        Ok(verified)
    }

    fn verify_by(&self, keys: &KeySet, token: &[u8], now: Duration) -> Result<Verified, Rejection> {
        let token = Compact::parse(token)?;
        let candidates = match keys.find(token.key_id.as_deref(), &token.algorithm) {
            Found::Keys(candidates) => candidates,
            Found::OtherAlgorithm => return Err(Rejection::Algorithm),
            Found::None => return Err(Rejection::UnknownKey),
        };
        if !candidates.verify(token.signed, &token.signature) {
            return Err(Rejection::Signature);
        }
        let claims = Claims::parse(&token.payload)?;
        let Accepted {
            issuer, audiences, ..
        } = &self.accepted;
        claims.check(issuer, audiences, now, self.leeway)?;
        let (mut reads, mut writes, mut scopes) = (false, false, String::new());
        for scope in claims.scopes() {
            reads |= scope == self.read;
            writes |= scope == self.write;
            if !scopes.is_empty() {
                scopes.push(' ');
            }
            scopes.push_str(scope);
        }
        Ok(Verified {
            permits: Scopes::new(reads, writes),
            scopes,
            until: claims.expiry() + self.leeway.as_secs_f64(),
            subject: claims.into_subject(),
        })
    }
}

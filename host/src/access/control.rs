//! The decision about one request.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use super::config::Config;
use super::cors;
use super::tokens::{Scopes, Tokens};

/// Who may send requests. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct AccessControl {
    /// `None` if requests need no token.
    tokens: Option<Arc<TokenFile>>,
    origins: Arc<[HeaderValue]>,
}

#[derive(Debug)]
struct TokenFile {
    file: PathBuf,
    tokens: RwLock<Arc<Tokens>>,
}

/// Why a request is refused (RFC 6750, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has no token.
    NoToken,
    /// Its token is none of the file's.
    UnknownToken,
    /// Its token does not permit it.
    Scope(Scopes),
}

impl Refusal {
    /// The value of `WWW-Authenticate`.
    fn challenge(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::NoToken => "Bearer realm=\"usher\"",
            Self::UnknownToken => "Bearer realm=\"usher\", error=\"invalid_token\"",
            Self::Scope(Scopes::READ) => {
                "Bearer realm=\"usher\", error=\"insufficient_scope\", scope=\"read\""
            }
            Self::Scope(_) => {
                "Bearer realm=\"usher\", error=\"insufficient_scope\", scope=\"write\""
            }
        })
    }

    /// Adds what a client has to do.
    pub(crate) fn describe(self, headers: &mut HeaderMap) {
        headers.insert(WWW_AUTHENTICATE, self.challenge());
    }
}

impl AccessControl {
    /// Reads the tokens.
    ///
    /// # Errors
    /// One line, if the file cannot be used.
    pub fn load(config: &Config) -> Result<Self, String> {
        let tokens = match &config.tokens {
            None => None,
            Some(file) => {
                let tokens = Tokens::read(file)?;
                if tokens.count() == 0 {
                    tracing::warn!(
                        "--tokens {} has no token, so every request is refused: add one by `usher \
                         token new`",
                        file.display()
                    );
                }
                Some(Arc::new(TokenFile {
                    file: file.clone(),
                    tokens: RwLock::new(Arc::new(tokens)),
                }))
            }
        };
        Ok(Self {
            tokens,
            origins: config.cors_origins.clone().into(),
        })
    }

    /// Whether requests need a token.
    pub(crate) fn needs_token(&self) -> bool {
        self.tokens.is_some()
    }

    /// The file that is read again when it changes.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.tokens.as_ref().map(|tokens| tokens.file.clone())
    }

    /// Reads the file again. If it cannot be used, the tokens of before stay valid.
    pub(crate) fn reload(&self) {
        let Some(known) = &self.tokens else {
            return;
        };
        match Tokens::read(&known.file) {
            Ok(tokens) => {
                tracing::info!(
                    "{} tokens of {} are valid now",
                    tokens.count(),
                    known.file.display()
                );
                *known.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
            }
            Err(error) => tracing::error!("{error}; the tokens of before stay valid"),
        }
    }

    /// Checks the token of a request and removes it, since it is no business of the component's.
    pub(crate) fn check(&self, method: &Method, headers: &mut HeaderMap) -> Result<(), Refusal> {
        let Some(known) = &self.tokens else {
            return Ok(());
        };
        let presented = headers.remove(AUTHORIZATION);
        let token = presented
            .as_ref()
            .and_then(|presented| bearer(presented.as_bytes()))
            .ok_or(Refusal::NoToken)?;
        let tokens = Arc::clone(&known.tokens.read().unwrap_or_else(PoisonError::into_inner));
        let scopes = tokens.find(token).ok_or(Refusal::UnknownToken)?;
        let needed = match *method {
            Method::GET | Method::HEAD | Method::OPTIONS => Scopes::READ,
            _ => Scopes::WRITE,
        };
        if scopes.include(needed) {
            Ok(())
        } else {
            Err(Refusal::Scope(needed))
        }
    }

    /// What the response to this request has to say to a browser; `None` if no site's pages may
    /// send any.
    pub(crate) fn cors(&self, method: &Method, headers: &HeaderMap) -> Option<Box<Cors>> {
        if self.origins.is_empty() {
            return None;
        }
        Some(Box::new(Cors {
            origin: cors::origin(&self.origins, headers),
            is_preflight: cors::is_preflight(method, headers),
        }))
    }
}

/// What a response has to say to a browser.
#[derive(Debug)]
pub(crate) struct Cors {
    /// The origin of the page, if it may send requests.
    origin: Option<HeaderValue>,
    is_preflight: bool,
}

impl Cors {
    /// Whether the host answers the request, and the component never sees it.
    pub(crate) fn is_preflight(&self) -> bool {
        self.is_preflight
    }

    /// Adds it to the response.
    pub(crate) fn describe(self, headers: &mut HeaderMap) {
        cors::vary(headers);
        if let Some(origin) = self.origin {
            cors::allow(headers, origin);
            if self.is_preflight {
                cors::allow_sending(headers);
            }
        }
    }
}

/// The token of `Authorization: Bearer TOKEN`. The scheme has any case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::super::tokens;
    use super::*;

    #[test]
    fn token_is_removed_from_the_request() {
        let folder = std::env::temp_dir().join(format!("usher-access-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("tokens");
        let token = tokens::create("one", Scopes::READ, &file).expect("a token");
        let config = Config {
            tokens: Some(file),
            cors_origins: Vec::new(),
        };
        let access = AccessControl::load(&config).expect("a file");
        std::fs::remove_dir_all(&folder).expect("the folder");
        let mut headers = HeaderMap::new();
        assert_eq!(
            access.check(&Method::GET, &mut headers),
            Err(Refusal::NoToken)
        );
        let sent = HeaderValue::try_from(format!("Bearer {token}")).expect("a value");
        headers.insert(AUTHORIZATION, sent.clone());
        assert_eq!(access.check(&Method::GET, &mut headers), Ok(()));
        assert!(headers.is_empty());
        headers.insert(AUTHORIZATION, sent);
        let refused = access.check(&Method::DELETE, &mut headers);
        assert_eq!(refused, Err(Refusal::Scope(Scopes::WRITE)));
        assert!(headers.is_empty());
    }

    #[test]
    fn scheme_of_a_bearer_token_has_any_case() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bearer"), None);
    }
}

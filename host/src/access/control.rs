//! The decision about one request.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::config::Config;
use super::error::AccessError;
use super::jwt::{Refresh, Rejection, Verifier};
use super::openapi::Tokens as DescribedTokens;
use super::refusal::Refusal;
use super::scopes::Scopes;
use super::tokens::Tokens;
use super::{cors, identity, openapi};
use crate::reload::{Files, Watch};

/// Who may send requests. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct AccessControl {
    /// `None` if requests need no token.
    rules: Option<Arc<Rules>>,
    origins: Arc<[HeaderValue]>,
}

/// The tokens that requests need: one of either kind.
#[derive(Debug)]
struct Rules {
    file: Option<TokenFile>,
    jwt: Option<Verifier>,
    /// Whether the component is told who sends a request.
    pass_subject: bool,
}

#[derive(Debug)]
struct TokenFile {
    file: PathBuf,
    watched: Files,
    tokens: RwLock<Arc<Tokens>>,
}

/// What is decided about a request.
#[derive(Debug)]
pub(crate) enum Checked {
    /// It may be sent.
    Permitted,
    /// It may not.
    Refused(Refusal),
    /// Its token names a key that is unknown, and keys are being fetched. The token is to be
    /// checked again then.
    Waits(HeaderValue, Refresh),
}

impl AccessControl {
    /// Reads the tokens and the keys. Those of a URL are fetched.
    ///
    /// # Errors
    /// If one of them cannot be used.
    pub async fn load(config: &Config) -> Result<Self, AccessError> {
        config.check().map_err(AccessError::Settings)?;
        let file = config.tokens.as_deref().map(TokenFile::load);
        let file = file.transpose().map_err(AccessError::Settings)?;
        let jwt = Verifier::load(&config.jwt).await?;
        let needs_token = file.is_some() || jwt.is_some();
        let rules = needs_token.then(|| {
            Arc::new(Rules {
                file,
                jwt,
                pass_subject: config.pass_subject,
            })
        });
        Ok(Self {
            rules,
            origins: config.cors_origins.clone().into(),
        })
    }

    /// Whether requests need a token.
    pub(crate) fn needs_token(&self) -> bool {
        self.rules.is_some()
    }

    /// Starts what keeps tokens and keys up to date, on the runtime of the caller.
    ///
    /// # Errors
    /// If the operating system refuses to register a handler.
    pub(crate) fn watch(&self) -> io::Result<()> {
        let Some(rules) = &self.rules else {
            return Ok(());
        };
        if let Some(tokens) = &rules.file {
            let reloaded = Arc::clone(rules);
            let watch = Watch::new(tokens.watched.clone())?;
            tokio::spawn(watch.run(move || {
                if let Some(tokens) = &reloaded.file {
                    tokens.reload();
                }
            }));
        }
        if let Some(jwt) = &rules.jwt {
            tokio::spawn(jwt.watch()?);
        }
        Ok(())
    }

    /// Checks that the token of a request has the scope that is needed, and removes it, since it is
    /// no business of the component's.
    pub(crate) fn check(&self, needed: Scopes, headers: &mut HeaderMap) -> Checked {
        let Some(rules) = &self.rules else {
            return Checked::Permitted;
        };
        let is_ambiguous = headers.get_all(AUTHORIZATION).iter().nth(1).is_some();
        let Some(presented) = headers.remove(AUTHORIZATION) else {
            return Checked::Refused(Refusal::NoToken);
        };
        if is_ambiguous {
            return Checked::Refused(Refusal::Ambiguous);
        }
        match rules.check(&presented, needed, headers) {
            Ok(()) => Checked::Permitted,
            Err(refusal) => {
                let is_unknown = refusal == Refusal::Rejected(Rejection::UnknownKey);
                let jwt = rules.jwt.as_ref().filter(|_| is_unknown);
                match jwt.and_then(Verifier::refresh) {
                    Some(refresh) => Checked::Waits(presented, refresh),
                    None => Checked::Refused(refusal),
                }
            }
        }
    }

    /// Checks the token of a request again, once there may be other keys.
    ///
    /// # Errors
    /// Why the request is refused.
    pub(crate) fn check_again(
        &self,
        presented: &HeaderValue,
        needed: Scopes,
        headers: &mut HeaderMap,
    ) -> Result<(), Refusal> {
        let check = |rules: &Arc<Rules>| rules.check(presented, needed, headers);
        self.rules.as_ref().map_or(Ok(()), check)
    }

    /// Adds to an OpenAPI description which token each operation needs. `None` if it is none that
    /// can be read, or nothing is needed.
    pub(crate) fn describe(&self, description: &[u8]) -> Option<Vec<u8>> {
        let rules = self.rules.as_ref()?;
        let scope = |scope| match &rules.jwt {
            // Both names if there are both kinds.
            Some(jwt) => jwt.scope(scope).to_owned(),
            None => scope.to_string(),
        };
        let tokens = DescribedTokens {
            are_jwt: rules.jwt.is_some(),
            read: scope(Scopes::READ),
            write: scope(Scopes::WRITE),
        };
        openapi::describe(description, &tokens)
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

impl TokenFile {
    fn load(file: &Path) -> Result<Self, String> {
        let watched = Files::before_reading(vec![file.to_owned()]);
        let tokens = Tokens::read(file)?;
        if tokens.count() == 0 {
            tracing::warn!(
                "--tokens {} has no token, so none of its is valid: add one by `usher token new`",
                file.display()
            );
        }
        Ok(Self {
            file: file.to_owned(),
            watched,
            tokens: RwLock::new(Arc::new(tokens)),
        })
    }

    /// Reads the file again. If it cannot be used, the tokens of before stay valid.
    fn reload(&self) {
        match Tokens::read(&self.file) {
            // As one by which a shell passes what a command prints: it can be read once.
            Ok(tokens) if tokens.count() == 0 && !self.file.is_file() => {
                tracing::error!(
                    "--tokens {} is no regular file, and nothing is left in it; the tokens of \
                     before stay valid",
                    self.file.display()
                );
            }
            Ok(tokens) => {
                tracing::info!(
                    "{} tokens of {} are valid now",
                    tokens.count(),
                    self.file.display()
                );
                *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
            }
            Err(error) => tracing::error!("{error}; the tokens of before stay valid"),
        }
    }
}

impl Rules {
    /// Checks what a request has in `Authorization`, and adds who sends it.
    fn check(
        &self,
        presented: &HeaderValue,
        needed: Scopes,
        headers: &mut HeaderMap,
    ) -> Result<(), Refusal> {
        let token = bearer(presented.as_bytes()).ok_or(Refusal::NoToken)?;
        // A token of the file has no dot, and a JSON Web Token always has.
        match (&self.file, &self.jwt) {
            (_, Some(jwt)) if self.file.is_none() || token.contains(&b'.') => {
                let verified = jwt.verify(token, now()).map_err(Refusal::Rejected)?;
                if !verified.permits.include(needed) {
                    return Err(Refusal::Scope(jwt.scope(needed).to_owned()));
                }
                if self.pass_subject {
                    let subject = verified.subject.as_deref();
                    identity::add(headers, Some(jwt.issuer()), subject, &verified.scopes);
                }
                Ok(())
            }
            (Some(known), _) => {
                let tokens = known.tokens.read().unwrap_or_else(PoisonError::into_inner);
                let tokens = Arc::clone(&tokens);
                let token = tokens.find(token).ok_or(Refusal::UnknownToken)?;
                if !token.scopes.include(needed) {
                    return Err(Refusal::Scope(needed.to_string()));
                }
                if self.pass_subject {
                    let scopes = token.scopes.to_string().replace(',', " ");
                    identity::add(headers, None, Some(&token.name), &scopes);
                }
                Ok(())
            }
            (None, _) => Err(Refusal::UnknownToken),
        }
    }
}

/// The time since 1970.
fn now() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 is wrong, and no token is valid then.
    now.unwrap_or(Duration::MAX)
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

    #[tokio::test]
    async fn token_is_removed_from_the_request() {
        let folder = std::env::temp_dir().join(format!("usher-access-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("tokens");
        let token = tokens::create("one", Scopes::READ, &file).expect("a token");
        let config = Config {
            tokens: Some(file),
            ..crate::options::defaults()
        };
        let access = AccessControl::load(&config).await.expect("a file");
        std::fs::remove_dir_all(&folder).expect("the folder");
        let mut headers = HeaderMap::new();
        let refused = |checked, expected| match checked {
            Checked::Refused(refusal) => assert_eq!(refusal, expected),
            other => panic!("{other:?}"),
        };
        refused(access.check(Scopes::READ, &mut headers), Refusal::NoToken);
        let sent = HeaderValue::try_from(format!("Bearer {token}")).expect("a value");
        headers.insert(AUTHORIZATION, sent.clone());
        let checked = access.check(Scopes::READ, &mut headers);
        assert!(matches!(checked, Checked::Permitted) && headers.is_empty());
        headers.insert(AUTHORIZATION, sent.clone());
        headers.append(AUTHORIZATION, sent.clone());
        let checked = access.check(Scopes::READ, &mut headers);
        refused(checked, Refusal::Ambiguous);
        assert!(headers.is_empty());
        headers.insert(AUTHORIZATION, sent);
        let checked = access.check(Scopes::WRITE, &mut headers);
        refused(checked, Refusal::Scope("write".into()));
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

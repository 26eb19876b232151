//! The service's description and the pages that show it, all of it in the component: no page makes a browser ask anybody
//! else for anything.
//!
//! What is large was compressed once, before it was put in (`assets/vendor.sh`), and is sent as it lies there. A client that
//! refuses gzip is refused in turn (406), which no browser does: unpacking would take a decompressor into the component, and
//! ten milliseconds and two megabytes for each such request.

use crate::error::Error;
use crate::http::{Request, Response};

/// One of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// The OpenAPI description.
    OpenApi,
    /// The page of Swagger UI.
    SwaggerUi,
    /// The old service's page, byte for byte, at the one path where the recorded contract has it: `/docs` with a line feed. Where it
    /// asks for scripts from elsewhere, its policy lets no browser fetch them.
    OldSwaggerUi,
    /// The style of [`SwaggerUi`](Self::SwaggerUi).
    SwaggerUiStyle,
    /// Its program.
    SwaggerUiScript,
    /// What starts it.
    SwaggerUiStart,
    /// Where an OAuth 2 server would send a browser back to. This service has none, but the one it replaces had the page.
    OAuth2Redirect,
    /// Its program.
    OAuth2RedirectScript,
    /// The page of ReDoc.
    ReDoc,
    /// Its program.
    ReDocScript,
}

/// What a document is made of.
struct Content {
    kind: &'static str,
    bytes: &'static [u8],
    is_gzip: bool,
    /// What the page may load and do.
    policy: Option<&'static str>,
    /// Of the bytes.
    hash: u64,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

// Scripts and styles come from this service, and nobody else is talked to. `data:` images are drawn by the style of the one
// page and the program of the other.
const SWAGGER_UI_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
// The styles named by their hashes: the page's own, the empty one into which ReDoc puts its rules, and that of its scroll
// bars. Its search runs in a worker that it makes of a blob.
const REDOC_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'sha256-mX+s7KJgWpgxJola85xdpAFPBQaV091gzM2oPjgTW2w=' \
    'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' \
    'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='; \
    img-src 'self' data:; connect-src 'self'; worker-src blob:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const NOTHING_POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const REDIRECT_POLICY: &str = "default-src 'none'; script-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static OPENAPI: Content = Content::plain("application/json", include_bytes!("../../openapi.json"));
static SWAGGER_UI: Content =
    Content::plain(HTML, include_bytes!("../assets/docs.html")).under(SWAGGER_UI_POLICY);
static OLD_SWAGGER_UI: Content = Content::plain(
    HTML,
    include_bytes!("../assets/docs-of-the-old-service.html"),
)
.under(NOTHING_POLICY);
static SWAGGER_UI_STYLE: Content = Content::gzip(
    CSS,
    include_bytes!("../assets/swagger-ui/swagger-ui.css.gz"),
);
static SWAGGER_UI_SCRIPT: Content = Content::gzip(
    JAVASCRIPT,
    include_bytes!("../assets/swagger-ui/swagger-ui-bundle.js.gz"),
);
static SWAGGER_UI_START: Content = Content::plain(JAVASCRIPT, include_bytes!("../assets/init.js"));
static OAUTH2_REDIRECT: Content = Content::plain(
    HTML,
    include_bytes!("../assets/swagger-ui/oauth2-redirect.html"),
)
.under(REDIRECT_POLICY);
static OAUTH2_REDIRECT_SCRIPT: Content = Content::plain(
    JAVASCRIPT,
    include_bytes!("../assets/swagger-ui/oauth2-redirect.js"),
);
static REDOC: Content =
    Content::plain(HTML, include_bytes!("../assets/redoc.html")).under(REDOC_POLICY);
static REDOC_SCRIPT: Content = Content::gzip(
    JAVASCRIPT,
    include_bytes!("../assets/redoc/redoc.standalone.js.gz"),
);

impl Document {
    fn content(self) -> &'static Content {
        match self {
            Self::OpenApi => &OPENAPI,
            Self::SwaggerUi => &SWAGGER_UI,
            Self::OldSwaggerUi => &OLD_SWAGGER_UI,
            Self::SwaggerUiStyle => &SWAGGER_UI_STYLE,
            Self::SwaggerUiScript => &SWAGGER_UI_SCRIPT,
            Self::SwaggerUiStart => &SWAGGER_UI_START,
            Self::OAuth2Redirect => &OAUTH2_REDIRECT,
            Self::OAuth2RedirectScript => &OAUTH2_REDIRECT_SCRIPT,
            Self::ReDoc => &REDOC,
            Self::ReDocScript => &REDOC_SCRIPT,
        }
    }
}

impl Content {
    const fn plain(kind: &'static str, bytes: &'static [u8]) -> Self {
        Self {
            kind,
            bytes,
            is_gzip: false,
            policy: None,
            hash: hash(bytes),
        }
    }

    const fn gzip(kind: &'static str, bytes: &'static [u8]) -> Self {
        Self {
            kind,
            bytes,
            is_gzip: true,
            policy: None,
            hash: hash(bytes),
        }
    }

    const fn under(self, policy: &'static str) -> Self {
        Self {
            policy: Some(policy),
            ..self
        }
    }
}

/// FNV-1a over words of eight bytes: computed by the compiler, it tells one build's content from another's, and no more is
/// asked of it.
const fn hash(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk() {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME);
        // The product only carries upwards; what the high bits tell must reach the low ones.
        hash ^= hash >> 32;
        rest = after;
    }
    while let Some((byte, after)) = rest.split_first() {
        hash = (hash ^ *byte as u64).wrapping_mul(PRIME);
        rest = after;
    }
    hash
}

/// Gives a document, unless the client has it already.
pub(crate) fn give(document: Document, request: &impl Request) -> Result<Response, Error> {
    let content = document.content();
    if content.is_gzip
        && !request
            .header("accept-encoding")
            .is_none_or(|header| accepts_gzip(&header))
    {
        return Err(Error::NotAcceptable);
    }
    let etag = format!("\"{:016x}\"", content.hash);
    let known = request
        .header("if-none-match")
        .is_some_and(|tags| names(&tags, &etag));
    let mut response = if known {
        Response::empty(304)
    } else {
        Response {
            status: 200,
            content_type: Some(content.kind),
            headers: Vec::new(),
            body: content.bytes.into(),
        }
    };
    // Stored for a day is only what changes with a new version of Swagger UI or ReDoc; the rest is small, and asked for anew.
    let cache = if content.is_gzip {
        "public, max-age=86400"
    } else {
        "no-cache"
    };
    response = response.with("etag", etag).with("cache-control", cache);
    if content.is_gzip {
        response = response.with("vary", "accept-encoding");
    }
    if known {
        return Ok(response);
    }
    if content.is_gzip {
        response = response.with("content-encoding", "gzip");
    }
    if let Some(policy) = content.policy {
        response = response.with("content-security-policy", policy);
    }
    Ok(response.with("x-content-type-options", "nosniff"))
}

/// Whether a list of entity tags (RFC 9110, 13.1.2; the comparison is weak) names this one, which has no comma in it.
fn names(tags: &[u8], etag: &str) -> bool {
    tags.split(|&byte| byte == b',').any(|tag| {
        let tag = tag.trim_ascii();
        tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes()
    })
}

/// What `Accept-Encoding` says of gzip (RFC 9110, 12.5.3).
fn accepts_gzip(header: &[u8]) -> bool {
    let mut any = false;
    for item in header.split(|&byte| byte == b',') {
        let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let wanted = !parts.any(is_zero_weight);
        if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
            return wanted;
        }
        any |= coding == b"*" && wanted;
    }
    any
}

/// Whether this is `q=0`, `q=0.0` and so on.
fn is_zero_weight(parameter: &[u8]) -> bool {
    matches!(parameter, [b'q' | b'Q', b'=', weight @ ..]
        if !weight.is_empty() && weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
}

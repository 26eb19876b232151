//! The OpenAPI description and the pages that show it. All of it is in the component: no page makes
//! a browser load anything from elsewhere.
//!
//! Large files are compressed before they are included (`assets/vendor.sh`) and sent compressed. A
//! client that does not accept gzip gets 406; every browser accepts it. Decompressing would cost a
//! decompressor in the component, and ten milliseconds and two megabytes per request.

use super::accept;
use super::conditional;
use super::error::Error;
use super::headers::RequestHeader;
use usher_sdk::http::{Request, Response};

/// One of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// The OpenAPI description.
    OpenApi,
    /// The page of Swagger UI.
    SwaggerUi,
    /// FastAPI's page, byte for byte, at the only path where the recorded contract has it: `/docs`
    /// with a line feed. It refers to scripts elsewhere, which its policy keeps a browser from
    /// loading.
    FastApiDocs,
    /// The style sheet of [`SwaggerUi`](Self::SwaggerUi).
    SwaggerUiStyle,
    /// Its script.
    SwaggerUiScript,
    /// The script that starts it.
    SwaggerUiStart,
    /// The page to which an OAuth 2 server would redirect. The service has no OAuth 2, but FastAPI
    /// serves the page.
    OAuth2Redirect,
    /// Its script.
    OAuth2RedirectScript,
    /// The page of ReDoc.
    ReDoc,
    /// Its script.
    ReDocScript,
}

/// The content of a document.
struct Content {
    kind: &'static str,
    bytes: &'static [u8],
    is_gzip: bool,
    /// The `Content-Security-Policy`.
    policy: Option<&'static str>,
    /// The hash of the bytes.
    hash: u64,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

// Everything is loaded from this service. `data:` images come from the style sheet of one page and
// the script of the other.
const SWAGGER_UI_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
// The styles are named by their hashes: the page's own, the empty one that ReDoc fills with rules,
// and that of its scroll bars. Its search runs in a worker made from a blob.
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

static OPENAPI: Content =
    Content::plain("application/json", include_bytes!("../../../openapi.json"));
static SWAGGER_UI: Content =
    Content::plain(HTML, include_bytes!("../../assets/docs.html")).under(SWAGGER_UI_POLICY);
static FASTAPI_DOCS: Content =
    Content::plain(HTML, include_bytes!("../../assets/docs-of-fastapi.html")).under(NOTHING_POLICY);
static SWAGGER_UI_STYLE: Content = Content::gzip(
    CSS,
    include_bytes!("../../assets/swagger-ui/swagger-ui.css.gz"),
);
static SWAGGER_UI_SCRIPT: Content = Content::gzip(
    JAVASCRIPT,
    include_bytes!("../../assets/swagger-ui/swagger-ui-bundle.js.gz"),
);
static SWAGGER_UI_START: Content =
    Content::plain(JAVASCRIPT, include_bytes!("../../assets/init.js"));
static OAUTH2_REDIRECT: Content = Content::plain(
    HTML,
    include_bytes!("../../assets/swagger-ui/oauth2-redirect.html"),
)
.under(REDIRECT_POLICY);
static OAUTH2_REDIRECT_SCRIPT: Content = Content::plain(
    JAVASCRIPT,
    include_bytes!("../../assets/swagger-ui/oauth2-redirect.js"),
);
static REDOC: Content =
    Content::plain(HTML, include_bytes!("../../assets/redoc.html")).under(REDOC_POLICY);
static REDOC_SCRIPT: Content = Content::gzip(
    JAVASCRIPT,
    include_bytes!("../../assets/redoc/redoc.standalone.js.gz"),
);

impl Document {
    fn content(self) -> &'static Content {
        match self {
            Self::OpenApi => &OPENAPI,
            Self::SwaggerUi => &SWAGGER_UI,
            Self::FastApiDocs => &FASTAPI_DOCS,
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

/// FNV-1a over words of eight bytes, evaluated at compile time. It only has to tell the contents of
/// one build from those of another.
const fn hash(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk() {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME);
        // Multiplication carries upwards only. Fold the high bits into the low ones.
        hash ^= hash >> 32;
        rest = after;
    }
    while let Some((byte, after)) = rest.split_first() {
        hash = (hash ^ *byte as u64).wrapping_mul(PRIME);
        rest = after;
    }
    hash
}

/// Returns a document, or 304 if the client has it already.
pub(crate) fn read(
    document: Document,
    request: &impl Request<RequestHeader>,
) -> Result<Response, Error> {
    let content = document.content();
    if content.is_gzip
        && !request
            .header(RequestHeader::AcceptEncoding)
            .is_none_or(|header| accept::accepts_gzip(&header))
    {
        return Err(Error::NotAcceptable);
    }
    let etag = format!("\"{:016x}\"", content.hash);
    let is_unchanged = conditional::is_tag_unchanged(request, &etag)?;
    let mut response = if is_unchanged {
        Response::empty(304)
    } else {
        Response {
            status: 200,
            content_type: Some(content.kind),
            headers: Vec::new(),
            body: content.bytes.into(),
        }
    };
    // Files that change only with a version of Swagger UI or ReDoc are cached for a day. The rest
    // is small and revalidated.
    let cache = if content.is_gzip {
        "public, max-age=86400"
    } else {
        "no-cache"
    };
    response = response.with("etag", etag).with("cache-control", cache);
    if content.is_gzip {
        response = response.with("vary", "accept-encoding");
    }
    if is_unchanged {
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

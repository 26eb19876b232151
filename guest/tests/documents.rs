//! The OpenAPI description and the pages that show it, as clients receive them.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use usher_guest::api::ROUTES;
use usher_guest::api::routes::Operation;
use usher_sdk::database::{Cursor, Database, Dialect, Error, Param, Rows, Statements, Transaction};
use usher_sdk::http::{BufferedRequest, Method, Response};
use usher_sdk::routing::Route;

/// A database that always fails: a document needs none.
struct Absent;

impl Statements for Absent {
    fn query(&self, _: &str, _: &[Param<'_>]) -> Result<Rows, Error> {
        Err(Error::Unavailable("there is none".into()))
    }

    fn execute(&self, _: &str, _: &[Param<'_>]) -> Result<u64, Error> {
        Err(Error::Unavailable("there is none".into()))
    }
}

impl Database for Absent {
    type Transaction = Self;
    type Cursor = Self;

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn begin(&self) -> Result<Self, Error> {
        Err(Error::Unavailable("there is none".into()))
    }

    fn open(&self, _: &str, _: &[Param<'_>]) -> Result<Self, Error> {
        Err(Error::Unavailable("there is none".into()))
    }
}

impl Cursor for Absent {
    fn next(&mut self, _: u32) -> Result<Rows, Error> {
        Err(Error::Unavailable("there is none".into()))
    }
}

impl Transaction for Absent {
    fn commit(self) -> Result<(), Error> {
        Err(Error::Unavailable("there is none".into()))
    }
}

fn send(method: Method, target: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = BufferedRequest {
        authority: Some("users.example".into()),
        ..BufferedRequest::new(method, target)
    };
    for &(name, value) in headers {
        request = request.with(name, value);
    }
    usher_guest::api::handle(&request, &Absent)
        .into_response(&Absent)
        .expect("a document needs no database")
}

fn get(target: &str) -> Response {
    send(
        Method::Get,
        target,
        &[("accept-encoding", "gzip, deflate, br")],
    )
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response
        .headers
        .iter()
        .find(|(header, _)| *header == name)
        .map(|(_, value)| &**value)
}

fn documents() -> impl Iterator<Item = &'static str> {
    ROUTES.iter().filter_map(|Route(_, path, operation)| {
        matches!(operation, Operation::Read(_)).then_some(*path)
    })
}

/// The decompressed body.
fn decompressed(response: &Response) -> Vec<u8> {
    match header(response, "content-encoding") {
        None => response.body.to_vec(),
        Some("gzip") => {
            let mut bytes = Vec::new();
            GzDecoder::new(&*response.body)
                .read_to_end(&mut bytes)
                .expect("the body is gzip");
            bytes
        }
        Some(other) => panic!("{other} is no encoding of this service"),
    }
}

fn text(target: &str) -> String {
    String::from_utf8(decompressed(&get(target))).expect("documents are UTF-8")
}

#[test]
fn get_document_returns_type_etag_and_cache_control() {
    for path in documents() {
        let response = get(path);
        assert_eq!(response.status, 200, "{path}");
        let kind = match path.rsplit_once('.') {
            Some((_, "json")) => "application/json",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(response.content_type, Some(kind), "{path}");
        assert!(!response.body.is_empty(), "{path}");
        let tag = header(&response, "etag").expect("a document has a tag");
        assert!(
            tag.len() == 18 && tag.starts_with('"') && tag.ends_with('"'),
            "{path}: {tag}"
        );
        assert!(header(&response, "cache-control").is_some(), "{path}");
        assert_eq!(
            header(&response, "x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
    }
}

#[test]
fn documents_have_distinct_etags() {
    let tags: BTreeMap<String, &str> = documents()
        .map(|path| {
            (
                header(&get(path), "etag").unwrap_or_default().to_owned(),
                path,
            )
        })
        .collect();
    assert_eq!(tags.len(), documents().count());
}

#[test]
fn get_document_with_current_etag_returns_304() {
    for path in documents() {
        let tag = header(&get(path), "etag")
            .expect("a document has a tag")
            .to_owned();
        for names in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"other\" , {tag}"),
            "*".into(),
        ] {
            let response = send(Method::Get, path, &[("if-none-match", &names)]);
            assert_eq!(response.status, 304, "{path} {names}");
            assert!(
                response.body.is_empty() && response.content_type.is_none(),
                "{path}"
            );
            assert_eq!(header(&response, "etag"), Some(&*tag), "{path}");
            assert!(header(&response, "cache-control").is_some(), "{path}");
        }
        for names in ["\"other\"", "", tag.trim_matches('"')] {
            assert_eq!(
                send(Method::Get, path, &[("if-none-match", names)]).status,
                200,
                "{path} {names}"
            );
        }
    }
}

#[test]
fn head_of_document_returns_same_head_as_get() {
    for path in documents() {
        assert_eq!(
            send(Method::Head, path, &[]),
            send(Method::Get, path, &[]),
            "{path}"
        );
    }
}

#[test]
fn other_method_on_document_returns_405_with_allow() {
    for path in documents() {
        for method in [
            Method::Post,
            Method::Put,
            Method::Patch,
            Method::Delete,
            Method::Other,
        ] {
            let response = send(method, path, &[]);
            assert_eq!(
                (response.status, header(&response, "allow")),
                (405, Some("GET, HEAD")),
                "{method:?} {path}"
            );
        }
    }
}

#[test]
fn document_path_with_final_slash_redirects() {
    for path in documents() {
        let response = get(&format!("{path}/?a=b"));
        let location = format!("http://users.example{path}?a=b");
        assert_eq!(
            (response.status, header(&response, "location")),
            (307, Some(&*location)),
            "{path}"
        );
    }
}

#[test]
fn similar_paths_return_404() {
    for path in [
        "/",
        "/Docs",
        "/docs/init",
        "/docs/swagger-ui.css.gz",
        "/docs/swagger-ui-bundle.js.map",
        "/docs/../openapi.json",
        "/docs//init.js",
        "/redoc/init.js",
        "/redoc.standalone.js",
        "/openapi.yaml",
        "/openapi",
        "/favicon.ico",
    ] {
        assert_eq!(get(path).status, 404, "{path}");
    }
}

#[test]
fn percent_encoded_document_path_is_found() {
    for path in [
        "/docs?x=1",
        "/docs%0A",
        "/%64ocs",
        "/docs%2Finit.js",
        "/openapi.json?x=1",
    ] {
        assert_eq!(get(path).status, 200, "{path}");
    }
}

#[test]
fn compressed_document_returns_406_only_if_gzip_is_not_accepted() {
    let packed = "/docs/swagger-ui-bundle.js";
    assert_eq!(send(Method::Get, packed, &[]).status, 200);
    for accepted in [
        "gzip",
        "GZIP",
        "x-gzip",
        "br, gzip;q=0.5",
        "*",
        "deflate;q=0, *;q=0.001",
        "identity, gzip ; q=1.0",
    ] {
        let response = send(Method::Get, packed, &[("accept-encoding", accepted)]);
        assert_eq!(
            (response.status, header(&response, "content-encoding")),
            (200, Some("gzip")),
            "{accepted}"
        );
        assert_eq!(
            header(&response, "vary"),
            Some("accept-encoding"),
            "{accepted}"
        );
    }
    for refused in [
        "",
        "identity",
        "br",
        "gzip;q=0",
        "gzip; q=0.000, *",
        "*;q=0",
    ] {
        let response = send(Method::Get, packed, &[("accept-encoding", refused)]);
        assert_eq!(response.status, 406, "{refused}");
    }
    for page in ["/docs", "/redoc", "/openapi.json"] {
        assert_eq!(
            send(Method::Get, page, &[("accept-encoding", "identity")]).status,
            200,
            "{page}"
        );
    }
}

#[test]
fn vendored_files_match_checksums() {
    let checksums = include_str!("../assets/CHECKSUMS");
    let mut left: BTreeMap<&str, &str> = checksums
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(hash, file)| (file, hash))
        .collect();
    assert_eq!(left.len(), checksums.lines().count());
    for path in documents() {
        let file = match path {
            "/docs/oauth2-redirect" => "oauth2-redirect.html",
            _ => path.rsplit('/').next().unwrap_or_default(),
        };
        if let Some(hash) = left.remove(file) {
            assert_eq!(
                format!("{:x}", Sha256::digest(decompressed(&get(path)))),
                hash,
                "{path}"
            );
        }
    }
    assert!(left.is_empty(), "checked in but not served: {left:?}");
}

#[test]
fn page_refers_only_to_served_paths() {
    for page in ["/docs", "/docs/oauth2-redirect", "/redoc"] {
        let html = text(page);
        let mut references = 0;
        for attribute in ["src=\"", "href=\"", "spec-url=\""] {
            for after in html.split(attribute).skip(1) {
                let reference = after.split('"').next().unwrap_or_default();
                if reference == "data:," {
                    continue;
                }
                // A leading slash would escape the prefix under which a proxy serves the page.
                assert!(!reference.starts_with('/'), "{page}: {reference}");
                // As a browser resolves it against the page's path.
                let (folder, _) = page.rsplit_once('/').expect("a path");
                let target = format!("{folder}/{reference}");
                assert_eq!(get(&target).status, 200, "{page}: {reference}");
                references += 1;
            }
        }
        assert!(references > 0, "{page}");
    }
}

#[test]
fn page_policy_forbids_inline_scripts_and_other_origins() {
    for page in ["/docs", "/docs/oauth2-redirect", "/redoc"] {
        let response = get(page);
        let policy = header(&response, "content-security-policy").expect("a page has a policy");
        let rules: Vec<&str> = policy.split(';').map(str::trim).collect();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(rules.contains(&rule), "{page}: {rule}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"),
            "{page}: {policy}"
        );
        let html = text(page);
        assert!(
            !html.contains("<script>") && !html.contains(" style="),
            "{page}"
        );
    }
}

#[test]
fn redoc_policy_names_hash_of_page_style() {
    let html = text("/redoc");
    let (_, style) = html.split_once("<style>").expect("the page has a style");
    let (style, _) = style.split_once("</style>").expect("the style ends");
    let policy = header(&get("/redoc"), "content-security-policy")
        .unwrap_or_default()
        .to_owned();
    let hash = format!("'sha256-{}'", base64(&Sha256::digest(style)));
    assert!(policy.contains(&hash), "the style's hash is {hash}");
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for i in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * i)) as usize & 63]);
            text.push(if i > group.len() { '=' } else { digit });
        }
    }
    text
}

#[test]
fn redoc_does_not_load_logo_from_cdn() {
    assert!(!text("/redoc/redoc.standalone.js").contains("cdn.redoc.ly"));
}

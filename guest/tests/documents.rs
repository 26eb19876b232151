//! The description and the pages that show it, as clients get them.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use usher_guest::ROUTES;
use usher_guest::database::{
    Cursor, Database, Dialect, Error, Param, Rows, Statements, Transaction,
};
use usher_guest::http::{BodyError, Method, Request, Response};
use usher_guest::routes::{Operation, Route};

/// A request without a body.
struct Asked<'a> {
    method: Method,
    target: &'a str,
    headers: &'a [(&'a str, &'a str)],
}

impl Request for Asked<'_> {
    fn method(&self) -> Method {
        self.method
    }

    fn target(&self) -> &str {
        self.target
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let (_, value) = self.headers.iter().find(|(header, _)| *header == name)?;
        Some(value.as_bytes().to_vec())
    }

    fn scheme(&self) -> &'static str {
        "http"
    }

    fn authority(&self) -> Option<String> {
        Some("users.example".into())
    }

    fn body(&self) -> Result<std::borrow::Cow<'_, [u8]>, BodyError> {
        Ok(Vec::new().into())
    }
}

/// No database: a document needs none.
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

fn ask(method: Method, target: &str, headers: &[(&str, &str)]) -> Response {
    usher_guest::handle(
        &Asked {
            method,
            target,
            headers,
        },
        &Absent,
    )
    .whole(&Absent)
    .expect("a document is whole")
}

fn get(target: &str) -> Response {
    ask(
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

/// What a client sees once it has unpacked it.
fn unpacked(response: &Response) -> Vec<u8> {
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
    String::from_utf8(unpacked(&get(target))).expect("documents are UTF-8")
}

#[test]
fn every_document_is_given_with_its_type_tag_and_cache_rule() {
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
fn tags_tell_documents_apart() {
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
fn a_client_that_has_a_document_is_not_given_it_again() {
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
            let response = ask(Method::Get, path, &[("if-none-match", &names)]);
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
                ask(Method::Get, path, &[("if-none-match", names)]).status,
                200,
                "{path} {names}"
            );
        }
    }
}

#[test]
fn head_is_answered_like_get() {
    for path in documents() {
        assert_eq!(
            ask(Method::Head, path, &[]),
            ask(Method::Get, path, &[]),
            "{path}"
        );
    }
}

#[test]
fn other_methods_are_refused_with_those_there_are() {
    for path in documents() {
        for method in [
            Method::Post,
            Method::Put,
            Method::Patch,
            Method::Delete,
            Method::Other,
        ] {
            let response = ask(method, path, &[]);
            assert_eq!(
                (response.status, header(&response, "allow")),
                (405, Some("GET, HEAD")),
                "{method:?} {path}"
            );
        }
    }
}

#[test]
fn a_slash_too_many_is_sent_to_the_document() {
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
fn other_paths_near_the_documents_are_nothing() {
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
fn documents_are_found_however_their_path_is_written() {
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
fn a_compressed_document_is_refused_only_where_the_client_refuses_gzip() {
    let packed = "/docs/swagger-ui-bundle.js";
    assert_eq!(ask(Method::Get, packed, &[]).status, 200);
    for accepted in [
        "gzip",
        "GZIP",
        "x-gzip",
        "br, gzip;q=0.5",
        "*",
        "deflate;q=0, *;q=0.001",
        "identity, gzip ; q=1.0",
    ] {
        let response = ask(Method::Get, packed, &[("accept-encoding", accepted)]);
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
        let response = ask(Method::Get, packed, &[("accept-encoding", refused)]);
        assert_eq!(response.status, 406, "{refused}");
    }
    for page in ["/docs", "/redoc", "/openapi.json"] {
        assert_eq!(
            ask(Method::Get, page, &[("accept-encoding", "identity")]).status,
            200,
            "{page}"
        );
    }
}

#[test]
fn what_was_vendored_is_what_the_checksums_say() {
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
                format!("{:x}", Sha256::digest(unpacked(&get(path)))),
                hash,
                "{path}"
            );
        }
    }
    assert!(
        left.is_empty(),
        "these are checked in and served nowhere: {left:?}"
    );
}

#[test]
fn a_page_refers_only_to_what_is_served() {
    for page in ["/docs", "/docs/oauth2-redirect", "/redoc"] {
        let html = text(page);
        let mut references = 0;
        for attribute in ["src=\"", "href=\"", "spec-url=\""] {
            for after in html.split(attribute).skip(1) {
                let reference = after.split('"').next().unwrap_or_default();
                if reference == "data:," {
                    continue;
                }
                // One with a slash in front would lead out of a prefix under which a proxy serves the page.
                assert!(!reference.starts_with('/'), "{page}: {reference}");
                // As a browser resolves it against the page's own path.
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
fn a_page_may_load_from_nowhere_else_and_run_no_script_of_its_own() {
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
fn the_style_of_the_redoc_page_is_the_one_its_policy_names() {
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
fn redoc_does_not_load_its_makers_logo() {
    assert!(!text("/redoc/redoc.standalone.js").contains("cdn.redoc.ly"));
}

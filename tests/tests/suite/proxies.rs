//! Behind a proxy: the PROXY protocol, trusted networks, and a path below which the service is.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use usher_tests::http::{Reader, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::Running;

use crate::startup::{send_request, usher};
use crate::tls::{curl, folder, port, secure};

fn start(scratch: &Scratch, options: &[&str]) -> Running {
    usher(scratch)
        .args(["--database", "memory:", "--workers", "1"])
        .args(options.iter().copied())
        .spawn()
}

/// Sends bytes of a proxy and then a request that names itself.
async fn send(address: &str, first: &[u8], path: &str) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(address).await?;
    let request = Request::get(path).header("x-request-id", "mine");
    stream.write_all(first).await?;
    stream.write_all(&request.encode("users.example")).await?;
    Reader::new(stream).response("GET").await
}

/// A header of version 2 for a client at 192.0.2.1 that speaks TLS with the proxy.
fn binary() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14".to_vec();
    header.extend([192, 0, 2, 1, 198, 51, 100, 1, 0, 1, 1, 187]);
    header.extend([0x20, 0, 5, 1, 0, 0, 0, 0]);
    header
}

#[tokio::test]
async fn proxy_protocol_says_who_the_client_is_and_whether_it_speaks_tls() {
    let scratch = Scratch::new();
    let mut running = start(&scratch, &["--proxy-protocol"]);
    let address = running.address();
    let id = |response: &Response| response.header("x-request-id").unwrap_or_default();
    // A client that is no trusted proxy cannot name its request; one that is can.
    let other = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
    let response = send(&address, other, "/users/1").await.expect("a response");
    assert_eq!(response.status, 404);
    assert_ne!(id(&response), "mine");
    let trusted = b"PROXY TCP6 ::1 ::1 56324 443\r\n";
    let response = send(&address, trusted, "/users/1")
        .await
        .expect("a response");
    assert_eq!(id(&response), "mine");
    // The scheme of a redirect is that of the client.
    let response = send(&address, &binary(), "/users")
        .await
        .expect("a response");
    let location = response.header("location");
    assert_eq!(location.as_deref(), Some("https://users.example/users/"));
    let response = send(&address, other, "/users").await.expect("a response");
    let location = response.header("location");
    assert_eq!(location.as_deref(), Some("http://users.example/users/"));
    let url = format!("http://{address}/users/1");
    let written = ["-o", "body", "-w", "%{http_version} %{http_code}", &url];
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let arguments = [&["--haproxy-protocol", version], &written[..]].concat();
        let number = if version == "--http1.1" { "1.1" } else { "2" };
        assert_eq!(curl(scratch.path(), &arguments), format!("{number} 404"));
    }
}

#[tokio::test]
async fn proxy_protocol_comes_before_tls() {
    let scratch = folder();
    let mut running = secure(&scratch).args(["--proxy-protocol"]).spawn();
    let port = port(&mut running);
    let url = format!("https://localhost:{port}/users/1");
    let arguments = [
        "--haproxy-protocol",
        "--cacert",
        "authority.crt",
        "-o",
        "body",
        "-w",
    ];
    let arguments = [&arguments[..], &["%{http_version} %{http_code}", &url]].concat();
    assert_eq!(curl(scratch.path(), &arguments), "2 404");
}

#[tokio::test]
async fn connection_without_the_proxy_protocol_or_from_elsewhere_is_closed() {
    let scratch = Scratch::new();
    let mut running = start(&scratch, &["--proxy-protocol", "--head-timeout", "500ms"]);
    let address = running.address();
    assert!(send(&address, b"", "/users/1").await.is_err());
    // Nothing, for as long as a head may take.
    let mut silent = TcpStream::connect(&address).await.expect("a connection");
    let began = Instant::now();
    let read = silent.read(&mut [0; 1]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert!(began.elapsed() >= Duration::from_millis(400));

    let mut elsewhere = start(
        &scratch,
        &["--proxy-protocol", "--trusted-proxy", "192.0.2.0/24"],
    );
    let address = elsewhere.address();
    let header = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
    assert!(send(&address, header, "/users/1").await.is_err());
    elsewhere.line("they come from a --trusted-proxy alone");
}

#[tokio::test]
async fn trusted_proxies_may_be_networks() {
    for (network, id) in [("127.0.0.0/8", "mine"), ("10.0.0.0/8,192.0.2.1", "its own")] {
        let scratch = Scratch::new();
        let mut running = start(&scratch, &["--trusted-proxy", network]);
        let address = running.address();
        let response = send(&address, b"", "/users/1").await.expect("a response");
        let given = response.header("x-request-id").unwrap_or_default();
        assert_eq!(given == "mine", id == "mine", "{network}: {given}");
    }
    let wrong = usher(&Scratch::new())
        .args(["--database", "memory:", "--trusted-proxy", "10.0.0.0/33"])
        .run();
    assert_eq!(wrong.code(), Some(2));
}

#[tokio::test]
async fn service_below_a_base_path_is_found_there_alone() {
    let scratch = Scratch::new();
    let mut running = start(&scratch, &["--base-path", "/api/v1/"]);
    let address = running.address();
    let get = async |path: &str| send_request(&address, Request::get(path)).await;
    let ann = serde_json::json!({"name": "Ann", "email": "ann@example.org"});
    let created = send_request(&address, Request::post("/api/v1/users/", &ann)).await;
    assert_eq!(created.status, 200);
    assert_eq!(get("/api/v1/users/1").await.text(), created.text());
    assert_eq!(get("/api/v1/users/?limit=1").await.status, 200);
    let redirect = get("/api/v1/users").await;
    // Relative to what the client asked for, so that it is below the path.
    assert_eq!(redirect.header("location").as_deref(), Some("./users/"));
    for outside in ["/users/1", "/api/v1x/users/1", "/api", "/"] {
        let response = get(outside).await;
        assert_eq!(
            (response.status, response.text().as_str()),
            (404, r#"{"detail":"Not Found"}"#)
        );
    }
    let docs = get("/api/v1/docs").await;
    assert_eq!(docs.status, 200);
    assert!(!docs.text().contains("\"/openapi.json") && !docs.text().contains("'/openapi.json"));
    let wrong = usher(&scratch)
        .args(["--database", "memory:", "--base-path", "api"])
        .run();
    assert_eq!(wrong.code(), Some(2));
}

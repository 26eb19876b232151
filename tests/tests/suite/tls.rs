//! TLS of clients' connections: by curl, by OpenSSL's client and by rustls.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use usher_tests::http::{Reader, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, Usher};
use usher_tests::programs::Program;

use crate::startup::{fails_with, send_request, usher};

/// Runs an installed program to its end.
pub(crate) fn run(name: &str, folder: &Path, arguments: &[&str]) -> Output {
    let program = Program::find(name, name).unwrap_or_else(|error| panic!("{error}"));
    program
        .command()
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it starts")
}

/// What curl wrote to standard output.
#[track_caller]
pub(crate) fn curl(folder: &Path, arguments: &[&str]) -> String {
    let arguments = [&["-sS", "--max-time", "50"], arguments].concat();
    let output = run("curl", folder, &arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn openssl(folder: &Path, arguments: &str) {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = run("openssl", folder, &arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
}

/// An authority in the files `NAME.crt` and `NAME.key`.
#[track_caller]
fn make_authority(folder: &Path, name: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -subj /CN={name} -keyout {name}.key -out {name}.crt"
        ),
    );
}

/// A certificate that `authority` signs, for `localhost` and as a client, in `NAME.crt` and
/// `NAME.key`.
#[track_caller]
fn make_certificate(folder: &Path, name: &str, authority: &str) {
    let extensions = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n";
    std::fs::write(folder.join("leaf.ext"), extensions).expect("a file");
    openssl(
        folder,
        &format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} \
             -keyout {name}.key -out {name}.csr"
        ),
    );
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key \
             -CAcreateserial -days 2 -extfile leaf.ext -out {name}.crt"
        ),
    );
}

/// A folder with a certificate `server`, signed by `authority`.
pub(crate) fn folder() -> Scratch {
    let scratch = Scratch::new();
    make_authority(scratch.path(), "authority");
    make_certificate(scratch.path(), "server", "authority");
    scratch
}

pub(crate) fn secure(scratch: &Scratch) -> Usher {
    usher(scratch).args(["--database", "memory:"]).args([
        "--tls-cert",
        "server.crt",
        "--tls-key",
        "server.key",
    ])
}

/// The port of a server with TLS.
pub(crate) fn port(running: &mut Running) -> String {
    let line = running.line("listening on https://");
    let port = line.rsplit(':').next().unwrap_or_default();
    port.trim().to_owned()
}

pub(crate) fn trusting(file: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(file).expect("a certificate");
    roots.add(certificate).expect("it is one of an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

async fn connect(port: &str, trust: &Path) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(trusting(trust))
        .connect(name, stream)
        .await
}

async fn get(stream: &mut TlsStream<TcpStream>) -> Response {
    let request = Request::get("/users/1").header("connection", "keep-alive");
    stream
        .write_all(&request.encode("localhost"))
        .await
        .expect("a request");
    let response = Reader::new(&mut *stream).response("GET").await;
    response.expect("a response")
}

#[tokio::test]
async fn https_is_served_in_tls_1_2_and_1_3_to_curl_and_openssl() {
    let scratch = folder();
    let mut running = secure(&scratch).spawn();
    let port = port(&mut running);
    let redirected = format!("https://localhost:{port}/users");
    for version in ["1.2", "1.3"] {
        let (least, most) = (format!("--tlsv{version}"), version);
        let written = curl(
            scratch.path(),
            &[
                "--cacert",
                "authority.crt",
                "--http1.1",
                &least,
                "--tls-max",
                most,
                "-o",
                "body",
                "-w",
                "%{http_version} %{http_code} %{redirect_url}",
                &redirected,
            ],
        );
        // The redirect names the scheme by which the client came.
        assert_eq!(written, format!("1.1 307 https://localhost:{port}/users/"));
    }
    let old = run(
        "curl",
        scratch.path(),
        &[
            "-sS",
            "--cacert",
            "authority.crt",
            "--tls-max",
            "1.1",
            &redirected,
        ],
    );
    assert!(!old.status.success());

    let mut client = Program::find("openssl", "openssl")
        .unwrap_or_else(|error| panic!("{error}"))
        .command();
    let address = format!("localhost:{port}");
    let mut client = client
        .current_dir(scratch.path())
        .args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-CAfile",
            "authority.crt",
        ])
        .args(["-connect", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let request = Request::get("/users/1").encode("localhost");
    let mut input = client.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut input, &request).expect("it reads");
    let output = client.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("HTTP/1.1 404 Not Found"), "{text}");
    assert!(text.ends_with('}'), "{text}");
    drop(input);
}

#[tokio::test]
async fn certificate_is_replaced_under_open_connections_and_a_wrong_one_is_not_used() {
    let scratch = folder();
    let path = |name: &str| -> PathBuf { scratch.path().join(name) };
    make_authority(scratch.path(), "other");
    make_certificate(scratch.path(), "next", "other");
    let mut running = secure(&scratch).args(["--head-timeout", "50s"]).spawn();
    let port = port(&mut running);
    let (old, new) = (path("authority.crt"), path("other.crt"));
    let mut open = connect(&port, &old).await.expect("a connection");
    assert_eq!(get(&mut open).await.status, 404);
    assert!(connect(&port, &new).await.is_err());

    // The certificate comes first, and has not its key yet.
    std::fs::copy(path("next.crt"), path("server.crt")).expect("a file");
    let line = running.line("stays in use");
    assert!(
        line.contains("the key in --tls-key server.key is not that of the certificate"),
        "{line}"
    );
    assert!(connect(&port, &old).await.is_ok());
    std::fs::copy(path("next.key"), path("server.key")).expect("a file");
    running.line("new connections have the certificate in server.crt, valid until");
    let mut renewed = connect(&port, &new).await.expect("a connection");
    assert_eq!(get(&mut renewed).await.status, 404);
    assert!(connect(&port, &old).await.is_err());
    // The old connection goes on.
    assert_eq!(get(&mut open).await.status, 404);

    let pid = i32::try_from(running.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("it runs"), Signal::HUP).expect("it runs");
    running.line("new connections have the certificate in server.crt, valid until");
    assert_eq!(get(&mut open).await.status, 404);
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn tls_files_that_cannot_be_used_are_refused_at_start_in_one_line() {
    let scratch = folder();
    make_certificate(scratch.path(), "client", "authority");
    std::fs::write(scratch.path().join("empty"), "").expect("a file");
    let key = std::fs::read_to_string(scratch.path().join("server.key")).expect("a key");
    let one_line = key.replace('\n', " ");
    std::fs::write(scratch.path().join("one-line.key"), one_line).expect("a file");
    let cases: [(&[&str], &[&str]); 7] = [
        (
            &["--tls-cert", "server.crt"],
            &["--tls-cert needs --tls-key"],
        ),
        (
            &["--tls-key", "server.key"],
            &["--tls-key needs --tls-cert"],
        ),
        (
            &["--tls-cert", "server.crt", "--tls-key", "client.key"],
            &[
                "the key in --tls-key client.key is not that of",
                "--tls-cert server.crt",
            ],
        ),
        (
            &["--tls-cert", "empty", "--tls-key", "server.key"],
            &["--tls-cert empty", "it has no certificate"],
        ),
        (
            &["--tls-cert", "server.crt", "--tls-key", "nowhere"],
            &["--tls-key nowhere", "No such file"],
        ),
        (
            &["--tls-cert", "server.crt", "--tls-key", "one-line.key"],
            &["--tls-key one-line.key", "lost its line breaks"],
        ),
        (
            &[
                "--tls-cert",
                "server.crt",
                "--tls-key",
                "server.key",
                "--tls-client-ca",
                "empty",
            ],
            &["--tls-client-ca empty", "it has no certificate"],
        ),
    ];
    for (options, parts) in cases {
        let ended = usher(&scratch)
            .args(["--database", "memory:"])
            .args(options.iter().copied())
            .run();
        fails_with(&ended, 2, parts);
        // Nothing of a key is quoted: "PRIVATE KEY" as it is or in decimal digits.
        let line = ended.only_line();
        assert!(
            !line.contains("PRIVATE") && !line.contains("80, 82, 73"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn client_without_a_certificate_of_the_authority_is_refused() {
    let scratch = folder();
    make_authority(scratch.path(), "clients");
    make_certificate(scratch.path(), "known", "clients");
    make_certificate(scratch.path(), "unknown", "authority");
    let mut running = secure(&scratch)
        .args([
            "--tls-client-ca",
            "clients.crt",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .spawn();
    let operators = running.operators();
    let port = port(&mut running);
    let url = format!("https://localhost:{port}/users/1");
    let base = [
        "-sS",
        "--cacert",
        "authority.crt",
        "-o",
        "body",
        "-w",
        "%{http_code}",
    ];
    let known = [
        &base[..],
        &["--cert", "known.crt", "--key", "known.key", &url],
    ]
    .concat();
    assert_eq!(curl(scratch.path(), &known), "404");
    let unknown = [
        &base[..],
        &["--cert", "unknown.crt", "--key", "unknown.key", &url],
    ]
    .concat();
    for refused in [&unknown, &[&base[..], &[&url]].concat()] {
        let output = run("curl", scratch.path(), refused);
        assert!(!output.status.success(), "{refused:?}");
    }
    let metrics = send_request(&operators, Request::get("/metrics"))
        .await
        .text();
    let failed = "usher_tls_handshakes_failed_total 2";
    assert!(metrics.contains(failed), "{metrics}");
}

#[tokio::test]
async fn handshake_that_takes_too_long_is_ended_and_counts_as_a_connection() {
    let scratch = folder();
    let mut running = secure(&scratch)
        .args(["--head-timeout", "500ms", "--max-connections", "1"])
        .spawn();
    let port = port(&mut running);
    let began = Instant::now();
    let mut silent = TcpStream::connect(format!("127.0.0.1:{port}"))
        .await
        .expect("a connection");
    // There is room for no other until the silent one is closed.
    let trust = scratch.path().join("authority.crt");
    let mut second = connect(&port, &trust).await.expect("a connection");
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(get(&mut second).await.status, 404);
    let read = silent.read(&mut [0; 1]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

//! What only real connections show: early responses, proxies, and exhausted descriptors.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use usher_tests::http::{self, Reader, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::nginx::Nginx;
use usher_tests::process::{Running, Usher, WAIT_LIMIT};
use usher_tests::programs::Program;

fn program(scratch: &Scratch) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
}

async fn send_request(address: &str, request: &Request) -> Response {
    let stream = TcpStream::connect(address).await.expect("a connection");
    http::send(stream, request, address)
        .await
        .expect("an answer")
}

/// A client that sends everything before it reads, as most libraries do.
async fn send_all_then_read(address: &str, request: &[u8]) -> Response {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request).await.expect("all of it is taken");
    Reader::new(stream)
        .response("POST")
        .await
        .expect("the answer arrives")
}

/// More than the buffers of both sides hold.
const LARGE: usize = 24 << 20;

#[tokio::test]
async fn early_response_arrives_before_the_request_is_read() {
    let scratch = Scratch::new();
    let mut running = program(&scratch)
        .args(["--body-timeout", "500ms", "--head-timeout", "10m"])
        .spawn();
    let address = running.address();
    let post = "POST /users/ HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let sized = format!("{post}content-length: {LARGE}\r\n\r\n");
    let chunked = format!("{post}transfer-encoding: chunked\r\n\r\n{LARGE:x}\r\n");
    let nobody = "POST /users/ HTTP/1.1\r\ncontent-length: 25165824\r\n\r\n".to_owned();
    let malformed = "POST /users/ HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n".to_owned();
    let long = format!(
        "GET /users/ HTTP/1.1\r\nhost: x\r\nlong: {}",
        "y".repeat(70 << 10)
    );
    for (head, status) in [
        (sized, 413),
        (chunked, 413),
        (nobody, 400),
        (malformed, 400),
        (long, 431),
    ] {
        let mut request = head.clone().into_bytes();
        request.resize(request.len() + LARGE, b'z');
        let answer = send_all_then_read(&address, &request).await;
        assert_eq!(answer.status, status, "{head:.80}");
        assert!(answer.json()["detail"].is_string(), "{}", answer.text());
    }
    // A client over the limit gets its response, even if it continues to send.
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    let head = format!("{post}content-length: 100000\r\n\r\n");
    stream
        .write_all(head.as_bytes())
        .await
        .expect("a beginning");
    stream.readable().await.expect("an answer");
    stream
        .write_all(&vec![b' '; 100_000])
        .await
        .expect("it is taken");
    let late = Reader::new(stream).response("POST").await;
    assert_eq!(late.expect("the answer arrives").status, 408);
}

/// A client that has its response and neither closes nor sends anything is closed soon.
#[tokio::test]
async fn connection_after_early_response_is_closed() {
    let scratch = Scratch::new();
    let mut running = program(&scratch).spawn();
    let address = running.address();
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    let request = "POST /users/ HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n{";
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .await
        .expect("an answer, and an end");
    assert!(answer.starts_with(b"HTTP/1.1 413 "));
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
}

/// Client libraries read the early response.
#[tokio::test(flavor = "multi_thread")]
async fn early_response_reaches_real_clients() {
    const PYTHON: &str = "import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1])
connection.request('POST', '/users/', b' ' * 20_000_000, {'content-type': 'application/json'})
answer = connection.getresponse()
print(answer.status, answer.read().decode(), end='')";
    const NODE: &str =
        "fetch(`http://${process.argv[1]}/users/`, {method: 'POST', body: ' '.repeat(20000000)})
        .then(async answer => process.stdout.write(`${answer.status} ${await answer.text()}`))";
    let scratch = Scratch::new();
    let mut running = program(&scratch).spawn();
    let address = tokio::task::block_in_place(|| running.address());
    let body = scratch.path().join("body");
    std::fs::write(&body, vec![b' '; 20_000_000]).expect("a file");
    let body = format!("@{}", body.display());
    let url = format!("http://{address}/users/");
    let curl = [
        "-s",
        "-w",
        "",
        "-o",
        "-",
        "-H",
        "expect:",
        "--data-binary",
        &body,
        &url,
    ];
    for (client, package, arguments, begins) in [
        ("python3", "python3", &["-c", PYTHON, &address][..], "413 "),
        ("node", "nodejs", &["-e", NODE, &address][..], "413 "),
        ("curl", "curl", &curl[..], ""),
    ] {
        let run = || {
            Program::find(client, package)
                .unwrap_or_else(|error| panic!("{error}"))
                .command()
                .args(arguments)
                .stderr(Stdio::inherit())
                .output()
        };
        let run = tokio::task::block_in_place(run);
        let output = run.unwrap_or_else(|error| panic!("{client} does not start: {error}"));
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = format!("{begins}{{\"detail\":\"Request body too large\"}}");
        assert_eq!(output, expected, "{client}");
    }
}

#[tokio::test]
async fn redirect_behind_a_trusted_proxy_is_relative() {
    let scratch = Scratch::new();
    let mut local = program(&scratch).spawn();
    let mut other = program(&scratch)
        .args(["--trusted-proxy", "192.0.2.1,::2"])
        .spawn();
    let (local, other) = (local.address(), other.address());
    let plain = "http://api.example.com/users/";
    let relative = "./users/";
    for (address, name, value, location) in [
        (&local, "x-forwarded-proto", "https", relative),
        (&local, "forwarded", "for=192.0.2.7;proto=https", relative),
        (&local, "x-forwarded-host", "evil.example", relative),
        (&local, "x-forwarded-prefix", "/api", relative),
        (&local, "x-forwarded-for", "192.0.2.7", plain),
        (&other, "x-forwarded-proto", "https", plain),
        (&other, "x-forwarded-host", "evil.example", plain),
        (&other, "x-forwarded-prefix", "/api", plain),
        (&other, "forwarded", "proto=https", plain),
    ] {
        let request = Request::get("/users").header("host", "api.example.com");
        let answer = send_request(address, &request.header(name, value)).await;
        assert_eq!(answer.status, 307);
        assert_eq!(
            answer.header("location").as_deref(),
            Some(location),
            "{name}: {value}"
        );
    }
}

#[tokio::test]
async fn relative_redirect_names_the_path_with_or_without_the_slash() {
    let scratch = Scratch::new();
    let mut running = program(&scratch).spawn();
    let address = running.address();
    for (path, location) in [
        ("/users?limit=1", "./users/?limit=1"),
        ("/users/7/", "../7"),
        ("/users/7//", "../../7"),
        ("/users/a%20b/?x=%2F", "../a%20b?x=%2F"),
        ("/users/7%3F/", "../7%3F"),
        ("/docs/", "../docs"),
        // The encoded slash is no segment of its own to a client.
        ("/users/7%2F", "http://api.example.com/users/7"),
    ] {
        let request = Request::get(path)
            .header("host", "api.example.com")
            .header("x-forwarded-prefix", "/api");
        let answer = send_request(&address, &request).await;
        assert_eq!((answer.status, answer.body.len()), (307, 0), "{path}");
        assert_eq!(
            answer.header("location").as_deref(),
            Some(location),
            "{path}"
        );
    }
}

#[tokio::test]
async fn browser_at_the_root_is_redirected_to_the_documentation() {
    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let scratch = Scratch::new();
    let mut running = program(&scratch).spawn();
    let address = running.address();
    for (method, accept, status) in [
        ("GET", BROWSER, 307),
        ("HEAD", BROWSER, 307),
        ("POST", BROWSER, 404),
        ("GET", "*/*", 404),
        ("GET", "application/json, text/html;q=0.5", 404),
    ] {
        let request = Request::new(method, "/").header("accept", accept);
        let answer = send_request(&address, &request).await;
        assert_eq!(answer.status, status, "{method} {accept}");
        let location = (status == 307).then(|| "docs".to_owned());
        assert_eq!(answer.header("location"), location, "{method} {accept}");
    }
}

#[tokio::test]
async fn buffered_request_has_scheme_and_authority_of_the_client() {
    const GREEDY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/greedy.wasm"));
    let scratch = Scratch::new();
    std::fs::write(scratch.file("greedy.wasm"), GREEDY).expect("a file");
    let mut running = program(&scratch)
        .args(["--component", "greedy.wasm", "--no-migrate"])
        .args(["--database-statements", "any"])
        .spawn();
    let address = running.address();
    for (name, value, origin) in [
        ("accept", "*/*", "http://api.example.com"),
        ("x-forwarded-proto", "https", "https://api.example.com"),
        ("forwarded", "proto=https", "https://api.example.com"),
    ] {
        let request = Request::get("/buffered/origin").header("host", "api.example.com");
        let answer = send_request(&address, &request.header(name, value)).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, origin));
    }
}

#[tokio::test]
async fn body_of_max_body_is_accepted_and_one_byte_more_is_413() {
    // Below an ordinary body, above the default, and the most for an instance's memory.
    for (option, bytes) in [("64", 64), ("4MiB", 4 << 20), ("16MiB", 16 << 20)] {
        let scratch = Scratch::new();
        let mut running = program(&scratch).args(["--max-body", option]).spawn();
        let address = running.address();
        let user = br#"{"name":"Ann","email":"ann@example.org"}"#;
        for (size, status) in [(bytes, 200), (bytes + 1, 413)] {
            let mut body = vec![b' '; size - user.len()];
            body.extend_from_slice(user);
            let request = Request::new("POST", "/users/");
            let request = request.header("content-type", "application/json");
            let answer = send_request(&address, &request.body(body)).await;
            assert_eq!(answer.status, status, "--max-body {option}: {size} bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_work_under_a_prefix_that_a_proxy_strips() {
    let scratch = Scratch::new();
    let mut running = program(&scratch).spawn();
    let address = tokio::task::block_in_place(|| running.address());
    let nginx = Nginx::start(&format!(
        "location /svc/ {{ proxy_pass http://{address}/; proxy_set_header Host $http_host; }}"
    ));
    let proxy = nginx.address();
    for number in 1..=2 {
        let user = serde_json::json!({"name": "n", "email": format!("u{number}@example.org")});
        assert_eq!(
            send_request(proxy, &Request::post("/svc/users/", &user))
                .await
                .status,
            200
        );
    }
    let page = send_request(proxy, &Request::get("/svc/users/?limit=1")).await;
    assert_eq!(
        page.header("link").as_deref(),
        Some("<?limit=1&after=1>; rel=\"next\"")
    );
    for page in ["docs", "redoc"] {
        let html = send_request(proxy, &Request::get(&format!("/svc/{page}")))
            .await
            .text();
        let mut references = 0;
        for attribute in ["src=\"", "href=\"", "spec-url=\""] {
            for after in html.split(attribute).skip(1) {
                let reference = after.split('"').next().unwrap_or_default();
                if reference == "data:," {
                    continue;
                }
                let target = Request::get(&format!("/svc/{reference}"));
                let target = target.header("accept-encoding", "gzip");
                assert_eq!(
                    send_request(proxy, &target).await.status,
                    200,
                    "{page}: {reference}"
                );
                references += 1;
            }
        }
        assert!(references > 2, "{page}");
    }
    let description = send_request(proxy, &Request::get("/svc/openapi.json"))
        .await
        .json();
    assert_eq!(description["servers"][0]["url"], ".");
}

fn descriptors(running: &Running, limit: u64) {
    let id = i32::try_from(running.id()).ok().and_then(Pid::from_raw);
    let limit = Rlimit {
        current: Some(limit),
        maximum: Some(limit),
    };
    prlimit(id, Resource::Nofile, limit).expect("it may be lowered");
}

/// The limit on open files is lower than `--max-connections`.
#[tokio::test]
async fn idle_clients_leave_descriptors_for_the_database() {
    let scratch = Scratch::new();
    let program = env!("CARGO_BIN_EXE_usher-under-test");
    let mut running = Usher::new("/bin/sh")
        .current_dir(scratch.path())
        .args(["-c", "ulimit -n 128; exec \"$0\" \"$@\"", program])
        .args(["--listen", "127.0.0.1:0", "--database", "sqlite:users.db"])
        .args(["--workers", "1", "--head-timeout", "2s"])
        .spawn();
    running.line("32 connections are served at once, not the 10000 of --max-connections");
    let address = running.address();
    let mut served = TcpStream::connect(&address).await.expect("a connection");
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(&address).await.expect("a connection"));
    }
    for _ in 0..20 {
        let get = Request::get("/users/").header("connection", "keep-alive");
        served
            .write_all(&get.encode(&address))
            .await
            .expect("it is read");
        let answer = Reader::new(&mut served)
            .response("GET")
            .await
            .expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "[]"));
        let lines = Request::get("/users/").header("accept", "application/x-ndjson");
        let lines = lines.header("connection", "keep-alive").encode(&address);
        served.write_all(&lines).await.expect("it is read");
        let answer = Reader::new(&mut served)
            .response("GET")
            .await
            .expect("an answer");
        assert_eq!(answer.status, 200);
    }
    // The idle clients disconnect, and waiting ones are accepted.
    let late = Request::get("/users/1");
    let late = tokio::time::timeout(WAIT_LIMIT, send_request(&address, &late)).await;
    assert_eq!(late.expect("others have gone").status, 404);
    drop(idle);
    running.terminate();
    let ended = running.wait();
    let warnings = ended.stderr.iter().filter(|line| line.contains("WARN"));
    assert_eq!(warnings.count(), 1, "{:?}", ended.stderr);
}

#[tokio::test]
async fn exhausted_descriptors_are_logged_once_without_a_busy_loop() {
    let scratch = Scratch::new();
    let mut running = program(&scratch)
        .args(["--workers", "1", "--head-timeout", "10m"])
        .spawn();
    let address = running.address();
    assert_eq!(
        send_request(&address, &Request::get("/users/1"))
            .await
            .status,
        404
    );
    let open = std::fs::read_dir(format!("/proc/{}/fd", running.id()));
    let open = open.expect("it runs").count() as u64;
    descriptors(&running, open + 4);
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(TcpStream::connect(&address).await.expect("a connection"));
    }
    running.line("connections cannot be accepted for now");
    let before = running.processor_time();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let took = running.processor_time().saturating_sub(before);
    assert!(
        took < Duration::from_millis(200),
        "{took:?} of processor time"
    );
    drop(idle);
    let request = Request::get("/users/1");
    let served = tokio::time::timeout(WAIT_LIMIT, send_request(&address, &request)).await;
    assert_eq!(served.expect("they have gone").status, 404);
    running.terminate();
    let ended = running.wait();
    let output = ended
        .stderr
        .iter()
        .filter(|line| line.contains("cannot be accepted"));
    assert_eq!(output.count(), 1, "{:?}", ended.stderr);
}

/// PostgreSQL assigns ids before users are committed: the description of `after` says how to miss
/// none.
#[tokio::test]
async fn user_committed_late_appears_below_a_listed_id() {
    let service = crate::service::Service::new(crate::databases::Kind::Postgres).await;
    let other = service.postgres().expect("PostgreSQL").connect().await;
    other
        .batch_execute("BEGIN; INSERT INTO users (name, email) VALUES ('late', 'late@example.org')")
        .await
        .expect("a user");
    assert_eq!(service.create("early", "early@example.org").await, 2);
    let ids = async |path: &str| {
        let page = service.get(path).await.json();
        let users = page.as_array().expect("an array").iter();
        users
            .filter_map(|user| user["id"].as_i64())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("/users/?after=0").await, [2]);
    other.batch_execute("COMMIT").await.expect("it is stored");
    // A client that continues after the greatest id misses this user; one that goes back to the
    // greatest id of before does not.
    assert_eq!(ids("/users/?after=2").await, [0; 0]);
    assert_eq!(ids("/users/?after=0").await, [1, 2]);
    let description = service.get("/openapi.json").await.text();
    assert!(description.contains("the greatest id that was listed a minute ago"));
    drop(other);
    service.end().await;
}

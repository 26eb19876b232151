//! What one request may cost the host: memory, processor time, and response heads. The component
//! uses as much as it can, while other requests must be served.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Usher, WAIT_LIMIT};

const GREEDY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/greedy.wasm"));

/// The program on one core, with the component `greedy`.
fn greedy(scratch: &Scratch) -> Usher {
    std::fs::write(scratch.path().join("greedy.wasm"), GREEDY).expect("a file");
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
        .args([
            "--component",
            "greedy.wasm",
            "--no-migrate",
            "--database-statements",
            "any",
        ])
        .args(["--workers", "1"])
}

async fn send(address: &str, request: Request) -> Response {
    let stream = TcpStream::connect(address).await.expect("a connection");
    http::send(stream, &request, address)
        .await
        .expect("an answer")
}

async fn send_request(address: &str, target: &str) -> Response {
    send(address, Request::get(target)).await
}

/// A request on a connection that is kept for the next one.
fn kept(request: &Request, address: &str) -> Vec<u8> {
    let request = request.clone().header("connection", "keep-alive");
    request.encode(address)
}

/// Sends one request after another on one connection until `until`, and counts the responses. Each
/// must be 200.
async fn load(address: String, until: Instant) -> u32 {
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    let request = kept(&Request::get("/ok"), &address);
    let mut served = 0;
    while Instant::now() < until {
        stream.write_all(&request).await.expect("a connection");
        let answer = http::Reader::new(&mut stream)
            .response("GET")
            .await
            .expect("an answer");
        assert_eq!(answer.status, 200);
        served += 1;
    }
    served
}

#[tokio::test]
async fn hoarding_request_is_ended_and_others_are_served() {
    const MIB: u64 = 1 << 20;
    let scratch = Scratch::new();
    let mut running = greedy(&scratch).args(["--request-memory", "32MiB"]).spawn();
    let address = running.address();
    assert_eq!(send_request(&address, "/ok").await.status, 200);
    let before = running.resident_bytes();
    for target in [
        "/methods/300/10000000",
        "/targets/900/60000",
        "/authorities/900/60000",
        "/fields/900/120000",
        "/fields/10000/1",
        "/entries/900/3000",
        "/clones/900/120000",
        "/responses/900/120000",
        "/bodies/400/65536",
        "/pollables/20000",
        "/parameter/40000000",
        "/statement/40000000",
        "/error-text/40000000",
        "/buffered/header/50000000",
        "/buffered/body/50000000",
        // More than one call may pass, and more than a response may have.
        "/buffered/body/20000000",
    ] {
        let attack = tokio::spawn({
            let address = address.clone();
            async move { send_request(&address, target).await.status }
        });
        // More of them would only take the processor from the attack.
        for _ in 0..50 {
            assert_eq!(
                send_request(&address, "/ok").await.status,
                200,
                "beside {target}"
            );
        }
        assert_eq!(attack.await.expect("an answer"), 500, "{target}");
    }
    // The memory of one instance, that of a request, and as much again that one call passed.
    let grown = running.most_resident_bytes().saturating_sub(before);
    assert!(
        grown < (64 + 32 + 32 + 64) * MIB,
        "{} MiB more",
        grown / MIB
    );
    // Released memory can be used again, as often as needed.
    assert_eq!(
        send_request(&address, "/one-after-another/100/5000000")
            .await
            .status,
        200
    );
    assert_eq!(
        send_request(&address, "/fields/300/60000").await.status,
        200
    );
}

#[tokio::test]
async fn unread_responses_are_bounded_over_all_requests() {
    const CLIENTS: usize = 40;
    let scratch = Scratch::new();
    let mut running = greedy(&scratch)
        .args(["--host-memory", "64MiB", "--max-response", "16MiB"])
        .spawn();
    let address = running.address();
    assert_eq!(send_request(&address, "/ok").await.status, 200);
    let before = running.resident_bytes();
    let (mut idle, mut refused) = (Vec::new(), 0);
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        let request = Request::get("/buffered/body/15000000").encode(&address);
        stream.write_all(&request).await.expect("a request");
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("an answer");
        match &status {
            b"HTTP/1.1 200" => idle.push(stream),
            b"HTTP/1.1 503" => refused += 1,
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
        // Small requests are served whatever others hold.
        assert_eq!(send_request(&address, "/ok").await.status, 200);
    }
    assert_eq!((idle.len(), refused), (4, CLIENTS - 4));
    let grown = running.resident_bytes().saturating_sub(before) >> 20;
    assert!(grown < 64 + 64 + 64, "{grown} MiB more");
    // Once the others are gone there is memory again.
    drop(idle);
    let answered = async {
        while send_request(&address, "/buffered/body/15000000")
            .await
            .status
            != 200
        {}
    };
    tokio::time::timeout(WAIT_LIMIT, answered)
        .await
        .expect("there is room again");
}

/// Sends all of a body of a MiB but its last byte, and that one once `is_ending`. Returns the
/// status of the response, whenever it comes.
async fn unfinished(address: String, is_sized: bool, mut is_ending: watch::Receiver<bool>) -> u16 {
    let stream = TcpStream::connect(&address).await.expect("a connection");
    let (read, mut write) = stream.into_split();
    let mut request = Request::new("POST", "/ok").body(vec![b'b'; 1 << 20]);
    if !is_sized {
        request = request.header("transfer-encoding", "chunked");
    }
    let bytes = request.encode(&address);
    // With chunks the last line comes late, too.
    let last = if is_sized { 1 } else { "b\r\n0\r\n\r\n".len() };
    let (bytes, last) = bytes.split_at(bytes.len() - last);
    let mut reader = http::Reader::new(read);
    let write = async {
        // The server may refuse the request before all of it is sent.
        write.write_all(bytes).await.ok();
        is_ending.wait_for(|is_ending| *is_ending).await.ok();
        write.write_all(last).await.ok();
        std::future::pending().await
    };
    let answer = tokio::select! {
        answer = reader.response("POST") => answer.expect("an answer"),
        never = write => never,
    };
    assert_eq!(answer.status == 503, answer.header("retry-after").is_some());
    answer.status
}

async fn all_of(clients: JoinSet<u16>) -> Vec<u16> {
    let answered = tokio::time::timeout(WAIT_LIMIT, clients.join_all()).await;
    answered.expect("answers in time")
}

#[tokio::test]
async fn bodies_beyond_the_memory_wait_for_it_and_each_is_served() {
    // As many bodies as eight fit at once.
    const CLIENTS: usize = 20;
    let scratch = Scratch::new();
    let options = ["--host-memory", "8MiB", "--body-timeout", "10m"];
    let mut running = greedy(&scratch).args(options).spawn();
    let address = running.address();
    assert_eq!(send_request(&address, "/ok").await.status, 200);
    let before = running.resident_bytes();
    let (end, is_ending) = watch::channel(false);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(unfinished(address.clone(), true, is_ending.clone()));
        // Small requests are served whatever others hold.
        assert_eq!(send_request(&address, "/ok").await.status, 200);
    }
    assert!(clients.try_join_next().is_none());
    let grown = running.resident_bytes().saturating_sub(before) >> 20;
    end.send(true).expect("clients that wait");
    assert_eq!(all_of(clients).await, [200; CLIENTS]);
    assert!(grown < 32, "{grown} MiB more");
}

#[tokio::test]
async fn bodies_that_wait_for_each_other_are_answered_in_time() {
    const CLIENTS: usize = 20;
    let scratch = Scratch::new();
    let options = ["--host-memory", "8MiB", "--body-timeout", "10m"];
    let mut running = greedy(&scratch).args(options).spawn();
    let address = running.address();
    let (end, is_ending) = watch::channel(false);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        // Nobody knows how long they are, so all of them begin at once.
        clients.spawn(unfinished(address.clone(), false, is_ending.clone()));
        assert_eq!(send_request(&address, "/ok").await.status, 200);
    }
    end.send(true).expect("clients that wait");
    let statuses = all_of(clients).await;
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)));
    // Seven fit in any case, beside one that waits.
    let served = statuses.iter().filter(|status| **status == 200).count();
    assert!(served >= 7, "{statuses:?}");
}

#[tokio::test]
async fn body_for_which_no_memory_becomes_free_is_503_at_its_deadline() {
    let scratch = Scratch::new();
    let options = ["--host-memory", "16MiB", "--body-timeout", "1s"];
    let mut running = greedy(&scratch).args(options).spawn();
    let address = running.address();
    // A response that nobody reads holds nearly all of the memory.
    let mut unread = TcpStream::connect(&address).await.expect("a connection");
    let request = Request::get("/buffered/body/16000000").encode(&address);
    unread.write_all(&request).await.expect("a request");
    let mut status = [0; 12];
    unread.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200");
    let body = Request::new("POST", "/ok").body(vec![b'b'; 1 << 20]);
    let late = send(&address, body.clone()).await;
    assert_eq!(
        (late.status, late.header("retry-after").as_deref()),
        (503, Some("1"))
    );
    let line = running.line("--host-memory");
    assert!(line.contains("POST"), "{line}");
    drop(unread);
    let served = async { while send(&address, body.clone()).await.status != 200 {} };
    let served = tokio::time::timeout(WAIT_LIMIT, served).await;
    served.expect("there is room again");
}

#[tokio::test]
async fn grown_instance_is_replaced() {
    let scratch = Scratch::new();
    let mut running = greedy(&scratch)
        .args(["--admin-listen", "127.0.0.1:0"])
        .spawn();
    let (operators, address) = (running.operators(), running.address());
    let instances = async || {
        let metrics = send_request(&operators, "/metrics").await.text();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("usher_instances_total "));
        line.and_then(|count| count.parse::<u32>().ok())
            .expect("a count")
    };
    for _ in 0..3 {
        assert_eq!(
            send_request(&address, "/buffered/body/1000").await.status,
            200
        );
    }
    assert_eq!(instances().await, 1);
    assert_eq!(
        send_request(&address, "/buffered/body/12000000")
            .await
            .status,
        200
    );
    assert_eq!(
        send_request(&address, "/buffered/body/1000").await.status,
        200
    );
    assert_eq!(instances().await, 2);
}

#[tokio::test]
async fn unread_stream_holds_no_more_than_its_pipe() {
    let scratch = Scratch::new();
    let mut running = greedy(&scratch).args(["--request-timeout", "5s"]).spawn();
    let address = running.address();
    assert_eq!(send_request(&address, "/ok").await.status, 200);
    let before = running.resident_bytes();
    let mut idle = Vec::new();
    for _ in 0..30 {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        let request = Request::get("/stream/50000000").encode(&address);
        stream.write_all(&request).await.expect("a request");
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
        idle.push(stream);
    }
    let grown = running.resident_bytes().saturating_sub(before) >> 20;
    assert!(grown < 128, "{grown} MiB more");
}

#[tokio::test]
async fn endless_loops_leave_their_core_to_others() {
    const SPINS: usize = 4;
    let scratch = Scratch::new();
    let mut running = greedy(&scratch).args(["--request-timeout", "60s"]).spawn();
    let address = running.address();
    let time = Duration::from_secs(2);
    load(address.clone(), Instant::now() + time / 2).await;
    let alone = load(address.clone(), Instant::now() + time).await;
    let mut spins = JoinSet::new();
    for _ in 0..SPINS {
        let address = address.clone();
        spins.spawn(async move { send_request(&address, "/spin").await.status });
    }
    // By then each loop has used its even share.
    load(address.clone(), Instant::now() + time).await;
    let beside = load(address.clone(), Instant::now() + time).await;
    assert!(spins.try_join_next().is_none(), "they have no end");
    // On a noisy machine a lower bound has to be low. Without a share for each loop it would be a
    // hundredth.
    assert!(
        beside * 4 > alone,
        "{alone} alone, {beside} beside {SPINS} loops"
    );
}

#[tokio::test]
async fn endless_loop_alone_uses_the_whole_core() {
    let scratch = Scratch::new();
    let mut running = greedy(&scratch).args(["--cpu-time", "1s"]).spawn();
    let address = running.address();
    let began = Instant::now();
    assert_eq!(send_request(&address, "/spin").await.status, 504);
    assert!(began.elapsed() < WAIT_LIMIT / 2, "{:?}", began.elapsed());
    let line = running.line("--cpu-time");
    assert!(line.contains("processor time"), "{line}");
}

/// A client that reads pays for the processor time of a stream, such as a list of millions.
#[tokio::test]
async fn list_that_is_read_may_exceed_cpu_time() {
    const PIECES: usize = 300;
    let scratch = Scratch::new();
    let mut running = greedy(&scratch).args(["--cpu-time", "1s"]).spawn();
    let address = running.address();
    let before = running.processor_time();
    let target = format!("/laborious/{PIECES}/20000000");
    let answer = send_request(&address, &target).await;
    assert_eq!((answer.status, answer.body.len()), (200, PIECES << 16));
    // Otherwise the test shows nothing.
    let took = running.processor_time().saturating_sub(before);
    assert!(took > Duration::from_millis(1200), "{took:?}");
    // A guest that runs on without writing is ended.
    let stream = TcpStream::connect(&address).await.expect("a connection");
    let endless = Request::get("/laborious/1/4000000000");
    let cut = http::send(stream, &endless, &address).await;
    assert!(cut.is_err(), "{cut:?}");
}

#[tokio::test]
async fn waiting_request_uses_no_processor_time() {
    let scratch = Scratch::new();
    let mut running = greedy(&scratch).args(["--cpu-time", "200ms"]).spawn();
    let address = running.address();
    assert_eq!(send_request(&address, "/wait/1000").await.status, 200);
    assert_eq!(send_request(&address, "/buffered/spin").await.status, 504);
}

#[tokio::test]
async fn busy_guest_is_ended_for_a_waiting_request() {
    let scratch = Scratch::new();
    let mut running = greedy(&scratch)
        .args([
            "--max-requests",
            "2",
            "--request-timeout",
            "60s",
            "--cpu-time",
            "60s",
        ])
        .spawn();
    let address = running.address();
    let mut spins = JoinSet::new();
    for _ in 0..2 {
        let address = address.clone();
        spins.spawn(async move { send_request(&address, "/spin").await });
    }
    let line = tokio::spawn({
        let address = address.clone();
        async move {
            // Send until both have a permit, so that one of them has to be ended.
            while spins
                .try_join_next()
                .is_none_or(|ended| ended.expect("an answer").status != 503)
            {
                assert_eq!(send_request(&address, "/ok").await.status, 200);
            }
        }
    });
    tokio::time::timeout(WAIT_LIMIT, line)
        .await
        .expect("one of them is ended")
        .expect("others are served");
    running.line("to make room for others");
}

#[tokio::test]
async fn guest_that_runs_after_its_response_is_ended() {
    for target in ["/answer-then-spin", "/body-then-spin"] {
        let scratch = Scratch::new();
        let mut running = greedy(&scratch)
            .args(["--after-answer", "300ms", "--request-timeout", "10m"])
            .args(["--cpu-time", "10m", "--drain-timeout", "10m"])
            .spawn();
        let address = running.address();
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        let request = Request::get(target).encode(&address);
        stream.write_all(&request).await.expect("a request");
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
        // The server drains once no guest runs.
        running.terminate();
        assert_eq!(running.wait().code(), Some(0), "{target}");
        drop(stream);
    }
}

/// Checks the bytes of a response to `method` strictly against RFC 9112. Returns where it ends.
fn strictly(bytes: &[u8], method: &str) -> Result<Option<usize>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let code = status
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse::<u16>().ok())
        .filter(|code| (200..600).contains(code))
        .ok_or_else(|| format!("the status line {status:?}"))?;
    let (mut length, mut chunked, mut trailer) = (None, false, false);
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("the line {line:?}"))?;
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("the name {name:?}"));
        }
        if value.bytes().any(|byte| byte < b' ' && byte != b'\t') {
            return Err(format!("the value {value:?}"));
        }
        let value = value.trim();
        match name {
            "content-length" => {
                if !value.bytes().all(|byte| byte.is_ascii_digit()) || value.is_empty() {
                    return Err(format!("the length {value:?}"));
                }
                if length.is_some() {
                    return Err("two lengths".into());
                }
                length = Some(value.parse::<usize>().map_err(|error| error.to_string())?);
            }
            "transfer-encoding" if value == "chunked" && !chunked => chunked = true,
            "transfer-encoding" => return Err(format!("the encoding {value:?}")),
            "connection" if matches!(value, "close" | "keep-alive") => {}
            "trailer" => trailer = true,
            "connection" | "keep-alive" | "upgrade" | "te" | "proxy-connection" => {
                return Err(format!("{name}: {value}"));
            }
            _ => {}
        }
    }
    let bodiless = method == "HEAD" || matches!(code, 204 | 304);
    if chunked && (length.is_some() || code == 204) {
        return Err("an encoding where there is none".into());
    }
    if trailer && length.is_some() {
        return Err("trailers of a body that can have none".into());
    }
    if code == 204 && length.is_some() {
        return Err("a 204 with a length".into());
    }
    let rest = &bytes[end + 4..];
    let body = match (bodiless, chunked, length) {
        (true, ..) => 0,
        (_, true, _) => match rest.windows(5).position(|window| window == b"0\r\n\r\n") {
            Some(at) => at + 5,
            None => return Ok(None),
        },
        (_, _, Some(length)) if rest.len() >= length => length,
        (_, _, Some(_)) => return Ok(None),
        (_, _, None) => return Err("no length".into()),
    };
    Ok(Some(end + 4 + body))
}

/// Reads one response strictly; none if the server closed the connection instead.
async fn read_strictly(stream: &mut TcpStream, left: &mut Vec<u8>, method: &str) -> Option<u16> {
    loop {
        match strictly(left, method) {
            Ok(Some(end)) => {
                let code = std::str::from_utf8(&left[9..12]).expect("digits").parse();
                left.drain(..end);
                return Some(code.expect("digits"));
            }
            Ok(None) => {}
            Err(fault) => panic!("{fault} in\n{}", String::from_utf8_lossy(left)),
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => left.extend_from_slice(&more[..read]),
        }
    }
}

/// Many heads that no server should send: each response is read strictly, and so is the next one on
/// its connection.
#[tokio::test]
async fn invalid_response_heads_are_corrected_or_refused() {
    const NAMES: [&str; 16] = [
        "content-length",
        "Content-Length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "proxy-connection",
        "x",
        "",
        "a b",
        "x\r\ny",
        "date",
        "content-type",
        "content-length ",
    ];
    const VALUES: [&str; 20] = [
        "0",
        "5",
        "+5",
        "-5",
        " 5",
        "5 ",
        "5,5",
        "5, 6",
        "0x5",
        "05",
        "5.0",
        "",
        "99999999999999999999",
        "chunked",
        "gzip, chunked",
        "close",
        "keep-alive",
        "a\r\ninjected: 1",
        "a\nb",
        "\u{0}",
    ];
    const STATUSES: [u16; 15] = [
        200, 201, 204, 205, 206, 304, 404, 500, 100, 101, 103, 199, 99, 600, 999,
    ];
    let scratch = Scratch::new();
    let mut running = greedy(&scratch).spawn();
    let address = running.address();
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    let mut left = Vec::new();
    let mut seed = 0x5eed_u64;
    let mut pick = |count: usize| {
        // The constants of Numerical Recipes.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("31 bits") % count
    };
    let (mut served, mut refused, mut closed) = (0, 0, 0);
    for _ in 0..1500 {
        let mut fields = String::new();
        for _ in 0..pick(4) {
            fields.push_str(&format!(
                "{}:{}\n",
                NAMES[pick(NAMES.len())],
                VALUES[pick(VALUES.len())]
            ));
        }
        let digits = hexadecimal(&fields);
        let way = ["/head", "/buffered/head"][pick(2)];
        let length = ["", "0", "5", "6"][pick(4)];
        let status = STATUSES[pick(STATUSES.len())];
        let method = ["GET", "GET", "HEAD", "POST"][pick(4)];
        let target = format!("{way}/{status}/{length}/{digits}");
        let request = kept(&Request::new(method, &target), &address);
        stream.write_all(&request).await.expect("a connection");
        match read_strictly(&mut stream, &mut left, method).await {
            // A truncated body ends its connection, and none of its bytes are taken for another
            // response.
            None => {
                closed += 1;
                left.clear();
                stream = TcpStream::connect(&address).await.expect("a connection");
                continue;
            }
            Some(500) if status != 500 => refused += 1,
            Some(_) => served += 1,
        }
        let probe = kept(&Request::get("/ok"), &address);
        if stream.write_all(&probe).await.is_err() {
            left.clear();
            stream = TcpStream::connect(&address).await.expect("a connection");
            continue;
        }
        match read_strictly(&mut stream, &mut left, "GET").await {
            Some(code) => assert_eq!((code, left.as_slice()), (200, &b""[..]), "after {target}"),
            None => stream = TcpStream::connect(&address).await.expect("a connection"),
        }
    }
    assert!(
        served > 100 && refused > 100,
        "{served} served, {refused} refused, {closed} closed"
    );
}

#[tokio::test]
async fn signed_content_length_and_content_length_of_204_are_not_sent() {
    let digits = hexadecimal;
    let scratch = Scratch::new();
    let mut running = greedy(&scratch).spawn();
    let address = running.address();
    let signed = digits("content-length:+5\n");
    let refused = send_request(&address, &format!("/head/200/5/{signed}")).await;
    assert_eq!(
        (refused.status, refused.text().as_str()),
        (422, "HeaderError::InvalidSyntax")
    );
    assert_eq!(
        send_request(&address, &format!("/buffered/head/200/5/{signed}"))
            .await
            .status,
        500
    );
    let zero = digits("content-length:0\n");
    for way in ["/head/204/", "/head/204/0", "/buffered/head/204/0"] {
        let answer = send_request(&address, &format!("{way}/{zero}")).await;
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (204, None),
            "{way}"
        );
    }
    // A client would wait for a body of this length.
    let five = digits("content-length:5\n");
    assert_eq!(
        send_request(&address, &format!("/head/200//{five}"))
            .await
            .status,
        500
    );
    assert_eq!(
        send_request(&address, &format!("/buffered/head/200/6/{five}"))
            .await
            .status,
        500
    );
    assert_eq!(
        send_request(&address, &format!("/buffered/head/101/0/{zero}"))
            .await
            .status,
        500
    );
}

/// A component of nested components, each of which instantiates the one before it twice.
fn doubling(levels: usize) -> Vec<u8> {
    fn leb(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let byte = u8::try_from(value & 0x7f).expect("seven bits");
            value >>= 7;
            bytes.push(if value > 0 { byte | 0x80 } else { byte });
            if value == 0 {
                return bytes;
            }
        }
    }
    let preamble = b"\0asm\x0d\0\x01\0";
    let mut component = preamble.to_vec();
    for _ in 0..levels {
        let inner = std::mem::replace(&mut component, preamble.to_vec());
        // The section of a nested component, and one of two instances of it without arguments.
        component.push(4);
        component.extend(leb(inner.len()));
        component.extend(inner);
        component.extend([5, 7, 2, 0, 0, 0, 0, 0, 0]);
    }
    component
}

#[test]
fn component_over_a_limit_is_refused_at_once() {
    let scratch = Scratch::new();
    let bomb = doubling(19);
    assert!(bomb.len() < 400, "{} bytes", bomb.len());
    std::fs::write(scratch.path().join("bomb.wasm"), bomb).expect("a file");
    for (file, reason) in [
        ("bomb.wasm", "1000 instances"),
        ("/dev/zero", "67108864 bytes"),
    ] {
        let began = Instant::now();
        let ended = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
            .current_dir(scratch.path())
            .args([
                "--listen",
                "127.0.0.1:0",
                "--database",
                "memory:",
                "--component",
                file,
            ])
            .run();
        assert_eq!(ended.code(), Some(2), "{:?}", ended.stderr);
        assert!(ended.only_line().contains(reason), "{}", ended.only_line());
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            began.elapsed()
        );
    }
}

/// A text's bytes in hexadecimal digits.
fn hexadecimal(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

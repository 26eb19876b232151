//! Every raw request of `tests/raw/requests.txt` has one of the outcomes that the RFCs allow.
//!
//! `USHER_TEST_RAW_ADDRESS=HOST:PORT` sends them to another server, to compare with it.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use usher_tests::figures;
use usher_tests::janitor::Scratch;

use crate::startup::usher;

const REQUESTS: &str = include_str!("../../raw/requests.txt");

/// What follows each request in the same segment.
const NEXT: &[u8] = b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// How long a server may take to answer and to close.
const LIMIT: Duration = Duration::from_secs(20);

/// How many requests are sent at once.
const CONCURRENT: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn raw_request_of_the_table_has_an_allowed_outcome() {
    let scratch = Scratch::new();
    let (_running, address) = match std::env::var("USHER_TEST_RAW_ADDRESS") {
        Ok(address) => (None, address),
        Err(_) => {
            let mut running = usher(&scratch)
                .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
                .spawn();
            let address = tokio::task::block_in_place(|| running.address());
            (Some(running), address)
        }
    };
    let mut lines = REQUESTS.lines().filter_map(|line| line.split_once('\t'));
    let (mut sent, mut faults, mut running) = (0, Vec::new(), JoinSet::new());
    loop {
        while running.len() < CONCURRENT
            && let Some((allowed, text)) = lines.next()
        {
            sent += 1;
            let address = address.clone();
            running.spawn(async move {
                let outcome = outcome(&address, &bytes(text)).await;
                let is_allowed = allowed.split('|').any(|allowed| allowed == outcome);
                (!is_allowed).then(|| format!("{outcome}, not {allowed}: {text:.200}"))
            });
        }
        match running.join_next().await {
            Some(fault) => faults.extend(fault.expect("no panic")),
            None => break,
        }
    }
    assert!(sent >= 500, "only {sent} requests");
    assert!(
        faults.is_empty(),
        "{} of {sent}:\n{}",
        faults.len(),
        faults.join("\n")
    );
    figures::print("raw requests", &format!("{sent} with an allowed outcome"));
}

/// A line of the table by its number, from the first one again after the last: the allowed
/// outcomes, and the text of the request.
pub(crate) fn line(number: usize) -> (&'static str, &'static str) {
    static LINES: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
        let lines = REQUESTS.lines();
        lines.filter_map(|line| line.split_once('\t')).collect()
    });
    LINES[number % LINES.len()]
}

/// The bytes that a line of the table stands for. `{BODY}` is the length of what follows the head.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = unescape(text.as_bytes());
    let length = b"{BODY}";
    if let Some(at) = bytes.windows(length.len()).position(|here| here == length) {
        let end = b"\r\n\r\n";
        let head = bytes.windows(end.len()).position(|here| here == end);
        let body = bytes.len() - head.expect("the end of a head") - end.len();
        bytes.splice(at..at + length.len(), body.to_string().into_bytes());
    }
    bytes
}

pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'{'
            && let Some((repeated, after)) = repetition(rest)
        {
            bytes.extend(repeated);
            rest = after;
            continue;
        }
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let [kind, after @ ..] = rest else {
            panic!("a backslash at the end of a line");
        };
        rest = after;
        bytes.push(match kind {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let (digits, after) = rest.split_at(2);
                rest = after;
                let digits = std::str::from_utf8(digits).expect("two digits");
                u8::from_str_radix(digits, 16).expect("a hexadecimal number")
            }
            other => panic!("unknown escape: {other}"),
        });
    }
    bytes
}

/// The bytes of `text*N}`, and what follows them. A brace of JSON begins no repetition.
fn repetition(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let star = text.windows(2).position(|pair| {
        let [star, digit] = pair else { return false };
        *star == b'*' && digit.is_ascii_digit()
    })?;
    let (repeated, count) = (text.get(..star)?, text.get(star + 1..)?);
    let end = count.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, [b'}', after @ ..]) = count.split_at(end) else {
        return None;
    };
    if repeated.get(1..)?.contains(&b'{') || repeated.contains(&b'}') {
        return None;
    }
    let count = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((unescape(repeated).repeat(count), after))
}

/// The first status, and whether the request that follows is answered.
pub(crate) async fn outcome(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let exchange = async {
        let write = async {
            // A server may close before it has read everything.
            if writer.write_all(&[request, NEXT].concat()).await.is_ok() {
                writer.shutdown().await.ok();
            }
        };
        // A reset after a response is no fault of it.
        let read = async { reader.read_to_end(&mut answer).await.ok() };
        tokio::join!(write, read);
    };
    if tokio::time::timeout(LIMIT, exchange).await.is_err() {
        return "open".into();
    }
    let answer = String::from_utf8_lossy(&answer);
    let statuses: Vec<&str> = answer
        .match_indices("HTTP/1.")
        .filter_map(|(at, _)| answer.get(at + 9..at + 12))
        .filter(|status| *status != "100")
        .collect();
    let Some(first) = statuses.first() else {
        return if answer.is_empty() { "close" } else { "junk" }.into();
    };
    let last = answer.rfind("HTTP/1.").and_then(|at| answer.get(at..));
    let is_not_found = last.is_some_and(|last| last.contains(r#"{"detail":"Not Found"}"#));
    let is_next = statuses.len() > 1 && is_not_found;
    let mut outcome = (*first).to_owned();
    if is_next {
        outcome.push('+');
    }
    if statuses.len() != 1 + usize::from(is_next) {
        // Writing to a string cannot fail.
        write!(outcome, "({})", statuses.len()).ok();
    }
    outcome
}

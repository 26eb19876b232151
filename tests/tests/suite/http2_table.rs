//! Every line of `tests/raw/http2.txt` has one of the outcomes that RFC 9113 allows.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::task::JoinSet;
use usher_tests::figures;
use usher_tests::janitor::Scratch;

use crate::http2::{
    CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame,
};
use crate::raw_table::unescape;
use crate::startup::usher;

const LINES: &str = include_str!("../../raw/http2.txt");

/// How long a server may take for both streams.
const LIMIT: Duration = Duration::from_secs(20);

/// How many connections are open at once.
const CONCURRENT: usize = 16;

/// The stream of the request that follows.
const NEXT: u32 = 101;

const GOAWAY: u8 = 7;
const DATA: u8 = 0;

/// The longest payload of a frame without another SETTINGS.
const LONGEST: usize = 16 << 10;

const GET: &str = r":method=GET\n:scheme=http\n:authority=a\n:path=/users/9";
const POST: &str =
    r":method=POST\n:scheme=http\n:authority=a\n:path=/users/\ncontent-type=application/json";

#[tokio::test(flavor = "multi_thread")]
async fn request_of_the_table_of_http_2_has_an_allowed_outcome() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch).args(["--database", "memory:"]).spawn();
    let address = tokio::task::block_in_place(|| running.address());
    let mut lines = LINES.lines().filter_map(|line| line.split_once('\t'));
    let (mut sent, mut faults, mut under_way) = (0, Vec::new(), JoinSet::new());
    loop {
        while under_way.len() < CONCURRENT
            && let Some((allowed, text)) = lines.next()
        {
            sent += 1;
            // Others repeat a user that one line creates.
            let is_alone = allowed.starts_with("200+");
            let address = address.clone();
            under_way.spawn(async move {
                let outcome = outcome(&address, text, allowed.starts_with("none")).await;
                let is_allowed = allowed.split('|').any(|allowed| allowed == outcome);
                (!is_allowed).then(|| format!("{outcome}, not {allowed}: {text:.200}"))
            });
            if is_alone {
                faults.extend(std::mem::take(&mut under_way).join_all().await);
            }
        }
        match under_way.join_next().await {
            Some(fault) => faults.push(fault.expect("no panic")),
            None => break,
        }
    }
    let faults: Vec<String> = faults.into_iter().flatten().collect();
    let faults = (faults.len(), faults.join("\n"));
    assert!(faults.0 == 0, "{} of {sent}:\n{}", faults.0, faults.1);
    assert!(sent >= 150, "only {sent} requests");
    let shown = format!("{sent} with an allowed outcome");
    figures::print("raw requests of HTTP/2", &shown);
}

/// The frames that a line of the table stands for.
fn frames(text: &str) -> Vec<u8> {
    if let Some(frames) = text.strip_prefix('@') {
        return frames.split(r"\n@").flat_map(one_frame).collect();
    }
    let text = text.replace("{GET}", GET).replace("{POST}", POST);
    let (fields, body) = match text.split_once(r"\n\n") {
        Some((fields, body)) => (fields, Some(unescape(body.as_bytes()))),
        None => (&*text, None),
    };
    let end = if body.is_some() { 0 } else { END_STREAM };
    let block = compress(fields);
    let mut pieces = block.chunks(LONGEST).peekable();
    let (mut bytes, mut kind, mut flags) = (Vec::new(), HEADERS, end);
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flags |= END_HEADERS;
        }
        bytes.extend(frame(kind, flags, 1, piece));
        (kind, flags) = (CONTINUATION, 0);
    }
    if let Some(body) = body {
        bytes.extend(frame(DATA, END_STREAM, 1, &body));
    }
    bytes
}

/// A frame written as its type, flags, stream and payload.
fn one_frame(text: &str) -> Vec<u8> {
    let mut parts = text.splitn(4, ' ');
    let mut number = || {
        let part = parts.next().unwrap_or_default();
        part.parse::<u8>()
            .unwrap_or_else(|_| panic!("a number in {text}"))
    };
    let (kind, flags, stream) = (number(), number(), number());
    let payload = parts.next().unwrap_or_default();
    let mut bytes = Vec::new();
    let mut rest = payload;
    while let Some((before, name, after)) = ["{GET}", "{POST}"].iter().find_map(|name| {
        let (before, after) = rest.split_once(name)?;
        Some((before, *name, after))
    }) {
        bytes.extend(unescape(before.as_bytes()));
        bytes.extend(compress(if name == "{GET}" { GET } else { POST }));
        rest = after;
    }
    bytes.extend(unescape(rest.as_bytes()));
    frame(kind, flags, stream.into(), &bytes)
}

/// Fields as literals without Huffman's code (RFC 7541, 6.2.2).
fn compress(fields: &str) -> Vec<u8> {
    let unfolded = unescape_repetitions(fields);
    let mut block = Vec::new();
    for field in unfolded.split(r"\n") {
        let (name, value) = field.split_once('=').unwrap_or_else(|| panic!("{field:?}"));
        block.push(0);
        for text in [name, value] {
            let text = unescape(text.as_bytes());
            integer(text.len(), &mut block);
            block.extend(text);
        }
    }
    block
}

/// Writes out `{text*N}` whose text has whole fields.
fn unescape_repetitions(fields: &str) -> String {
    let Some((before, rest)) = fields.split_once('{') else {
        return fields.to_owned();
    };
    let (repeated, after) = rest.split_once('}').expect("the end of a repetition");
    let (text, count) = repeated.rsplit_once('*').expect("a repetition");
    let text = text.repeat(count.parse().expect("a number"));
    format!("{before}{text}{after}")
}

/// An integer with a prefix of seven bits (RFC 7541, 5.1).
fn integer(value: usize, block: &mut Vec<u8>) {
    const PREFIX: usize = 127;
    let low = |value: usize| u8::try_from(value).expect("seven bits");
    if value < PREFIX {
        return block.push(low(value));
    }
    block.push(low(PREFIX));
    let mut rest = value - PREFIX;
    while rest >= 128 {
        block.push(low(rest % 128) | 128);
        rest /= 128;
    }
    block.push(low(rest));
}

/// The status in the first field of a response's block: an index, or three digits.
fn status(block: &[u8]) -> String {
    /// The statuses of the static table (RFC 7541, appendix A), from index 8.
    const STATIC: [&str; 7] = ["200", "204", "206", "304", "400", "404", "500"];
    let size_updates = block.iter().take_while(|byte| *byte >> 5 == 1).count();
    match &block[size_updates..] {
        [index @ 0x88..=0x8e, ..] => STATIC[usize::from(index - 0x88)].to_owned(),
        [0x48 | 0x08, 3, digits @ ..] => String::from_utf8_lossy(&digits[..3]).into_owned(),
        [0x48 | 0x08, 0x80..=0xff, code @ ..] => digits(code),
        other => format!("{other:02x?}"),
    }
}

/// Three digits in Huffman's code: 0 to 2 have five bits, all others six (RFC 7541, appendix B).
fn digits(code: &[u8]) -> String {
    let mut bits = code
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut read = |count: usize, first: u8| {
        bits.by_ref()
            .take(count)
            .fold(first, |value, bit| value << 1 | bit)
    };
    let digit = |_| {
        let five = read(5, 0);
        let digit = if five < 3 { five } else { read(1, five) - 0x16 };
        char::from(b'0' + digit)
    };
    (0..3).map(digit).collect()
}

/// What becomes of stream 1, and whether the request that follows is answered.
async fn outcome(address: &str, text: &str, is_next_enough: bool) -> String {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frames(text));
    let next = compress(r":method=GET\n:scheme=http\n:path=/nothing\n:authority=a");
    bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, NEXT, &next));
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let (mut reader, mut writer) = stream.split();
    let (mut first, mut is_next) = (None, false);
    let read = async {
        while !(is_next && (first.is_some() || is_next_enough)) {
            let Ok((kind, stream, payload)) = read_frame(&mut reader).await else {
                first.get_or_insert("close".to_owned());
                break;
            };
            match (kind, stream) {
                (HEADERS, NEXT) => is_next = status(&payload) == "404",
                (HEADERS, 1) => _ = first.get_or_insert(status(&payload)),
                (RST_STREAM, 1) => _ = first.get_or_insert("reset".to_owned()),
                (GOAWAY, _) => {
                    first = Some("goaway".to_owned());
                    break;
                }
                _ => {}
            }
        }
    };
    // A server may close before it has read everything.
    let exchange = async { tokio::join!(writer.write_all(&bytes), read) };
    let is_over = tokio::time::timeout(LIMIT, exchange).await.is_ok();
    let first = first.unwrap_or_else(|| "none".to_owned());
    match (is_over, is_next) {
        (false, _) => format!("{first}, then nothing"),
        (true, true) => format!("{first}+"),
        (true, false) => first,
    }
}

/// The type of the next frame, its stream and its payload.
async fn read_frame(reader: &mut ReadHalf<'_>) -> io::Result<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await?;
    let [a, b, c, kind, _, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    reader.read_exact(&mut payload).await?;
    Ok((kind, u32::from_be_bytes(stream), payload))
}

#[test]
fn status_of_a_response_is_read_in_each_form() {
    for (block, expected) in [
        (&[0x88][..], "200"),
        (&[0x20, 0x8d], "404"),
        (&[0x08, 3, b'4', b'0', b'5'], "405"),
        // 4, 2 and 2; 4, 3 and 1.
        (&[0x48, 0x82, 0b0110_1000, 0b0100_0010], "422"),
        (&[0x48, 0x83, 0b0110_1001, 0b1001_0000, 0b1111_1111], "431"),
    ] {
        assert_eq!(status(block), expected);
    }
}

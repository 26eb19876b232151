//! A component that uses as much of the host's memory and processor time as it can, and responds
//! with heads that no server should send. The request's path selects what it does.
//!
//! Paths that begin with `/buffered/` use `usher:service/buffered-handler`, all others
//! `wasi:http/incoming-handler`. A size in a path is a number of bytes, a count is a number of
//! calls.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package usher:greedy;
            world greedy {
                import usher:database/database@0.2.0;
                import usher:database/streaming@0.2.0;
                import wasi:clocks/monotonic-clock@0.2.12;
                import wasi:random/random@0.2.12;
                export wasi:http/incoming-handler@0.2.12;
                export usher:service/buffered-handler@0.2.0;
            }
        ",
        world: "usher:greedy/greedy",
        generate_all,
    });
    use super::Greedy;
    export!(Greedy);
}

use std::hint::spin_loop;

use bindings::exports::usher::service::buffered_handler as buffered;
use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::usher::database::database::query;
use bindings::usher::database::types::Value;
use bindings::wasi::clocks::monotonic_clock;
use bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};
use bindings::wasi::random::random::get_random_bytes;

struct Greedy;

/// The parts of a path, among them numbers.
struct Path<'a>(Vec<&'a str>);

impl Path<'_> {
    fn number(&self, at: usize) -> usize {
        self.text(at).parse().unwrap_or_default()
    }

    fn text(&self, at: usize) -> &str {
        self.0.get(at).copied().unwrap_or_default()
    }

    /// Header fields in hexadecimal digits, one `name:value` per line.
    fn fields(&self, at: usize) -> Vec<(String, Vec<u8>)> {
        let digits = self.text(at).as_bytes();
        let bytes: Vec<u8> = digits
            .chunks(2)
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        let lines = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .map(|line| {
                let colon = line
                    .iter()
                    .position(|byte| *byte == b':')
                    .unwrap_or(line.len());
                let value = line.get(colon + 1..).unwrap_or_default().to_vec();
                (String::from_utf8_lossy(&line[..colon]).into_owned(), value)
            })
            .collect()
    }
}

impl Guest for Greedy {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let path = Path(target.split('/').skip(1).collect());
        let (first, second) = (path.number(1), path.number(2));
        match path.text(0) {
            // Each of these allocates something repeatedly and responds afterwards.
            "methods" => {
                let held = times(first, || {
                    let made = OutgoingRequest::new(Fields::new());
                    made.set_method(&Method::Other("M".repeat(second)))
                        .expect("a method");
                    made
                });
                answer(out, 200, &held.len().to_string());
            }
            "targets" => {
                let held = times(first, || {
                    let made = OutgoingRequest::new(Fields::new());
                    made.set_path_with_query(Some(&format!("/{}", "p".repeat(second))))
                        .ok();
                    made
                });
                answer(out, 200, &held.len().to_string());
            }
            "schemes" => {
                let held = times(first, || {
                    let made = OutgoingRequest::new(Fields::new());
                    made.set_scheme(Some(&Scheme::Other("s".repeat(second))))
                        .ok();
                    made
                });
                answer(out, 200, &held.len().to_string());
            }
            "authorities" => {
                let held = times(first, || {
                    let made = OutgoingRequest::new(Fields::new());
                    made.set_authority(Some(&"a".repeat(second))).ok();
                    made
                });
                answer(out, 200, &held.len().to_string());
            }
            "fields" => {
                let held = times(first, || {
                    let made = Fields::new();
                    made.append("x", &vec![b'v'; second]).ok();
                    made
                });
                answer(out, 200, &held.len().to_string());
            }
            // Many fields in each set, each of one byte.
            "entries" => {
                let held = times(first, || {
                    let made = Fields::new();
                    for _ in 0..second {
                        if made.append("x", b"").is_err() {
                            break;
                        }
                    }
                    made
                });
                answer(out, 200, &held.len().to_string());
            }
            // Copies of one set, each of which is changed.
            "clones" => {
                let one = Fields::new();
                one.append("x", &vec![b'v'; second]).expect("a field");
                let held = times(first, || {
                    let copy = one.clone();
                    copy.append("y", b"1").ok();
                    copy
                });
                answer(out, 200, &held.len().to_string());
            }
            "responses" => {
                let held = times(first, || {
                    let fields = Fields::new();
                    fields.append("x", &vec![b'v'; second]).ok();
                    OutgoingResponse::new(fields)
                });
                answer(out, 200, &held.len().to_string());
            }
            "bodies" => {
                let held = times(first, || {
                    let made = OutgoingRequest::new(Fields::new());
                    let body = made.body().expect("the first body");
                    let stream = body.write().expect("the first stream");
                    let mut left = second;
                    while left > 0 {
                        let room = stream.check_write().unwrap_or_default();
                        let piece = left.min(usize::try_from(room).unwrap_or_default());
                        if piece == 0 || stream.write(&vec![b'b'; piece]).is_err() {
                            break;
                        }
                        left -= piece;
                    }
                    (stream, body, made)
                });
                answer(out, 200, &held.len().to_string());
                // A stream is dropped before its body.
                for (stream, body, made) in held {
                    drop(stream);
                    drop(body);
                    drop(made);
                }
            }
            "pollables" => {
                let held = times(first, || monotonic_clock::subscribe_duration(1 << 50));
                answer(out, 200, &held.len().to_string());
            }
            // The same, but dropped each time, which may continue for ever.
            "one-after-another" => {
                for _ in 0..first {
                    let made = OutgoingRequest::new(Fields::new());
                    made.set_method(&Method::Other("M".repeat(second)))
                        .expect("a method");
                    made.set_method(&Method::Other("N".repeat(second)))
                        .expect("a method");
                }
                answer(out, 200, "done");
            }
            "random" => {
                let mut total = 0;
                for _ in 0..first {
                    total += get_random_bytes(second as u64).len();
                }
                answer(out, 200, &total.to_string());
            }
            "parameter" => {
                let result = query("SELECT $1", &[Value::Text("x".repeat(first))]);
                answer(
                    out,
                    200,
                    &format!("{:?}", result.map(|rows| rows.rows.len())),
                );
            }
            "statement" => {
                let result = query(&"x".repeat(first), &[]);
                answer(
                    out,
                    200,
                    &format!("{:?}", result.map(|rows| rows.rows.len())),
                );
            }
            "error-text" => {
                let error = ErrorCode::InternalError(Some("e\n".repeat(first / 2)));
                ResponseOutparam::set(out, Err(error));
            }
            // A statement that fails, and a response that reports the failure.
            "fault" => {
                let failed = query(
                    "SELECT secret FROM missing WHERE a = 'secret' OR b = 4711",
                    &[],
                );
                answer(
                    out,
                    500,
                    if failed.is_err() {
                        "failed"
                    } else {
                        "did not fail"
                    },
                );
            }
            // A short read, as an ordinary request makes.
            "select" => {
                let rows = query("SELECT 1", &[]).expect("a row").rows;
                answer(out, 200, &rows.len().to_string());
            }
            // Ends neither by itself nor by an error.
            "calls" => {
                while query("SELECT 1", &[]).is_ok() {}
                answer(out, 500, "a call failed");
            }
            "status" => answer(out, u16::try_from(first).unwrap_or_default(), ""),
            "panic" => panic!("as asked"),
            "trap" => core::arch::wasm32::unreachable(),
            "memory" => {
                let mut held = Vec::new();
                loop {
                    held.push(vec![1_u8; 1 << 20]);
                }
            }
            "stack" => {
                fn deeper(depth: u64) -> u64 {
                    std::hint::black_box(deeper(depth + 1) + depth)
                }
                deeper(0);
            }
            // A response that begins and does not end, while its guest waits.
            "unfinished" => {
                let response = OutgoingResponse::new(Fields::new());
                let body = response.body().expect("the first body");
                ResponseOutparam::set(out, Ok(response));
                let stream = body.write().expect("the first stream");
                stream.blocking_write_and_flush(b"begun").ok();
                monotonic_clock::subscribe_duration(1 << 50).block();
            }
            "spin" => spin(),
            // Runs for this many milliseconds of the clock.
            "spin-for" => {
                let until = monotonic_clock::now() + first as u64 * 1_000_000;
                while monotonic_clock::now() < until {
                    spin_loop();
                }
                answer(out, 200, "done");
            }
            "wait" => {
                monotonic_clock::subscribe_duration(first as u64 * 1_000_000).block();
                answer(out, 200, "done");
            }
            // A response without a body, or with one, and then no end.
            "answer-then-spin" => {
                let response = OutgoingResponse::new(Fields::new());
                ResponseOutparam::set(out, Ok(response));
                spin();
            }
            "body-then-spin" => {
                answer(out, 200, "done");
                spin();
            }
            // Pieces of 64 KiB, each after some iterations of a loop.
            "laborious" => {
                let response = OutgoingResponse::new(Fields::new());
                let body = response.body().expect("the first body");
                ResponseOutparam::set(out, Ok(response));
                let stream = body.write().expect("the first stream");
                for _ in 0..first {
                    for turn in 0..second {
                        std::hint::black_box(turn);
                    }
                    for _ in 0..16 {
                        if stream.blocking_write_and_flush(&[b'.'; 4096]).is_err() {
                            return;
                        }
                    }
                }
                drop(stream);
                OutgoingBody::finish(body, None).ok();
            }
            "stream" => {
                let response = OutgoingResponse::new(Fields::new());
                let body = response.body().expect("the first body");
                ResponseOutparam::set(out, Ok(response));
                let stream = body.write().expect("the first stream");
                for _ in 0..first / 4096 {
                    if stream.blocking_write_and_flush(&[b'.'; 4096]).is_err() {
                        return;
                    }
                }
                drop(stream);
                OutgoingBody::finish(body, None).expect("a complete body");
            }
            // `/head/STATUS/LENGTH/FIELDS`: a response with this head and a body of this length;
            // without a body if it is empty.
            "head" => {
                let fields = Fields::new();
                for (name, value) in path.fields(3) {
                    if let Err(error) = fields.append(&name, &value) {
                        return answer(out, 422, &format!("{error:?}"));
                    }
                }
                let response = OutgoingResponse::new(fields);
                if response
                    .set_status_code(u16::try_from(first).unwrap_or_default())
                    .is_err()
                {
                    return answer(out, 422, "the status");
                }
                if path.text(2).is_empty() {
                    return ResponseOutparam::set(out, Ok(response));
                }
                let Ok(body) = response.body() else {
                    return answer(out, 422, "the body");
                };
                ResponseOutparam::set(out, Ok(response));
                let stream = body.write().expect("the first stream");
                if second > 0
                    && stream
                        .blocking_write_and_flush(&vec![b'b'; second])
                        .is_err()
                {
                    return;
                }
                drop(stream);
                OutgoingBody::finish(body, None).ok();
            }
            _ => answer(out, 200, "ok"),
        }
    }
}

impl buffered::Guest for Greedy {
    fn header_fields() -> Vec<buffered::HeaderField> {
        Vec::new()
    }

    fn handle(request: buffered::Request) -> Option<buffered::Response> {
        let path = Path(
            request
                .target
                .strip_prefix("/buffered/")?
                .split('/')
                .collect(),
        );
        let response = |status, fields, body| buffered::Response {
            status,
            content_type: None,
            etag: None,
            fields,
            body,
        };
        Some(match path.text(0) {
            "body" => response(200, Vec::new(), vec![b'w'; path.number(1)]),
            "header" => response(
                200,
                vec![("x".into(), "v".repeat(path.number(1)))],
                Vec::new(),
            ),
            "fault" => {
                query(
                    "SELECT secret FROM missing WHERE a = 'secret' OR b = 4711",
                    &[],
                )
                .ok();
                response(500, Vec::new(), Vec::new())
            }
            // As `/head/`.
            "head" => {
                let fields = path.fields(3).into_iter();
                let fields = fields
                    .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()));
                let status = u16::try_from(path.number(1)).unwrap_or_default();
                response(status, fields.collect(), vec![b'b'; path.number(2)])
            }
            // What the request says about the client's connection.
            "origin" => {
                let scheme = match request.scheme {
                    buffered::Scheme::Http => "http",
                    buffered::Scheme::Https => "https",
                };
                let authority = request.authority.unwrap_or_default();
                let origin = format!("{scheme}://{authority}");
                response(200, Vec::new(), origin.into_bytes())
            }
            "spin" => spin(),
            _ => response(200, Vec::new(), b"ok".to_vec()),
        })
    }
}

fn times<T>(count: usize, make: impl FnMut() -> T) -> Vec<T> {
    std::iter::repeat_with(make).take(count).collect()
}

fn spin() -> ! {
    loop {
        spin_loop();
    }
}

fn answer(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    if response.set_status_code(status).is_err() {
        response.set_status_code(422).expect("a status code");
    }
    let body = response.body().expect("the first body");
    ResponseOutparam::set(out, Ok(response));
    if !text.is_empty() {
        let stream = body.write().expect("the first stream");
        stream
            .blocking_write_and_flush(text.as_bytes())
            .expect("a client that reads");
    }
    OutgoingBody::finish(body, None).expect("a complete body");
}

//! A component that misbehaves as its request's path says, with an open transaction in which it has
//! written.
//!
//! Every path except `/sender`, `/table`, `/count`, `/spin`, `/slow-alone`, `/openapi.json` and the
//! giants inserts a row in a transaction first.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package usher:hostile;
            world hostile {
                import usher:database/database@0.2.0;
                import usher:database/streaming@0.2.0;
                export wasi:http/incoming-handler@0.2.12;
            }
        ",
        world: "usher:hostile/hostile",
        generate_all,
    });
    use super::Hostile;
    export!(Hostile);
}

#[path = "../../respond.rs"]
mod respond;

use std::cell::RefCell;

use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::usher::database::database::{
    Isolation, SqlDialect, Transaction, dialect, execute, query,
};
use bindings::usher::database::types::Value;
use bindings::wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use bindings::wasi::io::streams::OutputStream;
use respond::respond;

struct Hostile;

/// The routes that the component declares; it has others.
#[used]
#[unsafe(link_section = "usher:routes")]
static ROUTES: [u8; 47] = *b"GET /items/{id}\nPOST /commit\nGET /openapi.json\n";

thread_local! {
    /// Transactions kept beyond their request.
    static KEPT: RefCell<Vec<Transaction>> = const { RefCell::new(Vec::new()) };
}

impl Guest for Hostile {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        match path.as_str() {
            // Who sent the request, as the host says, and what else it was told of that.
            "/sender" => {
                let fields = request.headers().entries().into_iter();
                let about =
                    fields.filter(|(name, _)| name.starts_with("usher") || name == "authorization");
                let mut lines: Vec<String> = about
                    .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(&value)))
                    .collect();
                lines.sort();
                return respond(out, 200, &lines.join("\n"));
            }
            "/table" => {
                execute("CREATE TABLE notes (body text)", &[]).expect("a table");
                return respond(out, 200, "");
            }
            "/count" => {
                let rows = query("SELECT count(*) FROM notes", &[])
                    .expect("a count")
                    .rows;
                let Some([Value::Integer(count)]) = rows.first().map(Vec::as_slice) else {
                    panic!("a number")
                };
                return respond(out, 200, &count.to_string());
            }
            // Without a transaction.
            "/slow-alone" => {
                let result = query(slow(), &[]);
                return respond(out, 504, &format!("{:?}", result.err()));
            }
            // One value of 300 MB, as large as a client can make it in one call.
            "/giant" => {
                let result = query("SELECT repeat('x', 300000000)", &[]).map(drop);
                return respond(out, 500, &format!("{result:?}"));
            }
            // An error that repeats its input: 50 MB, because PostgreSQL is slow with more.
            "/giant-error" => {
                let result = query("SELECT repeat('x', 50000000)::bigint", &[]).map(drop);
                return respond(out, 500, &format!("{result:?}"));
            }
            "/openapi.json" => return describe(out, false),
            "/openapi.json?cut" => return describe(out, true),
            // One of the declared routes.
            path if path.starts_with("/items/") => core::arch::wasm32::unreachable(),
            // As `/loop`, without a call to the database.
            "/spin" => loop {
                core::hint::spin_loop();
            },
            _ => {}
        }
        let transaction = match Transaction::begin(Isolation::ReadCommitted, false) {
            Ok(transaction) => transaction,
            Err(error) => return respond(out, 503, &format!("{error:?}")),
        };
        if let Err(error) = transaction.execute(
            "INSERT INTO notes VALUES ($1)",
            &[Value::Text(path.clone())],
        ) {
            return respond(out, 503, &format!("{error:?}"));
        }
        match path.as_str() {
            "/commit" => {
                Transaction::commit(transaction).expect("it commits");
                respond(out, 200, "");
            }
            // Reports what is known of the outcome, as a real service would.
            "/commit-and-report" => match Transaction::commit(transaction) {
                Ok(()) => respond(out, 200, ""),
                Err(error) => respond(out, 503, &format!("{error:?}")),
            },
            "/rollback" => {
                Transaction::rollback(transaction).expect("it rolls back");
                respond(out, 200, "");
            }
            "/drop" => {
                drop(transaction);
                respond(out, 200, "");
            }
            "/answer-first" => {
                respond(out, 200, "");
                drop(transaction);
            }
            "/keep" => {
                KEPT.with_borrow_mut(|kept| kept.push(transaction));
                respond(out, 200, "");
            }
            "/trap" => core::arch::wasm32::unreachable(),
            "/loop" => loop {
                core::hint::spin_loop();
            },
            "/memory" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(vec![1_u8; 1 << 20]);
                }
            }
            "/stack" => {
                fn deeper(depth: u64) -> u64 {
                    std::hint::black_box(deeper(depth + 1) + depth)
                }
                deeper(0);
            }
            "/no-answer" => drop(transaction),
            "/slow-statement" => {
                let result = transaction.query(slow(), &[]);
                respond(out, 504, &format!("{:?}", result.err()));
            }
            // Responds that it has written before the long part begins, so that a client knows when
            // to disconnect.
            "/begun-slow-statement" => {
                let _begun = begin(out);
                drop(transaction.query(slow(), &[]));
            }
            "/begun-loop" => {
                let _begun = begin(out);
                loop {
                    core::hint::spin_loop();
                }
            }
            "/begun-trap" => {
                let _begun = begin(out);
                core::arch::wasm32::unreachable()
            }
            // Sends more than the buffers on the way hold, so that it continues only as the client
            // reads.
            "/flood" => {
                let begun = begin(out);
                for _ in 0..(256 << 20) / 4096 {
                    begun
                        .0
                        .blocking_write_and_flush(&[b'.'; 4096])
                        .expect("a client that reads");
                }
            }
            // Fails after its client has read more than all buffers hold.
            "/flood-trap" => {
                let begun = begin(out);
                for _ in 0..(16 << 20) / 4096 {
                    begun
                        .0
                        .blocking_write_and_flush(&[b'.'; 4096])
                        .expect("a client that reads");
                }
                core::arch::wasm32::unreachable()
            }
            other => respond(out, 404, other),
        }
    }
}

/// A statement that runs until it is cancelled.
fn slow() -> &'static str {
    match dialect() {
        SqlDialect::Postgres => "SELECT pg_sleep(600)",
        SqlDialect::Sqlite => {
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \
                100000000000) SELECT count(*) FROM n"
        }
    }
}

/// Sends the head of a response and the first word of its body. The body stays open as long as the
/// returned values are kept; the stream is first, because it must be dropped before its body.
fn begin(out: ResponseOutparam) -> (OutputStream, OutgoingBody) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the first body");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the first stream");
    stream
        .blocking_write_and_flush(b"begun")
        .expect("a client that reads");
    (stream, body)
}

/// Streams an OpenAPI description byte by byte, and fails before its end if it is to be cut.
fn describe(out: ResponseOutparam, is_cut: bool) {
    let json = ("content-type".to_owned(), b"application/json".to_vec());
    let fields = Fields::from_list(&[json]).expect("a valid field");
    let response = OutgoingResponse::new(fields);
    let body = response.body().expect("the first body");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the first stream");
    let description = r#"{"openapi":"3.1.0","paths":{"/items/{id}":{"get":{"responses":{}}}}}"#;
    for byte in description.bytes() {
        stream
            .blocking_write_and_flush(&[byte])
            .expect("a client that reads");
    }
    if is_cut {
        // More than the host buffers, so that it has begun to read.
        for _ in 0..64 {
            stream
                .blocking_write_and_flush(&[b' '; 4096])
                .expect("a client that reads");
        }
        core::arch::wasm32::unreachable();
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("a complete body");
}

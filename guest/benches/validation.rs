//! The cost of parsing an address and a body, natively:
//! `cargo bench -p usher-guest --bench validation`.
//!
//! A plain ASCII address must take less than 2 µs.

use std::fmt;

use divan::{Bencher, black_box, counter::BytesCount};
use usher_guest::api::body::Body;
use usher_guest::compat::email::Email;

fn main() {
    divan::main();
}

/// An input, and its name in the report.
struct Input(&'static str, &'static str);

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

const ADDRESSES: &[Input] = &[
    Input("plain", "john.doe+news@mail.example.com"),
    Input("upper-case domain", "John.Doe@Mail.EXAMPLE.com"),
    Input("with a name", "John Doe <john.doe@example.com>"),
    Input("beyond ASCII", "josé@bücher.example"),
    Input("Punycode", "john@xn--bcher-kva.example"),
    Input("refused", "john.doe@localhost"),
];

#[divan::bench(args = ADDRESSES)]
fn email(bencher: Bencher<'_, '_>, Input(_, text): &Input) {
    bencher.bench(|| Email::parse(black_box(*text)).is_ok());
}

/// Texts of the greatest length that is parsed, with work for every character.
const HOSTILE: &[&str] = &["a", "\u{301}", "\"", "é.", "@[", "한", "x\u{5d0}.", "<"];

#[divan::bench(args = HOSTILE)]
fn hostile_email(bencher: Bencher<'_, '_>, piece: &&str) {
    let characters = piece.chars().count();
    let local = format!("x{}@example.com", piece.repeat(2000 / characters));
    let domain = format!("x@x{}.com", piece.repeat(2000 / characters));
    bencher
        .counter(BytesCount::new(local.len() + domain.len()))
        .bench(|| {
            let local = Email::parse(black_box(local.as_str())).is_ok();
            local | Email::parse(black_box(domain.as_str())).is_ok()
        });
}

const BODIES: &[Input] = &[
    Input(
        "plain",
        r#"{"name":"John Doe","email":"john.doe@example.com"}"#,
    ),
    Input(
        "spaced",
        "{\n  \"name\": \"John Doe\",\n  \"email\": \"john.doe@example.com\"\n}\n",
    ),
    Input(
        "escaped",
        r#"{"name":"J\u00fcrgen \ud83d\ude00","email":"john.doe@EXAMPLE.com"}"#,
    ),
    Input(
        "more fields",
        concat!(
            r#"{"id":7,"name":"John Doe","tags":["a","b",{"c":1.5e3}],"#,
            r#""email":"john.doe@example.com","on":true}"#
        ),
    ),
    Input("refused", r#"{"name":null,"email":"john.doe"}"#),
];

#[divan::bench(args = BODIES)]
fn body(bencher: Bencher<'_, '_>, Input(_, text): &Input) {
    bencher.counter(BytesCount::of_str(*text)).bench(|| {
        let body = Body::new(black_box(text.as_bytes()), Some(b"application/json"));
        body.is_ok_and(|body| body.new_user().is_ok())
    });
}

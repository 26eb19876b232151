//! The messages of both directions, in pieces of any size.

use std::sync::Arc;

use bytes::BytesMut;

use super::backend::Backend;
use super::format::{CHANGED, put_header};
use super::frontend::{Frontend, prefix};
use super::unnamed::Unnamed;
use super::watch::Watch;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_header(kind, body.len(), &mut out);
    out.extend_from_slice(body);
    out.to_vec()
}

const STARTUP: &[u8] = b"\0\0\0\x08\0\x03\0\0";

fn sent(stream: &[u8], piece: usize, mut unnamed: Option<&mut Unnamed>) -> Vec<u8> {
    let (mut frontend, mut out) = (Frontend::default(), BytesMut::new());
    for bytes in stream.chunks(piece) {
        frontend.follow(bytes, unnamed.as_deref_mut(), &mut out);
    }
    out.to_vec()
}

fn named(name: &[u8]) -> Vec<u8> {
    [
        STARTUP,
        &message(b'P', &[name, b"\0SELECT $1\0\0\0"].concat()),
        &message(b'D', &[b"S", name, b"\0"].concat()),
        &message(b'S', b""),
        &message(b'B', &[b"\0", name, b"\0\0\0\0\0\0\0"].concat()),
        &message(b'D', b"Ps1\0"),
        &message(b'E', b"\0\0\0\0\0"),
        &message(b'S', b""),
        &message(b'Q', b"SELECT 's1'\0"),
        &message(b'C', &[b"S", name, b"\0"].concat()),
    ]
    .concat()
}

#[test]
fn statement_name_in_pieces_of_any_size_gets_process_prefix() {
    let expected = named(&[prefix(), b"s1"].concat());
    for piece in 1..=expected.len() {
        assert_eq!(
            sent(&named(b"s1"), piece, None),
            expected,
            "in pieces of {piece}"
        );
    }
    assert_eq!(
        sent(&named(b""), 1000, None),
        named(b""),
        "the unnamed statement stays unnamed"
    );
    assert_eq!(prefix().len(), 17);
}

/// A description of columns with these names and types.
fn description(columns: &[(&str, u32)]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len())
        .expect("few")
        .to_be_bytes()
        .to_vec();
    for (name, kind) in columns {
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(b"\0\0\0\0\0\0\0");
        body.extend_from_slice(&kind.to_be_bytes());
        body.extend_from_slice(&[0; 8]);
    }
    message(b'T', &body)
}

fn passed_on(stream: &[u8], piece: usize, unnamed: &mut Unnamed) -> Vec<u8> {
    let (mut backend, mut out) = (Backend::new(Arc::default()), BytesMut::new());
    for bytes in stream.chunks(piece) {
        backend.filter(bytes, unnamed, &mut out);
    }
    out.to_vec()
}

/// A connection that has prepared `s1` and has sent its execution.
fn prepared(columns: &[(&str, u32)]) -> Unnamed {
    let mut unnamed = Unnamed::default();
    let parse = message(b'P', b"s1\0SELECT $1\0\0\0");
    let describe = message(b'D', b"Ss1\0");
    let sync = message(b'S', b"");
    let out = sent(
        &[STARTUP, &parse, &describe, &sync].concat(),
        7,
        Some(&mut unnamed),
    );
    let unnamed_parse = message(b'P', b"\0SELECT $1\0\0\0");
    assert_eq!(
        out,
        [STARTUP, &unnamed_parse, &message(b'D', b"S\0"), &sync].concat()
    );
    let answer = [
        message(b'1', b""),
        message(b't', b"\0\x01\0\0\0\x17"),
        description(columns),
        message(b'Z', b"I"),
    ]
    .concat();
    assert_eq!(passed_on(&answer, 5, &mut unnamed), answer);
    let bind = message(b'B', b"p7\0s1\0\0\0\0\0\0\0");
    let execute = message(b'E', b"p7\0\0\0\0\0");
    let out = sent(
        &[STARTUP, &bind, &execute, &sync].concat(),
        3,
        Some(&mut unnamed),
    );
    // With the parameter types that the server has reported.
    let again = message(b'P', b"\0SELECT $1\0\0\x01\0\0\0\x17");
    let expected = [
        STARTUP,
        &again,
        &message(b'B', b"p7\0\0\0\0\0\0\0\0"),
        &message(b'D', b"Pp7\0"),
        &execute,
        &sync,
    ]
    .concat();
    assert_eq!(out, expected);
    unnamed
}

#[test]
fn statement_behind_pooler_is_sent_again_unnoticed_by_library() {
    let columns = [("id", 20), ("name", 25)];
    let answer = [
        message(b'1', b""),
        message(b'2', b""),
        description(&columns),
        message(b'D', b"\0\0"),
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"I"),
    ];
    let expected = [&answer[1][..], &answer[3], &answer[4], &answer[5]].concat();
    for piece in 1..100 {
        let mut unnamed = prepared(&columns);
        let passed = passed_on(&answer.concat(), piece, &mut unnamed);
        assert_eq!(passed, expected, "in pieces of {piece}");
        assert!(unnamed.is_idle());
    }
}

#[test]
fn result_with_changed_columns_is_replaced_by_error() {
    for columns in [&[("id", 20), ("name", 25)][..], &[("id", 23)], &[]] {
        let mut unnamed = prepared(&[("id", 20)]);
        let answer = [
            message(b'1', b""),
            message(b'2', b""),
            description(columns),
            message(b'D', b"\0\0"),
            message(b'N', b"notice"),
            message(b'C', b"SELECT 1\0"),
            message(b'Z', b"I"),
            message(b'E', b"SFATAL\0\0"),
        ];
        let fields = format!("SERROR\0VERROR\0C0A000\0M{CHANGED}\0\0");
        let error = message(b'E', fields.as_bytes());
        let expected = [&answer[1][..], &error, &answer[4], &answer[6], &answer[7]].concat();
        assert_eq!(passed_on(&answer.concat(), 11, &mut unnamed), expected);
    }
}

#[test]
fn error_of_statement_sent_again_passes_unchanged() {
    let mut unnamed = prepared(&[("id", 20)]);
    let answer = [message(b'E', b"SERROR\0\0"), message(b'Z', b"E")].concat();
    assert_eq!(passed_on(&answer, 4, &mut unnamed), answer);
    assert!(unnamed.is_idle());
}

#[test]
fn reported_setting_marks_only_sealed_session_as_changed() {
    let watch = Arc::new(Watch::default());
    let mut backend = Backend::new(Arc::clone(&watch));
    let report = message(b'S', b"TimeZone\0UTC\0");
    let start = [
        report.clone(),
        message(b'K', b"\0\0\x12\x34abcd"),
        message(b'Z', b"I"),
    ]
    .concat();
    for byte in start.chunks(1) {
        backend.observe(byte);
    }
    assert_eq!(watch.server_process(), 0x1234);
    watch.seal();
    backend.observe(&message(b'D', b"S\0\0\0\x05S"));
    assert!(!watch.is_changed());
    backend.observe(&report);
    assert!(watch.is_changed());
}

//! Ids: nothing panics. Every integer that Rust parses gives the same value here, with any padding.

#![no_main]

use libfuzzer_sys::fuzz_target;
use usher_guest::compat::integer::{Integer, parse};

fuzz_target!(|text: &str| {
    let id = parse(text);
    if let Ok(value) = text.parse::<i64>() {
        assert_eq!(id, Some(Integer::Fits(value)));
    }
    let Some(id) = id else {
        return;
    };
    assert_eq!(parse(&format!("\u{2003}{text}\n")), Some(id));
    if let Integer::Fits(value) = id {
        assert_eq!(parse(&value.to_string()), Some(id));
        assert_eq!(parse(&format!("{value}.0")), Some(id));
    }
});

//! Addresses: nothing panics. The normalised form of an accepted address is accepted unchanged, is
//! within the length limit, and is the same with white space around the input.

#![no_main]

use libfuzzer_sys::fuzz_target;
use usher_guest::compat::email::Email;

fuzz_target!(|text: &str| {
    let Ok(email) = Email::parse(text) else {
        return;
    };
    let normal = email.as_str();
    let again = Email::parse(normal).map(Email::into_owned);
    assert_eq!(again.as_ref().map(Email::as_str), Ok(normal));
    assert!(normal.len() <= 254, "{normal} is too long");
    assert!(!normal.contains(['\r', '\n', '\0', ' ']), "{normal:?}");
    let padded = Email::parse(format!(" {text}\t"));
    // An input of 2048 characters has no room for white space.
    if text.chars().count() <= 2046 {
        assert_eq!(padded.as_ref().map(Email::as_str), Ok(normal));
    }
});

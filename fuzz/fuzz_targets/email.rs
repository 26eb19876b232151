//! Addresses: nothing panics; the normal form of an accepted one is accepted as it is, is no longer than an address may be,
//! and is the same with white space around it.

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
    // At the limit of 2048 characters there is no room for more.
    if text.chars().count() <= 2046 {
        assert_eq!(padded.as_ref().map(Email::as_str), Ok(normal));
    }
});

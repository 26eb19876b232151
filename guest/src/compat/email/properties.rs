//! Properties of every address, tested on generated ones.

use proptest::prelude::*;

use super::plain::{self, Verdict};
use super::{Email, address};

/// Texts that are addresses, or nearly so.
fn addresses() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => "[a-z0-9]{1,6}",
        2 => "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,6}",
        1 => "[a-zA-ZßéÅſKøłΣς日本한글אבابज\u{301}\u{323}\u{200D}·٠]{1,4}",
        1 => "(?i:info|www|postmaster|newſ)",
    ];
    let local = prop::collection::vec(word, 1..3).prop_map(|words| words.join("."));
    let label = prop_oneof![
        4 => "[a-z0-9]{1,6}",
        2 => "[A-Za-z0-9][A-Za-z0-9-]{0,6}[a-z]",
        1 => "[a-zA-ZßéÅſKøłΣς日本한글ज\u{301}]{1,4}",
        1 => "[אבג]{1,4}|[ابج]{1,4}[0-9]?|[アイ]{1,3}・",
        1 => "(xn--bcher-kva|XN--STRAE-OQA|xn--fiq228c|Xn--[a-z0-9]{2,6})",
    ];
    let top = prop_oneof![
        6 => "com|ORG|De|example",
        1 => "[a-z]{1,4}|рф|xn--p1ai|中国",
        1 => "(?i:test|local|onion)|c0",
    ];
    let dot = prop_oneof![6 => Just("."), 1 => Just("。"), 1 => Just("．")];
    let domain = (prop::collection::vec((label, dot), 1..3), top).prop_map(|(labels, top)| {
        let labels = labels.into_iter().map(|(label, dot)| label + dot);
        labels.collect::<String>() + &top
    });
    let around = prop_oneof![
        6 => Just(("", "")),
        1 => Just((" ", "\t")),
        1 => Just(("Ann Bee <", ">")),
        1 => Just(("\"Ann, \\\"B\" <", "> ")),
    ];
    (around, local, domain)
        .prop_map(|((before, after), local, domain)| format!("{before}{local}@{domain}{after}"))
}

/// ASCII texts for the fast path.
fn plain_addresses() -> impl Strategy<Value = String> {
    concat!(
        "(([A-Za-z0-9!+/_-]{1,6}\\.?){1,3}|(?i:info|www))@",
        "([A-Za-z0-9][A-Za-z0-9-]{0,6}\\.){1,3}([a-z]{2,4}|ORG|[tT]est|c0)",
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2048,
        max_global_rejects: 65536,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn normal_form_of_accepted_address_parses_to_itself(text in addresses()) {
        let email = Email::parse(text.as_str());
        prop_assume!(email.is_ok());
        let normal = email.map(Email::into_owned);
        let again = normal.as_ref().map_or("", Email::as_str);
        prop_assert_eq!(&Email::parse(again), &normal);
    }

    #[test]
    fn address_accepted_by_fast_path_is_accepted_by_full_rules_alike(text in plain_addresses()) {
        let fast = match plain::check(&text) {
            Verdict::Normal => Some(text.clone()),
            Verdict::Normalised(email) => Some(email),
            Verdict::Unsure => None,
        };
        prop_assume!(fast.is_some());
        prop_assert_eq!(address::normalise(&text).ok(), fast);
    }

    #[test]
    fn arbitrary_text_parses_without_panic(text in any::<String>(), at in any::<String>()) {
        let text = format!("{text}@{at}.com");
        if let Ok(email) = Email::parse(text.as_str()) {
            let again = Email::parse(email.as_str()).map(Email::into_owned);
            prop_assert_eq!(again, Ok(email.clone().into_owned()));
        }
    }
}

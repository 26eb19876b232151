//! A component that imports interfaces of WASI that are still drafts, `wasi:logging` and
//! `wasi:config` in each of its versions, and does as its request's path says.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package usher:drafts;
            world drafts {
                import wasi:logging/logging@0.1.0-draft;
                import wasi:config/store@0.2.0-rc.1;
                import wasi:config/store@0.2.0-draft;
                import wasi:config/store@0.2.0-draft-2024-09-27;
                import wasi:config/runtime@0.2.0-draft;
                export wasi:http/incoming-handler@0.2.12;
            }
            package wasi:config@0.2.0-draft {
                interface store {
                    variant error { upstream(string), io(string) }
                    get: func(key: string) -> result<option<string>, error>;
                    get-all: func() -> result<list<tuple<string, string>>, error>;
                }
                interface runtime {
                    variant config-error { upstream(string), io(string) }
                    get: func(key: string) -> result<option<string>, config-error>;
                    get-all: func() -> result<list<tuple<string, string>>, config-error>;
                }
            }
            package wasi:config@0.2.0-draft-2024-09-27 {
                interface store {
                    variant error { upstream(string), io(string) }
                    get: func(key: string) -> result<option<string>, error>;
                    get-all: func() -> result<list<tuple<string, string>>, error>;
                }
            }
        ",
        world: "usher:drafts/drafts",
        generate_all,
    });
    use super::Drafts;
    export!(Drafts);
}

#[path = "../../respond.rs"]
mod respond;

use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::wasi::http::types::{IncomingRequest, ResponseOutparam};
use bindings::wasi::logging::logging::{Level, log};
use bindings::wasi::{config0_2_0_draft, config0_2_0_draft_2024_09_27, config0_2_0_rc_1};
use respond::respond;

struct Drafts;

impl Guest for Drafts {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        drop(request);
        let text = run(&path);
        respond(out, 200, &text);
    }
}

fn run(path: &str) -> String {
    match path {
        "/levels" => {
            log(Level::Trace, "steps", "a step");
            log(Level::Debug, "steps", "a detail");
            log(Level::Info, "orders", "an order of\ntwo lines");
            log(Level::Warn, "", "a line without a context");
            log(Level::Error, "orders", "a failure");
            log(Level::Critical, "orders", "the end");
        }
        "/long" => log(Level::Info, &"c".repeat(1 << 20), &"m".repeat(1 << 20)),
        "/flood" => {
            for number in 0..10_000 {
                log(Level::Info, "flood", &format!("line {number}"));
            }
        }
        "/quiet-flood" => {
            for number in 0..10_000 {
                log(Level::Debug, "flood", &format!("line {number}"));
            }
            log(Level::Info, "flood", "the end");
        }
        "/all" => return all(),
        path => match path.strip_prefix("/get/") {
            Some(name) => return get(name),
            None => return format!("{path} is unknown"),
        },
    }
    String::new()
}

/// A value, by each version of the interface.
fn get(name: &str) -> String {
    let found = [
        config0_2_0_rc_1::store::get(name).expect("no failure"),
        config0_2_0_draft::store::get(name).expect("no failure"),
        config0_2_0_draft_2024_09_27::store::get(name).expect("no failure"),
        config0_2_0_draft::runtime::get(name).expect("no failure"),
    ];
    assert!(found.iter().all(|value| *value == found[0]), "{found:?}");
    format!("{:?}", found[0])
}

/// All values, by each version of the interface.
fn all() -> String {
    let found = [
        config0_2_0_rc_1::store::get_all().expect("no failure"),
        config0_2_0_draft::store::get_all().expect("no failure"),
        config0_2_0_draft_2024_09_27::store::get_all().expect("no failure"),
        config0_2_0_draft::runtime::get_all().expect("no failure"),
    ];
    assert!(found.iter().all(|values| *values == found[0]), "{found:?}");
    format!("{:?}", found[0])
}

//! The conformance suite of `usher:database`, as a component. Each case holds for every database
//! behind the import, or is listed as a difference.
//!
//! `GET /` lists the cases, `POST /NAME` runs one: 200 if it holds, 500 with the reason otherwise.
//! Each case creates its tables in a database of its own. The cases of `impatient` are not listed,
//! because each expects a host with other limits.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package usher:conformance;
            world conformance {
                import usher:database/database@0.2.0;
                import usher:database/streaming@0.2.0;
                export wasi:http/incoming-handler@0.2.12;
            }
        ",
        world: "usher:conformance/conformance",
        generate_all,
    });
    use super::Suite;
    export!(Suite);
}

mod cursors;
mod differences;
mod impatient;
mod limits;
mod policy;
mod refusals;
#[path = "../../respond.rs"]
mod respond;
mod tools;
mod transactions;
mod values;

use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::wasi::http::types::{IncomingRequest, ResponseOutparam};
use respond::respond;

struct Suite;

/// A case: its name and its function.
pub type Case = (&'static str, fn() -> Result<(), String>);

fn cases() -> impl Iterator<Item = &'static Case> {
    [
        values::CASES,
        refusals::CASES,
        transactions::CASES,
        policy::CASES,
        limits::CASES,
        cursors::CASES,
        differences::CASES,
    ]
    .into_iter()
    .flatten()
}

impl Guest for Suite {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let name = path.trim_start_matches('/');
        let (status, text) = if name.is_empty() {
            (
                200,
                cases()
                    .map(|(name, _)| *name)
                    .collect::<Vec<_>>()
                    .join("\n"),
            )
        } else {
            match cases()
                .chain(impatient::CASES)
                .find(|(known, _)| *known == name)
            {
                Some((_, case)) => match case() {
                    Ok(()) => (200, String::new()),
                    Err(why) => (500, why),
                },
                None => (404, format!("there is no case {name}")),
            }
        };
        respond(out, status, &text);
    }
}

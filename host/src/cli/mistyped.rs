//! Variables of the environment that look like settings and are none.

use std::ffi::{OsStr, OsString};

/// How similar two names have to be for one to be suggested for the other, from 0 to 1. clap uses
/// the same.
const SIMILAR: f64 = 0.7;

/// The beginning of the variables of settings.
const PREFIX: &str = "USHER_";

/// Beginnings of variables that the build and the tests read, so that they may be set for
/// `cargo run`.
const BUILD: [&str; 4] = [
    "USHER_QUICK_COMPONENT",
    "USHER_WRITE_OPENAPI",
    "USHER_WRITE_OPTIONS",
    "USHER_TEST_",
];

/// The name that is the most similar, if any is similar at all.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| {
        name.strip_prefix(PREFIX)
            .unwrap_or(name)
            .to_ascii_uppercase()
    };
    let name = plain(name);
    known
        .map(|known| (strsim::jaro(&name, &plain(known)), known))
        .filter(|(similarity, _)| *similarity > SIMILAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

/// A line for each variable that begins like a setting and is none.
pub(super) fn warnings(environment: &[(OsString, OsString)], known: &[String]) -> Vec<String> {
    let mut warnings: Vec<_> = environment
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX) && !known.iter().any(|known| known == name))
        .filter(|(name, value)| {
            !BUILD.iter().any(|build| name.starts_with(build)) && { !is_of_kubernetes(name, value) }
        })
        .map(|(name, _)| {
            let nearest = nearest(name, known.iter().map(String::as_str));
            let nearest =
                nearest.map_or_else(String::new, |name| format!(": did you mean {name}?"));
            format!("the variable {name} is no setting and has no effect{nearest}")
        })
        .collect();
    warnings.sort();
    warnings
}

/// Whether Kubernetes sets the variable, as it does for each Service: one that is called `usher`
/// has `USHER_SERVICE_HOST`, `USHER_PORT=tcp://…` and so on.
fn is_of_kubernetes(name: &str, value: &OsStr) -> bool {
    let value = value.to_str().unwrap_or_default();
    let is_address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let of_port = ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
        let protocol = name.split_once(protocol).map(|(before, _)| before);
        let port = protocol.and_then(|before| before.rsplit_once("_PORT_"));
        port.is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
    });
    is_address || of_port || name.contains("_SERVICE_HOST") || name.contains("_SERVICE_PORT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(name: &str, value: &str) -> Vec<String> {
        let known = ["DATABASE_URL", "USHER_MAX_BODY", "USHER_LISTEN"].map(str::to_owned);
        warnings(&[(name.into(), value.into())], &known)
    }

    #[test]
    fn mistyped_variable_is_warned_of_with_the_nearest_name() {
        for (name, nearest) in [
            ("USHER_MAX_BDY", "USHER_MAX_BODY"),
            ("USHER_MAXBODY", "USHER_MAX_BODY"),
            ("USHER_LISTN", "USHER_LISTEN"),
            ("USHER_DATABASE_URL", "DATABASE_URL"),
        ] {
            let warned = warned(name, "1").concat();
            assert!(warned.contains(name), "{warned}");
            assert!(warned.contains(&format!("mean {nearest}?")), "{warned}");
        }
        let warned = warned("USHER_XYZ", "1").concat();
        assert!(warned.contains("USHER_XYZ") && !warned.contains("mean"));
    }

    #[test]
    fn settings_build_variables_and_those_of_kubernetes_are_not_warned_of() {
        for (name, value) in [
            ("USHER_LISTEN", ":80"),
            ("USHER_QUICK_COMPONENT", "1"),
            ("USHER_SERVICE_HOST", "10.0.0.1"),
            ("USHER_SERVICE_PORT_HTTP", "80"),
            ("USHER_PORT", "tcp://10.0.0.1:80"),
            ("USHER_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("USHER_DB_PORT_5432_TCP_PROTO", "tcp"),
            ("HOME", "/root"),
        ] {
            assert_eq!(warned(name, value), [""; 0], "{name}");
        }
    }
}

//! Paths and queries: their parameters, decoded.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The parameters in a path, by name.
pub(super) type Params<'r> = Vec<(&'static str, Cow<'r, str>)>;

/// The parameters in a path that matches a template, in which `{name}` stands for one segment that
/// is not empty. A segment that is not UTF-8 matches nothing.
pub(super) fn matches<'r>(template: &'static str, path: &'r str) -> Option<Params<'r>> {
    let mut params = Params::new();
    let mut segments = path.split('/');
    for expected in template.split('/') {
        let segment = percent_decode_str(segments.next()?).decode_utf8().ok()?;
        let name = expected
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(_) if segment.is_empty() => return None,
            Some(name) => params.push((name, segment)),
            None if segment == expected => {}
            None => return None,
        }
    }
    segments.next().is_none().then_some(params)
}

/// The last value of a query's parameter.
pub(super) fn query_value(query: &str, name: &str) -> Option<String> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let mut pairs = query
        .rsplit('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .find(|(key, _)| decode(key) == name)
        .map(|(_, value)| decode(value))
}

#[cfg(test)]
mod tests {
    use super::{matches, query_value};

    #[test]
    fn template_matches_paths_with_its_segments() {
        let found = matches("/a/{id}/b/{other}", "/a/x%2Fy%20z/b/1").expect("it matches");
        let found: Vec<_> = found
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        assert_eq!(found, [("id", "x/y z"), ("other", "1")]);
        for path in [
            "/a/1/b",
            "/a/1/b/",
            "/a//b/1",
            "/a/1/b/1/",
            "/a/1/c/1",
            "/a/%ff/b/1",
            "",
        ] {
            assert_eq!(matches("/a/{id}/b/{other}", path), None, "{path}");
        }
        assert_eq!(matches("/", "/"), Some(Vec::new()));
        assert_eq!(matches("/a%20b", "/a b"), None);
        assert_eq!(matches("/a b", "/a%20b"), Some(Vec::new()));
    }

    #[test]
    fn query_parameter_is_decoded_and_the_last_one_taken() {
        let query = "a=1&q=x+y%2B%26&a=2&empty";
        assert_eq!(query_value(query, "a").as_deref(), Some("2"));
        assert_eq!(query_value(query, "q").as_deref(), Some("x y+&"));
        assert_eq!(query_value(query, "empty").as_deref(), Some(""));
        assert_eq!(query_value(query, "b"), None);
        assert_eq!(query_value("", "b"), None);
    }
}

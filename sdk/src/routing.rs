//! A route table, in which the first match is taken.

use crate::http::Method;

/// A route: a method, a path template in which `{name}` stands for one segment, and an operation.
/// `GET` includes `HEAD`.
#[derive(Clone, Copy, Debug)]
pub struct Route<O>(pub Method, pub &'static str, pub O);

/// What a table has for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'t, O, P> {
    /// The operation of the first route that matches, and the parameters in the path.
    Route(&'t O, P),
    /// Routes with this path, but none with this method.
    OtherMethods,
    /// No route has this path.
    Nothing,
}

/// Finds the route of a request. `matches` returns the parameters in a path that matches a
/// template.
#[inline]
pub fn find<O, P>(
    routes: &[Route<O>],
    method: Method,
    matches: impl Fn(&'static str) -> Option<P>,
) -> Found<'_, O, P> {
    let served_as = match method {
        Method::Head => Method::Get,
        method => method,
    };
    let mut found = Found::Nothing;
    for Route(method, template, operation) in routes {
        if let Some(parameters) = matches(template) {
            if *method == served_as {
                return Found::Route(operation, parameters);
            }
            found = Found::OtherMethods;
        }
    }
    found
}

/// The value of `Allow` for a path: the methods of all routes whose template it matches.
pub fn allowed_methods<O>(routes: &[Route<O>], matches: impl Fn(&'static str) -> bool) -> String {
    let mut allow = String::new();
    for Route(method, template, _) in routes {
        let is_listed = || allow.split(", ").any(|listed| listed == method.name());
        if matches(template) && !is_listed() {
            if !allow.is_empty() {
                allow.push_str(", ");
            }
            allow.push_str(method.name());
            if *method == Method::Get {
                allow.push_str(", HEAD");
            }
        }
    }
    allow
}

//! The routes that a component declares, to name requests by instead of by their paths.
//!
//! A path may hold what identifies a person, and there are as many as clients invent. So log lines
//! and metrics name the declared template that a path matches. The component decides by itself what
//! a request does; its routes only label it here, with one exception: a client that waits for `100
//! Continue` before it sends a body is not asked for the body of a request that matches no route.
//!
//! They are in custom sections `usher:routes` of the component, which other hosts ignore. A section
//! consists of lines `METHOD TEMPLATE`. A template is a path in which `{name}` stands for one
//! segment:
//!
//! ```text
//! POST /users/
//! GET /users/{user_id}
//! ```
//!
//! `GET` includes `HEAD`. A section that does not parse is an error, so that no request is named by
//! something else than a route.

use std::fmt;

use http::Method;

/// The name of the sections.
pub(crate) const SECTION: &str = "usher:routes";

/// The most routes of a component, which bounds the series of its metrics.
pub(crate) const MAX_ROUTES: usize = 64;

/// The longest template in bytes.
const MAX_TEMPLATE: usize = 128;

/// The route of requests to a component that declares none.
pub(crate) const UNDECLARED: &str = "-";

/// The route of a path that matches no template.
pub(crate) const UNMATCHED: &str = "(none)";

/// The methods that are named; any other is text that the client chose.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

/// How many different [`MethodName`]s there are.
pub(crate) const METHOD_NAMES: usize = METHODS.len() + 1;

/// The method of a request, as log lines and metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MethodName(u8);

impl MethodName {
    /// The name of every method that is not a standard one, and of a request without a method.
    pub(crate) const OTHER: Self = Self(9);

    pub(crate) fn of(method: &Method) -> Self {
        Self(match *method {
            Method::GET => 0,
            Method::HEAD => 1,
            Method::POST => 2,
            Method::PUT => 3,
            Method::DELETE => 4,
            Method::CONNECT => 5,
            Method::OPTIONS => 6,
            Method::TRACE => 7,
            Method::PATCH => 8,
            _ => return Self::OTHER,
        })
    }

    /// All names, in the order of their index.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..=Self::OTHER.0).map(Self)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(crate) fn as_str(self) -> &'static str {
        METHODS
            .get(self.index())
            .map_or("other", |method| match *method {
                Method::GET => "GET",
                Method::HEAD => "HEAD",
                Method::POST => "POST",
                Method::PUT => "PUT",
                Method::DELETE => "DELETE",
                Method::CONNECT => "CONNECT",
                Method::OPTIONS => "OPTIONS",
                Method::TRACE => "TRACE",
                _ => "PATCH",
            })
    }
}

/// The number of a route: [`Routes::find`] returns it, [`Routes::name`] takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteIndex(u8);

impl RouteIndex {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The declared routes of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Whether the component declares routes.
    is_declared: bool,
    /// Method and template, as declared.
    declared: Vec<(String, String)>,
    /// The different templates; the first that matches names a request.
    templates: Vec<Template>,
}

/// A path in which some segments stand for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Template {
    text: String,
    /// The text before the first parameter, then that after each.
    literals: Vec<String>,
}

/// Why a component's routes cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutesError(String);

impl fmt::Display for RoutesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its section {SECTION} cannot be read: {}", self.0)
    }
}

impl std::error::Error for RoutesError {}

impl Routes {
    /// Adds the routes of a section.
    pub(crate) fn add_section(&mut self, section: &[u8]) -> Result<(), RoutesError> {
        self.is_declared = true;
        let text =
            std::str::from_utf8(section).map_err(|_| RoutesError("it is not UTF-8".to_owned()))?;
        for line in text.split_terminator('\n') {
            let invalid = || RoutesError(format!("{:?} is no route", beginning(line)));
            let (method, path) = line.split_once(' ').ok_or_else(invalid)?;
            if !METHODS.iter().any(|known| known.as_str() == method) {
                return Err(invalid());
            }
            let template = Template::parse(path).ok_or_else(invalid)?;
            let declared = (method.to_owned(), path.to_owned());
            if self.declared.contains(&declared) {
                continue;
            }
            if self.declared.len() >= MAX_ROUTES {
                return Err(RoutesError(format!("it has more than {MAX_ROUTES} routes")));
            }
            self.declared.push(declared);
            if !self.templates.contains(&template) {
                self.templates.push(template);
            }
        }
        Ok(())
    }

    /// Method and template of each route, or `None` if the component declares none.
    pub(crate) fn declared(&self) -> Option<&[(String, String)]> {
        self.is_declared.then_some(&*self.declared)
    }

    /// Whether a request with this method and path matches no route. Unknown, and so `false`, if
    /// the component declares none, or if the path is percent-encoded.
    pub(crate) fn exclude(&self, method: &Method, path: &str) -> bool {
        let served_as = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let mut matching = self.templates.iter().filter(|one| one.matches(path));
        let is_served = |template: &Template| {
            let mut declared = self.declared.iter();
            declared.any(|(method, text)| method == served_as.as_str() && *text == template.text)
        };
        self.is_declared && !path.contains('%') && !matching.any(is_served)
    }

    /// Whether the component declares `GET` of this path.
    pub(crate) fn has_page(&self, path: &str) -> bool {
        let mut declared = self.declared.iter();
        declared.any(|(method, template)| method == Method::GET.as_str() && template == path)
    }

    /// The first route whose template matches this path, whatever the method.
    pub(crate) fn find(&self, path: &str) -> RouteIndex {
        let mut index = 0;
        for template in &self.templates {
            index += 1;
            if template.matches(path) {
                return RouteIndex(index);
            }
        }
        RouteIndex(0)
    }

    /// The name of a route.
    pub(crate) fn name(&self, route: RouteIndex) -> &str {
        let template = route
            .index()
            .checked_sub(1)
            .and_then(|index| self.templates.get(index));
        match template {
            Some(template) => &template.text,
            None if self.is_declared => UNMATCHED,
            None => UNDECLARED,
        }
    }

    /// The routes that requests can have: the templates, and no match.
    pub(crate) fn all(&self) -> impl Iterator<Item = RouteIndex> {
        (0..=u8::try_from(self.templates.len()).unwrap_or(u8::MAX)).map(RouteIndex)
    }
}

/// The beginning of a line, for an error.
fn beginning(line: &str) -> &str {
    &line[..line.floor_char_boundary(60)]
}

impl Template {
    /// `None` if the text is no template that a log line and a label can hold as it is.
    fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\?#".contains(&byte);
        if !text.starts_with('/') || text.len() > MAX_TEMPLATE || !text.bytes().all(is_plain) {
            return None;
        }
        let mut literals = vec![String::new()];
        for (number, segment) in text.split('/').enumerate() {
            let last = literals.last_mut()?;
            if number > 0 {
                last.push('/');
            }
            if !segment.contains(['{', '}']) {
                last.push_str(segment);
                continue;
            }
            let name = segment.strip_prefix('{')?.strip_suffix('}')?;
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_word) {
                return None;
            }
            literals.push(String::new());
        }
        Some(Self {
            text: text.to_owned(),
            literals,
        })
    }

    fn matches(&self, path: &str) -> bool {
        let Some((first, others)) = self.literals.split_first() else {
            return false;
        };
        let Some(mut rest) = path.strip_prefix(first.as_str()) else {
            return false;
        };
        for literal in others {
            let end = rest.find('/').unwrap_or(rest.len());
            let (segment, after) = rest.split_at(end);
            match after.strip_prefix(literal.as_str()) {
                Some(after) if !segment.is_empty() => rest = after,
                _ => return false,
            }
        }
        rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(section: &str) -> Routes {
        let mut routes = Routes::default();
        routes.add_section(section.as_bytes()).expect("it parses");
        routes
    }

    #[test]
    fn request_is_excluded_if_no_route_has_its_method_and_path() {
        let routes = routes("POST /users/\nGET /users/{id}\n");
        for (method, path, excluded) in [
            (Method::POST, "/users/", false),
            (Method::GET, "/users/1", false),
            (Method::HEAD, "/users/1", false),
            (Method::PUT, "/users/1", true),
            (Method::GET, "/users/", true),
            (Method::POST, "/users", true),
            (Method::POST, "/%75sers/", false),
        ] {
            assert_eq!(routes.exclude(&method, path), excluded, "{method} {path}");
        }
        assert!(!Routes::default().exclude(&Method::POST, "/users/"));
        assert!(routes.has_page("/users/{id}") && !routes.has_page("/users/"));
    }

    #[test]
    fn path_is_named_by_the_first_template_that_matches() {
        let routes = routes(
            "POST /users/\nGET /users/{id}\nPUT /users/{id}\nGET /users/{id}/mail/{box}\n\
             GET /a/b\nGET /{all}\n",
        );
        for (path, name) in [
            ("/users/", "/users/"),
            ("/users/1", "/users/{id}"),
            ("/users/%2F", "/users/{id}"),
            ("/users/1/mail/in", "/users/{id}/mail/{box}"),
            ("/users/1/mail/", "(none)"),
            ("/users/1/mail/in/x", "(none)"),
            ("/users//mail/in", "(none)"),
            ("/users/1/", "(none)"),
            ("/a/b", "/a/b"),
            ("/a/bc", "(none)"),
            ("/x", "/{all}"),
            ("/", "(none)"),
            ("", "(none)"),
            ("*", "(none)"),
            ("/ä", "/{all}"),
        ] {
            assert_eq!(routes.name(routes.find(path)), name, "{path}");
        }
        assert_eq!(routes.all().count(), 6);
    }

    #[test]
    fn component_without_section_has_one_route() {
        let routes = Routes::default();
        assert_eq!(routes.name(routes.find("/users/1")), "-");
        assert_eq!((routes.declared(), routes.all().count()), (None, 1));
    }

    #[test]
    fn section_that_is_no_list_of_routes_is_an_error() {
        let long = format!("GET /{}\n", "a".repeat(128));
        for section in [
            "GET",
            "GET \n",
            "GET users\n",
            "get /users\n",
            "FETCH /users\n",
            "GET /users/{\n",
            "GET /users/{}\n",
            "GET /users/{a}b\n",
            "GET /users/{a{b}}\n",
            "GET /users/{a b}\n",
            "GET /us\"ers\n",
            "GET /us\\ers\n",
            "GET /users?a\n",
            "GET /üsers\n",
            "GET /users\r\n",
            "GET /a\n\nGET /b\n",
            &long,
        ] {
            let read = Routes::default().add_section(section.as_bytes());
            assert!(read.is_err(), "{section:?}");
        }
        assert!(Routes::default().add_section(b"GET /\xff\n").is_err());
        let many = (0..=MAX_ROUTES).map(|n| format!("GET /{n}\n"));
        let many = many.collect::<Vec<_>>().concat();
        assert!(Routes::default().add_section(many.as_bytes()).is_err());
    }

    #[test]
    fn method_of_a_client_is_named_other() {
        let names: Vec<_> = MethodName::all().map(MethodName::as_str).collect();
        assert_eq!(names.len(), METHOD_NAMES);
        for method in METHODS {
            assert_eq!(MethodName::of(&method).as_str(), method.as_str());
        }
        let invented = Method::from_bytes(b"ANN").expect("a token");
        assert_eq!(MethodName::of(&invented).as_str(), "other");
    }
}

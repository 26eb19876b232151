//! What an OpenAPI description says of tokens.
//!
//! A component describes its operations and knows nothing of the host's tokens, so the host adds
//! them to the description: a security scheme, and for each operation the requirement and the
//! responses 401 and 403. All else stays as the component wrote it, in its order.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Which tokens the host asks for.
#[derive(Debug)]
pub(super) struct Tokens {
    /// Whether JSON Web Tokens are among them.
    pub(super) are_jwt: bool,
    /// The scope that `GET`, `HEAD` and `OPTIONS` need.
    pub(super) read: String,
    /// The scope that all other methods need.
    pub(super) write: String,
}

/// An object whose members keep their order.
type Object = IndexMap<String, Node>;

/// A value that stays as it is, one that is changed inside, or a new one.
#[derive(Serialize)]
#[serde(untagged)]
enum Node {
    Raw(Box<RawValue>),
    Object(Object),
    New(Value),
}

/// The members of a path that are operations (OpenAPI 3.1, 4.8.9), and whether each only reads.
const METHODS: [(&str, bool); 8] = [
    ("get", true),
    ("put", false),
    ("post", false),
    ("delete", false),
    ("options", true),
    ("head", true),
    ("patch", false),
    ("trace", false),
];

/// Adds to a description which token each operation needs. `None` if it is no description of
/// OpenAPI 3 that can be read.
pub(super) fn describe(description: &[u8], tokens: &Tokens) -> Option<Vec<u8>> {
    let root: &RawValue = serde_json::from_slice(description).ok()?;
    let mut root = parse(root)?;
    let version: String = value(root.get("openapi")?)?;
    // Before 3.1 only OAuth 2 and OpenID Connect have scopes.
    let has_scopes = version.starts_with("3.") && !version.starts_with("3.0");
    if !version.starts_with("3.") {
        return None;
    }
    let (scheme, unauthorized, forbidden) = {
        let components = open(&mut root, "components")?;
        let schemes = open(components, "securitySchemes")?;
        let scheme = add(schemes, "bearer", describe_scheme(tokens));
        let responses = open(components, "responses")?;
        let unauthorized = add(responses, "Unauthorized", describe_response(UNAUTHORIZED));
        let forbidden = add(responses, "Forbidden", describe_response(FORBIDDEN));
        (scheme, unauthorized, forbidden)
    };
    let inherited: Vec<Object> = match root.get("security") {
        Some(Node::Raw(raw)) => requirements(raw)?,
        _ => Vec::new(),
    };
    for path in opened(open(&mut root, "paths")?) {
        for (method, is_reading) in METHODS {
            if !path.contains_key(method) {
                continue;
            }
            let operation = open(path, method)?;
            let scope = if is_reading {
                &tokens.read
            } else {
                &tokens.write
            };
            let scopes = if has_scopes { vec![scope] } else { Vec::new() };
            let required = match operation.get("security") {
                Some(Node::Raw(raw)) => requirements(raw)?,
                _ => inherited.iter().map(copy).collect(),
            };
            let security = require(required, &scheme, &json!(scopes))?;
            operation.insert("security".to_owned(), security);
            let responses = open(operation, "responses")?;
            for (status, name) in [("401", &unauthorized), ("403", &forbidden)] {
                if !responses.contains_key(status) {
                    let next = responses.keys().position(|other| other.as_str() > status);
                    let at = next.unwrap_or(responses.len());
                    let named = json!({"$ref": format!("#/components/responses/{name}")});
                    responses.shift_insert(at, status.to_owned(), Node::New(named));
                }
            }
        }
    }
    let is_indented = description.get(1) == Some(&b'\n');
    let written = if is_indented {
        serde_json::to_vec_pretty(&root)
    } else {
        serde_json::to_vec(&root)
    };
    written.ok()
}

fn describe_scheme(tokens: &Tokens) -> Value {
    let Tokens { read, write, .. } = tokens;
    let mut scheme = json!({
        "type": "http",
        "scheme": "bearer",
        "description": format!(
            "A token of this server's operator. GET, HEAD and OPTIONS need one with the scope \
             `{read}`, all other methods one with the scope `{write}`."
        ),
    });
    if tokens.are_jwt {
        scheme["bearerFormat"] = json!("JWT");
    }
    scheme
}

const UNAUTHORIZED: &str = "There is no token, or one that is not valid (RFC 6750).";
const FORBIDDEN: &str = "The token is valid, but does not have the scope that the operation needs.";

/// A response of the host.
fn describe_response(description: &str) -> Value {
    json!({
        "description": description,
        "headers": {
            "WWW-Authenticate": {
                "description": "What is missing or wrong (RFC 6750, 3).",
                "schema": {"type": "string"},
            },
        },
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"detail": {"type": "string"}},
                    "required": ["detail"],
                },
            },
        },
    })
}

fn parse(raw: &RawValue) -> Option<Object> {
    let members: IndexMap<String, Box<RawValue>> = serde_json::from_str(raw.get()).ok()?;
    let members = members.into_iter();
    Some(members.map(|(name, raw)| (name, Node::Raw(raw))).collect())
}

/// A value of this type.
fn value<T: serde::de::DeserializeOwned>(node: &Node) -> Option<T> {
    match node {
        Node::Raw(raw) => serde_json::from_str(raw.get()).ok(),
        Node::Object(_) | Node::New(_) => None,
    }
}

/// The object in a member, which is made if it is absent. `None` if it is something else.
fn open<'o>(object: &'o mut Object, name: &str) -> Option<&'o mut Object> {
    let node = object
        .entry(name.to_owned())
        .or_insert_with(|| Node::Object(Object::new()));
    open_node(node)
}

fn open_node(node: &mut Node) -> Option<&mut Object> {
    if let Node::Raw(raw) = node {
        *node = Node::Object(parse(raw)?);
    }
    match node {
        Node::Object(object) => Some(object),
        Node::Raw(_) | Node::New(_) => None,
    }
}

/// The members that are objects.
fn opened(object: &mut Object) -> impl Iterator<Item = &mut Object> {
    object.values_mut().filter_map(open_node)
}

/// Adds a member, by a name that is not taken. Returns the name.
fn add(object: &mut Object, name: &str, member: Value) -> String {
    let mut name = name.to_owned();
    while object.contains_key(&name) {
        name.push_str("OfHost");
    }
    object.insert(name.clone(), Node::New(member));
    name
}

/// The alternatives of a list of security requirements.
fn requirements(list: &RawValue) -> Option<Vec<Object>> {
    let alternatives: Vec<Box<RawValue>> = serde_json::from_str(list.get()).ok()?;
    alternatives
        .iter()
        .map(|alternative| parse(alternative))
        .collect()
}

fn copy(object: &Object) -> Object {
    let members = object.iter().filter_map(|(name, node)| match node {
        Node::Raw(raw) => Some((name.clone(), Node::Raw(raw.clone()))),
        Node::Object(_) | Node::New(_) => None,
    });
    members.collect()
}

/// Adds the host's scheme to each alternative of what the component itself needs.
fn require(mut required: Vec<Object>, scheme: &str, scopes: &Value) -> Option<Node> {
    if required.is_empty() {
        required.push(Object::new());
    }
    for alternative in &mut required {
        alternative.insert(scheme.to_owned(), Node::New(scopes.clone()));
    }
    let list = serde_json::to_value(&required).ok()?;
    Some(Node::New(list))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(description: &str) -> Option<Value> {
        let tokens = Tokens {
            are_jwt: true,
            read: "read".to_owned(),
            write: "all.write".to_owned(),
        };
        let described = describe(description.as_bytes(), &tokens)?;
        Some(serde_json::from_slice(&described).expect("JSON"))
    }

    #[test]
    fn each_operation_needs_a_token_in_addition_to_what_it_needs_already() {
        let described = described(
            r#"{"openapi":"3.1.0","security":[{"key":[]},{}],"components":{"securitySchemes":
                {"key":{"type":"apiKey"},"bearer":{"type":"http"}}},"paths":{
                "/a":{"summary":"s","get":{"responses":{"200":{},"404":{}}}},
                "/b":{"post":{"security":[],"responses":{"401":{"description":"own"},
                "default":{}}}},"/c":{"$ref":"x"}}}"#,
        );
        let described = described.expect("a description");
        let schemes = &described["components"]["securitySchemes"];
        assert_eq!(schemes["key"], json!({"type": "apiKey"}));
        assert_eq!(schemes["bearer"], json!({"type": "http"}));
        assert_eq!(schemes["bearerOfHost"]["bearerFormat"], "JWT");
        let get = &described["paths"]["/a"]["get"];
        let expected = json!([{"key": [], "bearerOfHost": ["read"]}, {"bearerOfHost": ["read"]}]);
        assert_eq!(get["security"], expected);
        let reference = &get["responses"]["403"]["$ref"];
        assert_eq!(reference, "#/components/responses/Forbidden");
        let post = &described["paths"]["/b"]["post"];
        assert_eq!(post["security"], json!([{"bearerOfHost": ["all.write"]}]));
        assert_eq!(post["responses"]["401"]["description"], "own");
        assert_eq!(described["paths"]["/c"], json!({"$ref": "x"}));
    }

    #[test]
    fn description_keeps_its_order_and_its_layout() {
        let description = include_str!("../../../openapi.json");
        let tokens = Tokens {
            are_jwt: false,
            read: "read".to_owned(),
            write: "write".to_owned(),
        };
        let described = describe(description.as_bytes(), &tokens).expect("a description");
        let described = String::from_utf8(described).expect("text");
        let mut lines = described.lines();
        for line in description.lines() {
            let bare = line.trim_end_matches(',');
            let found = lines.any(|other| other.trim_end_matches(',') == bare);
            assert!(found, "{line}");
        }
        assert!(!described.contains("bearerFormat"));
    }

    #[test]
    fn scopes_are_left_out_before_openapi_3_1_and_anything_else_is_left_as_it_is() {
        let old = r#"{"openapi":"3.0.3","paths":{"/a":{"get":{"responses":{}}}}}"#;
        let old = described(old).expect("a description");
        assert_eq!(
            old["paths"]["/a"]["get"]["security"],
            json!([{"bearer": []}])
        );
        for other in [
            "",
            "[]",
            "{}",
            r#"{"swagger":"2.0"}"#,
            r#"{"openapi":"2.0"}"#,
            r#"{"openapi":3}"#,
            r#"{"openapi":"3.1.0","paths":[]}"#,
            r#"{"openapi":"3.1.0","paths":{"/a":{"get":7}}}"#,
            r#"{"openapi":"3.1.0","paths":{"/a":{"get":{"security":{}}}}}"#,
        ] {
            assert_eq!(described(other), None, "{other}");
        }
    }
}

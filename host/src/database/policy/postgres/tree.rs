//! A statement's tree, read from the parser's JSON. The values are in one list, in the order of the
//! text, each with the index of its next sibling. So reading, walking and dropping a tree use a
//! fixed stack, although an untrusted component determines its depth. JSON that the parser would
//! not write is no tree.

/// One JSON value.
#[derive(Debug)]
struct Item {
    /// The name, if it is a field of an object.
    key: Option<Box<str>>,
    kind: Kind,
    /// The index after its last descendant.
    end: usize,
}

#[derive(Debug)]
enum Kind {
    /// `null`, which the parser writes for an empty element of a list.
    Null,
    Bool(bool),
    /// Policy reads no numbers.
    Number,
    Text(Box<str>),
    List,
    Object,
}

/// All values of a tree.
#[derive(Debug)]
pub(crate) struct Tree {
    items: Vec<Item>,
}

/// A value in its tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'t> {
    tree: &'t Tree,
    index: usize,
}

impl Tree {
    /// Reads JSON as the parser writes it.
    pub(super) fn read(json: &str) -> Option<Self> {
        let mut reader = Reader {
            rest: json.as_bytes(),
            items: Vec::new(),
        };
        reader.all()?;
        Some(Self {
            items: reader.items,
        })
    }

    pub(super) fn root(&self) -> At<'_> {
        At {
            tree: self,
            index: 0,
        }
    }
}

impl<'t> At<'t> {
    fn item(self) -> Option<&'t Item> {
        self.tree.items.get(self.index)
    }

    /// The name, if it is a field of an object.
    pub(super) fn key(self) -> Option<&'t str> {
        self.item()?.key.as_deref()
    }

    /// The values of a list, or the fields of an object.
    pub(super) fn children(self) -> impl Iterator<Item = At<'t>> {
        let is_leaf = !self.is_list() && !self.is_object();
        let end = self
            .item()
            .map_or(0, |item| if is_leaf { 0 } else { item.end });
        let mut next = self.index + 1;
        std::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let at = At {
                tree: self.tree,
                index: next,
            };
            next = at.item()?.end;
            Some(at)
        })
    }

    /// A field of an object.
    pub(super) fn get(self, key: &str) -> Option<At<'t>> {
        self.children().find(|child| child.key() == Some(key))
    }

    pub(super) fn is_list(self) -> bool {
        matches!(
            self.item(),
            Some(Item {
                kind: Kind::List,
                ..
            })
        )
    }

    pub(super) fn is_object(self) -> bool {
        matches!(
            self.item(),
            Some(Item {
                kind: Kind::Object,
                ..
            })
        )
    }

    pub(super) fn text(self) -> Option<&'t str> {
        match &self.item()?.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it contains nothing.
    pub(super) fn is_empty(self) -> bool {
        self.children().next().is_none() && self.text().is_none()
    }

    /// Whether a field is present and true.
    pub(super) fn has(self, key: &str) -> bool {
        self.get(key)
            .and_then(At::item)
            .is_some_and(|item| matches!(item.kind, Kind::Bool(true)))
    }

    /// A field's text.
    pub(super) fn field(self, key: &str) -> Option<&'t str> {
        self.get(key)?.text()
    }

    /// The kind and the fields of a node, which the parser writes as `{"Kind": {…}}`.
    pub(super) fn node(self) -> Option<(&'t str, At<'t>)> {
        if !self.is_object() {
            return None;
        }
        let mut children = self.children();
        let only = children.next()?;
        let kind = only.key()?;
        let is_node = kind.starts_with(|first: char| first.is_ascii_uppercase())
            && only.is_object()
            && children.next().is_none();
        is_node.then_some((kind, only))
    }

    /// Every text at or below it.
    pub(super) fn texts(self) -> impl Iterator<Item = &'t str> {
        let end = self.item().map_or(self.index, |item| item.end);
        let items = self.tree.items.get(self.index..end).unwrap_or_default();
        items.iter().filter_map(|item| match &item.kind {
            Kind::Text(text) => Some(&**text),
            _ => None,
        })
    }

    /// The texts of a list of `String` nodes; `None` for a node of another kind.
    pub(super) fn names(self) -> Vec<Option<&'t str>> {
        let name = |at: At<'t>| match at.node() {
            Some(("String", string)) => Some(string.field("sval").unwrap_or_default()),
            _ => None,
        };
        self.children().map(name).collect()
    }
}

struct Reader<'j> {
    rest: &'j [u8],
    items: Vec<Item>,
}

impl Reader<'_> {
    fn all(&mut self) -> Option<()> {
        // The open objects and lists.
        let mut open: Vec<usize> = Vec::new();
        loop {
            let key = match open.last() {
                Some(&parent) if self.is_object(parent) => {
                    let key = self.string()?;
                    self.expect(b':')?;
                    Some(key)
                }
                _ => None,
            };
            let index = self.items.len();
            let (kind, mut opens) = self.value()?;
            self.items.push(Item {
                key,
                kind,
                end: index + 1,
            });
            // An empty object or list is closed at once.
            if opens && self.eat(self.closing(index)) {
                opens = false;
            }
            if opens {
                open.push(index);
                continue;
            }
            loop {
                let Some(&parent) = open.last() else {
                    return self.rest.is_empty().then_some(());
                };
                if self.eat(b',') {
                    break;
                }
                self.expect(self.closing(parent))?;
                open.pop();
                let end = self.items.len();
                self.items.get_mut(parent)?.end = end;
            }
        }
    }

    fn is_object(&self, index: usize) -> bool {
        matches!(
            self.items.get(index).map(|item| &item.kind),
            Some(Kind::Object)
        )
    }

    fn closing(&self, index: usize) -> u8 {
        if self.is_object(index) { b'}' } else { b']' }
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(word.as_bytes())?;
        Some(())
    }

    /// A value, or the beginning of an object or list.
    fn value(&mut self) -> Option<(Kind, bool)> {
        Some(match self.rest.first()? {
            b'{' => {
                self.expect(b'{')?;
                (Kind::Object, true)
            }
            b'[' => {
                self.expect(b'[')?;
                (Kind::List, true)
            }
            b'"' => (Kind::Text(self.string()?), false),
            b't' => (self.word("true").map(|()| Kind::Bool(true))?, false),
            b'f' => (self.word("false").map(|()| Kind::Bool(false))?, false),
            b'n' => (self.word("null").map(|()| Kind::Null)?, false),
            _ => {
                let end = self
                    .rest
                    .iter()
                    .position(|byte| !matches!(byte, b'-' | b'0'..=b'9'))?;
                let (digits, rest) = self.rest.split_at_checked(end)?;
                if digits.is_empty() {
                    return None;
                }
                self.rest = rest;
                (Kind::Number, false)
            }
        })
    }

    fn string(&mut self) -> Option<Box<str>> {
        self.expect(b'"')?;
        let mut bytes = Vec::new();
        loop {
            let (&first, rest) = self.rest.split_first()?;
            self.rest = rest;
            match first {
                b'"' => return String::from_utf8(bytes).ok().map(String::into_boxed_str),
                b'\\' => {
                    let (&escaped, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    match escaped {
                        b'"' | b'\\' | b'/' => bytes.push(escaped),
                        b'b' => bytes.push(0x08),
                        b'f' => bytes.push(0x0c),
                        b'n' => bytes.push(b'\n'),
                        b'r' => bytes.push(b'\r'),
                        b't' => bytes.push(b'\t'),
                        b'u' => {
                            let (digits, rest) = self.rest.split_at_checked(4)?;
                            self.rest = rest;
                            let digits = std::str::from_utf8(digits).ok()?;
                            let code = u32::from_str_radix(digits, 16).ok()?;
                            // The parser writes only control characters so, never surrogates.
                            let c = char::from_u32(code)?;
                            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                        _ => return None,
                    }
                }
                byte => bytes.push(byte),
            }
        }
    }
}

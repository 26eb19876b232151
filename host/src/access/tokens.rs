//! Bearer tokens, and the file of their hashes.
//!
//! A token is 256 random bits, so a fast hash of it cannot be reversed, and the file is of no use
//! to whoever reads it. Each line of the file has a name, scopes and the hash.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;

use super::scopes::Scopes;

use crate::hexadecimal::hexadecimal;

/// How each token begins, so that tools find one that was published by mistake.
const PREFIX: &str = "usher_";

/// The longest file of tokens.
const MAX_FILE: u64 = 1 << 20;

/// A hash of a token.
type Hash = [u8; 32];

/// The tokens of a file.
#[derive(Debug, Default)]
pub struct Tokens(Vec<Token>);

pub(super) struct Token {
    /// Whose it is.
    pub(super) name: String,
    pub(super) scopes: Scopes,
    hash: Hash,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.scopes)
    }
}

impl Tokens {
    /// Reads a file.
    ///
    /// # Errors
    /// One line that names the file and the line in it, and quotes nothing.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let mut text = String::new();
        let read = std::fs::File::open(file)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
        read.map_err(|error| format!("cannot read --tokens {shown}: {error}"))?;
        if text.len() as u64 > MAX_FILE {
            return Err(format!("--tokens {shown} is longer than {MAX_FILE} bytes"));
        }
        let mut tokens = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let token = parse(line).ok_or_else(|| {
                format!(
                    "line {number} of --tokens {shown} is not NAME SCOPES HASH, as `usher token \
                     new` writes it"
                )
            })?;
            tokens.push(token);
        }
        Ok(Self(tokens))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The token that is presented. Takes the same time for every one.
    pub(super) fn find(&self, token: &[u8]) -> Option<&Token> {
        let presented = hash(token);
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.hash.ct_eq(&presented)) {
                found = Some(token);
            }
        }
        found
    }
}

fn parse(line: &str) -> Option<Token> {
    let mut words = line.split_whitespace();
    let (name, scopes, hash) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || hash.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(hash.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(Token {
        name: name.to_owned(),
        scopes: scopes.parse().ok()?,
        hash: bytes,
    })
}

fn hash(token: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, token).as_ref());
    hash
}

/// Makes a token, adds its hash to a file, and returns it. A file that does not exist is created
/// for its owner alone.
///
/// # Errors
/// If the name is not one word, or the file cannot be written.
pub fn create(name: &str, scopes: Scopes, file: &Path) -> Result<String, String> {
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if name.is_empty() || name.starts_with('#') || !is_word(name) {
        return Err("the name of a token is one word of ASCII".to_owned());
    }
    let mut secret = [0; 32];
    SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| "the operating system gives no random numbers".to_owned())?;
    let token = format!("{PREFIX}{}", hexadecimal(&secret));
    let line = format!("{name} {scopes} {}\n", hexadecimal(&hash(token.as_bytes())));
    let unwritable = |error| format!("cannot write {}: {error}", file.display());
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(file)
        .map_err(unwritable)?;
    // In one write, so that a server never reads a part of it.
    file.write_all(line.as_bytes()).map_err(unwritable)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn created_token_is_found_by_its_hash_alone() {
        let folder = std::env::temp_dir().join(format!("usher-tokens-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("tokens");
        let first = create("first", Scopes::READ, &file).expect("a token");
        let second = create("second", Scopes::WRITE, &file).expect("a token");
        let text = std::fs::read_to_string(&file).expect("the file");
        assert!(!text.contains(&first[PREFIX.len()..]) && text.lines().count() == 2);
        let tokens = Tokens::read(&file).expect("two tokens");
        let find = |token: &[u8]| {
            let found = tokens.find(token);
            found.map(|found| (found.name.as_str(), found.scopes))
        };
        assert_eq!(find(first.as_bytes()), Some(("first", Scopes::READ)));
        assert_eq!(find(second.as_bytes()), Some(("second", Scopes::WRITE)));
        assert_eq!(find(b"usher_"), None);
        assert!(create("two words", Scopes::READ, &file).is_err());
        for line in [
            "name",
            "name read",
            "name read 00",
            "name all 00",
            "a b c d",
        ] {
            std::fs::write(&file, format!("# a comment\n\n{line}\n")).expect("a file");
            let error = Tokens::read(&file).expect_err(line);
            assert!(error.contains("line 3 of --tokens"), "{error}");
        }
        std::fs::remove_dir_all(&folder).expect("the folder");
    }
}

//! Where a component comes from.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::io::Read as _;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{SHA256, digest};

use super::bounds;

use crate::hexadecimal::hexadecimal;

/// The component that is built with the host, as WebAssembly.
#[cfg(feature = "embedded")]
pub static USERS_WASM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/users.wasm"));

/// Where the component comes from.
#[derive(Clone, Debug, Default)]
pub enum Source {
    /// The users service, built with the host. Only there with the feature `embedded`.
    #[default]
    Embedded,
    /// A file, in binary form.
    File(PathBuf),
    /// Bytes of a component.
    Bytes(Arc<[u8]>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("the embedded component"),
            Self::File(path) => write!(f, "the component {}", path.display()),
            Self::Bytes(bytes) => write!(f, "a component of {} bytes", bytes.len()),
        }
    }
}

impl Source {
    /// The bytes of the component.
    ///
    /// # Errors
    /// If its file cannot be read, or there is no embedded component.
    pub(crate) fn bytes(&self) -> std::io::Result<ComponentBytes<'_>> {
        let bytes: Cow<'_, [u8]> = match self {
            #[cfg(feature = "embedded")]
            Self::Embedded => USERS_WASM.into(),
            #[cfg(not(feature = "embedded"))]
            Self::Embedded => {
                return Err(std::io::Error::new(
                    std::io::ErrorKind::NotFound,
                    "this program was built without the feature `embedded`: name a component",
                ));
            }
            Self::File(path) => read(path)?.into(),
            Self::Bytes(bytes) => (&**bytes).into(),
        };
        Ok(ComponentBytes::new(bytes))
    }
}

/// The bytes of a component, with their SHA-256.
pub(crate) struct ComponentBytes<'s> {
    bytes: Cow<'s, [u8]>,
    digest: OnceCell<String>,
}

impl<'s> ComponentBytes<'s> {
    pub(crate) fn new(bytes: Cow<'s, [u8]>) -> Self {
        Self {
            bytes,
            digest: OnceCell::new(),
        }
    }

    /// The SHA-256 in hexadecimal, which is computed on first use.
    pub(crate) fn digest(&self) -> &str {
        let compute = || hexadecimal(digest(&SHA256, &self.bytes).as_ref());
        self.digest.get_or_init(compute)
    }
}

impl Deref for ComponentBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A file, as far as a component may be long, and one byte more by which it is seen that it is
/// longer.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(bounds::FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

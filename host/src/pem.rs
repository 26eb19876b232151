//! Reads certificates and keys from PEM files, with errors that quote nothing of a file.
//!
//! The library's own errors quote a line. In a file that has lost its line breaks, as in a variable
//! or a secret that they were not copied to, that is the whole private key.

use std::path::Path;

use rustls::pki_types::pem::{Error, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates in a file, perhaps none.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(&error))
}

/// The certificates in the file of an option, at least one.
///
/// # Errors
/// One line that names the option, the file, and what is wrong with it.
pub(crate) fn certificates_of_option(
    option: &str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable = |fault: &str| format!("cannot use {option} {}: {fault}", file.display());
    let certificates = certificates(file).map_err(|fault| unusable(&fault))?;
    if certificates.is_empty() {
        return Err(unusable("it has no certificate"));
    }
    Ok(certificates)
}

/// The first private key in a file.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| fault(&error))
}

/// What is wrong with a file.
fn fault(error: &Error) -> String {
    let text = match error {
        Error::Io(error) => return error.to_string(),
        Error::MissingSectionEnd { end_marker } if !is_label(end_marker) => NO_LINES,
        Error::IllegalSectionStart { .. } => NO_LINES,
        Error::MissingSectionEnd { .. } => "a section in it has no end, so a part is missing",
        Error::Base64Decode(_) => "a section in it is not in base64",
        Error::NoItemsFound => "it has no section of this kind",
        Error::SectionTooLarge => "a section in it is too long",
        _ => "it is not PEM",
    };
    text.to_owned()
}

const NO_LINES: &str = "what begins with -----BEGIN is not a line of its own: the file may have \
                        lost its line breaks";

/// Whether a section's label is one, and not what follows it on the same line.
fn is_label(label: &[u8]) -> bool {
    !label.windows(2).any(|two| two == b"--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_of_a_key_quotes_nothing_of_it() {
        const KEY: &str =
            "-----BEGIN PRIVATE KEY-----\nSECRET\nSECRET==\n-----END PRIVATE KEY-----\n";
        let cut = &KEY[..40];
        for (file, expected) in [
            (KEY.replace('\n', ""), "lost its line breaks"),
            (KEY.replace('\n', " "), "lost its line breaks"),
            (KEY.replace('\n', "\\n"), "lost its line breaks"),
            (KEY.replacen('\n', " ", 1), "lost its line breaks"),
            (cut.to_owned(), "has no end"),
            (KEY.replace("SECRET", "SEC?ET"), "not in base64"),
            (KEY.replace("PRIVATE KEY", "SECRET"), "of this kind"),
            (String::new(), "of this kind"),
        ] {
            let error = PrivateKeyDer::from_pem_slice(file.as_bytes()).expect_err(&file);
            let fault = fault(&error);
            assert!(fault.contains(expected), "{file:?}: {fault}");
            let digits = "SECRET".as_bytes().iter().map(u8::to_string);
            let digits = digits.collect::<Vec<_>>().join(", ");
            assert!(
                !fault.contains("SEC") && !fault.contains(&digits),
                "{fault}"
            );
        }
    }
}

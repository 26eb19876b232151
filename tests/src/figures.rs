//! Figures that a person may want to see of a test: `cargo test … -- --nocapture` shows them.

/// Prints one line.
#[expect(clippy::print_stdout, reason = "shown only to who asks for it")]
pub fn tell(of: &str, figures: &str) {
    println!("figures of {of}: {figures}");
}

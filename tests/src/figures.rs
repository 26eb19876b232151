//! Figures measured by a test, printed by `cargo test … -- --nocapture`.

/// Prints one line.
#[expect(clippy::print_stdout, reason = "shown only to who asks for it")]
pub fn print(of: &str, figures: &str) {
    println!("figures of {of}: {figures}");
}

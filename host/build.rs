//! Builds what the program embeds, unless it is built without the feature `embedded`.

#[cfg(feature = "embedded")]
#[path = "build/embedded.rs"]
mod embedded;

fn main() {
    #[cfg(feature = "embedded")]
    if let Err(error) = embedded::build() {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
    #[cfg(not(feature = "embedded"))]
    println!("cargo::rerun-if-changed=build.rs");
}

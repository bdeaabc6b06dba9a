//! What the linker is asked for: functions with identical code are kept once, since the generated AWS clients
//! have thousands; and the program has a fixed address, as those that Go builds. A program that can be anywhere
//! writes 190,000 addresses into itself at each start, which made `--version` take two and a half times as long.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, wanted: &str| env::var(name).is_ok_and(|value| value == wanted);
    // rustc brings its own lld for this target since 1.90
    // (<https://blog.rust-lang.org/2025/09/01/rust-lld-on-1.90.0-stable/>). Flags of the user may choose
    // another linker, which may not know the option.
    let ours = env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.is_empty());
    if ours && is("TARGET", "x86_64-unknown-linux-gnu") && is("PROFILE", "release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}

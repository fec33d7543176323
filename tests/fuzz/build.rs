//! Tells the compiler of `cfg(fuzzing)`, so that a misspelt one is still a warning.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
}

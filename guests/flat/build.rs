//! Links the guest so that its first byte is its entry.

fn main() {
    println!("cargo:rerun-if-changed=flat.ld");
    println!("cargo:rustc-link-arg-bins=-T{}/flat.ld", env!("CARGO_MANIFEST_DIR"));
}

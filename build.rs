//! Hands the linker script to the linker; it is needed for the bare-metal target only.

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo:rerun-if-changed=src/image.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-arg-bins=-T{root}/src/image.ld");
        println!("cargo:rustc-link-arg-bins=--no-pie");
        println!("cargo:rustc-link-arg-bins=-znorelro");
        // Erratum 843419 of Cortex-A53 (docs/errata.md).
        println!("cargo:rustc-link-arg-bins=--fix-cortex-a53-843419");
    }
}

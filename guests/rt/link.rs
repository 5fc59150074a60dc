//! The build script of the guests (`build = "../rt/link.rs"`): links one by the run time's layout, as a static position-independent
//! image.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../rt/guest.ld");
    println!("cargo:rerun-if-changed={script}");
    // -z notext: the target's code model leaves addresses in read-only data; start.S relocates them before use.
    for arg in [
        concat!("-T", env!("CARGO_MANIFEST_DIR"), "/../rt/guest.ld"),
        "-pie",
        "-znotext",
        "--no-dynamic-linker",
    ] {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
}

//! Runs one target with the files given: `cargo run -p partita-fuzz --example replay -- plan FILE...`.

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let target = partita_fuzz::TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("no target {name:?}"));
    for file in arguments {
        println!("{file}");
        (target.run)(&std::fs::read(file).expect("a file"));
    }
}

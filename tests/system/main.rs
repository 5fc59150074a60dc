//! Boots machines and looks at their consoles.

use partita_tests::Test;

mod attack;
mod audit;
mod bad;
mod boot;
mod card;
mod console;
mod cores;
mod demo;
mod direct;
mod dma;
mod foreign;
mod fuzzer;
mod guards;
mod guests;
mod image;
mod life;
mod live;
mod loaders;
mod partitactl;
mod pci;
mod probe;
mod rpi4;
mod sd;
mod soak;
mod speed;
mod stack;
mod supervision;
mod watchdog;
mod words;

/// All tests: a module that is not in it has none that can run.
const TABLE: &[&[Test]] = &[
    attack::TESTS,
    audit::TESTS,
    bad::TESTS,
    boot::TESTS,
    card::TESTS,
    console::TESTS,
    cores::TESTS,
    demo::TESTS,
    direct::TESTS,
    dma::TESTS,
    foreign::TESTS,
    fuzzer::TESTS,
    guards::TESTS,
    guests::TESTS,
    image::TESTS,
    life::TESTS,
    live::TESTS,
    loaders::TESTS,
    partitactl::TESTS,
    pci::TESTS,
    probe::TESTS,
    rpi4::TESTS,
    sd::TESTS,
    soak::TESTS,
    speed::TESTS,
    stack::TESTS,
    supervision::TESTS,
    watchdog::TESTS,
    words::TESTS,
];

//! The tool as a user meets it: what it prints, and the exit status. Cargo and QEMU are stand-ins that do in no time
//! what a test wants of them; dtc and the preprocessor are real.

mod check;
mod docs;
mod image;
mod output;
mod run;
mod world;

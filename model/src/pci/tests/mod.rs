//! Tests of the PCI model, on a bus of fake functions that watch what is done to them.

mod caps;
mod fake;
mod guest;
mod random;
mod registers;
mod silence;

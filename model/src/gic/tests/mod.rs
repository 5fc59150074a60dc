//! Tests of the virtual GIC, on a fake machine that behaves as IHI 0069 and IHI 0048 say.

mod direct;
mod flight;
mod gicv2;
mod idle;
mod lives;
mod mirror;
mod neighbours;
mod outside;
mod overflow;
mod random;
mod registers;
mod sgi;
mod sources;
mod wary;
mod written;

use super::testing::fake;

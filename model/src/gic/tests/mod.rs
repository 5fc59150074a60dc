//! Tests of the virtual GIC, on a fake machine that behaves as IHI 0069 says.

mod fake;
mod flight;
mod machine;
mod overflow;
mod random;
mod registers;
mod sgi;

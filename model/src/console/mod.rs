//! The shared console: partitions' output as whole lines with their names in front, one of them in the focus of the
//! keyboard.
//!
//! The way of a byte out: the guest's UART -> [`line::Assembler`] (sanitised, prefixed) -> the partition's
//! [`ring::Ring`] -> [`drain::Drain`] -> the physical UART. The way in: UART -> [`focus::Filter`] -> an input ring ->
//! the guest's UART. A guest can neither steer the terminal nor speak under another's name, and a full ring slows
//! down only the guest whose ring it is.

pub mod drain;
pub mod escape;
pub mod focus;
pub mod line;
pub mod ring;

#[cfg(test)]
mod tests;

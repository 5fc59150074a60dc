//! A partition on a fake machine that behaves as IHI 0069 and IHI 0048 say: for the tests here, and, by the feature
//! `testing`, for fuzzers.

#![cfg_attr(not(test), allow(dead_code, reason = "the tests of this crate use the rest"))]

pub(super) mod fake;
pub(super) mod machine;
mod run;

pub use run::{Run, Step};

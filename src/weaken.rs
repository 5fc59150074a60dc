//! Taking one guard away, in test builds (the feature `weaken`; model/src/weaken/). Without the feature nothing of this is
//! in the image.

#[cfg(not(feature = "weaken"))]
mod release;
#[cfg(feature = "weaken")]
mod test_build;

#[cfg(not(feature = "weaken"))]
pub use release::{fail, init, mappings};
#[cfg(feature = "weaken")]
pub use test_build::{fail, init, mappings};

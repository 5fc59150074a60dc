//! `partitactl` against a device that exists in these tests only, made of the same types as the hypervisor's.

mod areas;
mod commands;
mod fake;
mod forms;
mod process;
mod prometheus;
mod tree;

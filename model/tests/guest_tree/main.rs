//! Generated guest trees: golden texts, an independent reader, and trees that nobody meant.
//!
//! `UPDATE_GOLDEN=1 cargo test -p partita-model --test guest_tree` rewrites the golden texts.
#![cfg(not(miri))] // they start dtc

mod agree;
mod boards;
mod follows;
mod golden;
mod reader;
mod refused;
mod wild;

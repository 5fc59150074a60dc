//! Boots machines and looks at their consoles.

mod bad;
mod card;
mod console;
mod demo;
mod foreign;
mod guests;
mod live;
mod loaders;
mod probe;
mod rpi4;
mod sd;
mod speed;
mod words;

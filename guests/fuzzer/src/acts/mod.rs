//! What can be done. Each act is bounded, and leaves this core able to do the next one.

mod calls;
mod memory;
mod registers;
mod stage1;
mod time;

use crate::world::{self, World};

/// Does one thing.
pub fn one(world: &mut World) {
    world::stand_still();
    match world.random.below(1000) {
        0..=599 => memory::one(world),
        600..=829 => calls::one(world),
        830..=849 => registers::batch(world),
        850..=929 => registers::sgi(world),
        930..=979 => time::timers(world),
        // All cores have to meet for it.
        980 => time::wait(world),
        _ => stage1::one(world),
    }
    if world.random.once_in(8) {
        world.take_interrupts();
    }
    if world.random.once_in(500) {
        world.calm();
    }
}

//! What a core does that is not in its guest.

use super::State;
use crate::psci::{Psci, Start};

/// Its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Run its virtual CPU from there. It is no longer out of the guest.
    Enter(Start),
    /// Fill the partition's memory and start its first virtual CPU.
    Load,
    /// The last of its cores has left the guest: bring everything back to its state after reset, and settle what follows.
    Finish,
    /// The other cores are on their way out.
    Gather,
    /// Sleep until it is kicked, and ask again.
    Wait,
}

/// The order for the core of a virtual CPU, of `vcpus` of which so many are out of the guest; this one is. Under the partition's
/// lock.
#[must_use]
pub fn order(state: State, vcpu: usize, vcpus: usize, parked: usize, psci: &mut Psci) -> Order {
    match state {
        State::Running => psci.arrived(vcpu).map_or(Order::Wait, Order::Enter),
        State::Loading if vcpu == 0 => Order::Load,
        State::Stopping if parked == vcpus => Order::Finish,
        State::Stopping => Order::Gather,
        State::Off | State::Failed | State::Loading => Order::Wait,
    }
}

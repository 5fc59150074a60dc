//! What the model asks of EL2: the physical interrupt controller, list registers, and other cores.
//!
//! The traits are the whole border. The model decides which words, masks and list registers are touched; EL2
//! performs that and decides nothing. Masks are already cut down to what the partition owns.

/// Thirty-two interrupts of the physical interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// INTIDs 16..31 in the redistributor of the core that runs this vCPU; 0..15 of a direct partition only.
    Private(usize),
    /// INTIDs 32n..32n+31 of the distributor, n in 1..=31.
    Shared(usize),
}

impl Word {
    /// Its first INTID.
    pub(super) fn base(self) -> u32 {
        match self {
            Word::Private(_) => 0,
            Word::Shared(index) => 32 * index as u32,
        }
    }
}

/// The three states of an interrupt that have a set and a clear register each (IHI 0069, 12.9 and 12.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// ISENABLER and ICENABLER.
    Enable,
    /// ISPENDR and ICPENDR.
    Pending,
    /// ISACTIVER and ICACTIVER.
    Active,
}

/// Physical actions. EL2 implements it once per partition; a vCPU number means the core that runs it.
///
/// Set and clear registers act on single bits, so partitions need no lock between them, except for
/// [`Hw::set_edge`], whose register is read, changed and written.
pub trait Hw {
    /// Reads one word of enable, pending or active bits. Bits of other owners may be present.
    fn read(&mut self, word: Word, bits: Bits) -> u32;

    /// Writes the set register.
    fn set(&mut self, word: Word, bits: Bits, mask: u32);

    /// Writes the clear register. After [`Bits::Enable`] it returns only when RWP of that GICD_CTLR or
    /// GICR_CTLR is 0: from then on no core can acknowledge these interrupts (IHI 0069, 12.9.4).
    fn clear(&mut self, word: Word, bits: Bits, mask: u32);

    /// Makes an interrupt edge-triggered or level-sensitive (it is disabled meanwhile) and returns what it now is:
    /// the field may be read-only. EL2 takes its distributor lock, as 16 interrupts share the register.
    fn set_edge(&mut self, word: Word, intid: u32, edge: bool) -> bool;

    /// Routes an SPI to the core of a vCPU (GICD_IROUTER, Interrupt_Routing_Mode = 0).
    fn route(&mut self, intid: u32, vcpu: usize);

    /// Gives a direct partition's interrupt its physical priority.
    fn set_priority(&mut self, word: Word, intid: u32, priority: u8);

    /// Puts a direct partition's interrupts into Group 1 where `group1` has their bit, else into Group 0. EL2 takes its
    /// distributor lock, as 32 interrupts share the register.
    fn set_groups(&mut self, word: Word, mask: u32, group1: u32);

    /// Stores the ready image of a PPI or SPI in the table that this vCPU's fast path reads. It must be visible to
    /// that core before any later call of this trait takes effect (DSB ISHST before the next device access).
    fn set_ready(&mut self, vcpu: usize, intid: u32, image: u64);

    /// Sends EL2's physical SGI to the core of a vCPU, which then calls [`super::Shared::drain`].
    fn kick(&mut self, vcpu: usize);

    /// Has another core of the partition perform an operation on its list registers, and waits for the answer.
    ///
    /// The other core answers with [`super::perform`] from its kick handler *without* the partition's lock, and
    /// also polls for such requests while it waits for that lock; otherwise two cores could wait for each other.
    /// An operation travels as one word: `u64::from(op)`, `Op::from_bits`, `u64::from(state)`, `State::from(u64)`.
    fn remote(&mut self, vcpu: usize, op: Op) -> State;
}

/// The list registers of the calling core (IHI 0069, 12.4).
pub trait ListRegisters {
    /// How many there are: ICH_VTR_EL2.ListRegs + 1.
    fn count(&self) -> usize;
    /// ICH_LR<n>_EL2.
    fn read(&self, index: usize) -> u64;
    /// Writes ICH_LR<n>_EL2.
    fn write(&mut self, index: usize, image: u64);
    /// ICH_EISR_EL2: those whose interrupt the guest ended and which asked to be told, a bit each.
    fn ended(&self) -> u32;
    /// Reads ICH_HCR_EL2.EOIcount and makes it zero. Called only after LRENPIE was set.
    fn take_eoi_count(&mut self) -> u32;
    /// Writes ICH_HCR_EL2: these bits of [`Control`], with En = 1 and EOIcount = 0. EL2 adds what it wants itself.
    fn set_control(&mut self, control: Control);
    /// ICH_VMCR_EL2 bits 1..0: VENG1 and VENG0, the groups that the guest enabled at its CPU interface.
    fn enabled_groups(&self) -> u32;
}

bitflags::bitflags! {
    /// Bits of ICH_HCR_EL2 that the model uses (IHI 0069, 12.4.8).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Control: u64 {
        /// Maintenance interrupt when the guest ended an interrupt that no list register holds.
        const LRENPIE = 1 << 2;
        /// Maintenance interrupt when no list register is pending.
        const NPIE = 1 << 3;
        /// Maintenance interrupt when the guest enables Group 0.
        const VGRP0EIE = 1 << 4;
        /// Maintenance interrupt when the guest disables Group 0.
        const VGRP0DIE = 1 << 5;
        /// Maintenance interrupt when the guest enables Group 1.
        const VGRP1EIE = 1 << 6;
        /// Maintenance interrupt when the guest disables Group 1.
        const VGRP1DIE = 1 << 7;
        /// Trap ICC_DIR_EL1 writes, which EL2 hands to [`super::Vgic::deactivate`].
        const TDIR = 1 << 14;
    }
}

/// An operation on one core's list registers, on the interrupts `mask` of word `word` (INTID = 32 * word + bit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Only look.
    Query {
        /// Word of INTIDs.
        word: u32,
        /// Interrupts in it.
        mask: u32,
    },
    /// Take pending states out; active ones stay.
    Withdraw {
        /// Word of INTIDs.
        word: u32,
        /// Interrupts in it.
        mask: u32,
    },
    /// Take active states out; pending ones stay.
    Deactivate {
        /// Word of INTIDs.
        word: u32,
        /// Interrupts in it.
        mask: u32,
    },
    /// Give one interrupt that is not active another priority and group.
    Update {
        /// The interrupt.
        intid: u32,
        /// New priority.
        priority: u8,
        /// New group, 0 or 1.
        group1: bool,
    },
}

impl From<Op> for u64 {
    fn from(op: Op) -> u64 {
        let masked =
            |kind: u64, word: u32, mask: u32| kind << 62 | u64::from(word & 31) << 32 | u64::from(mask);
        match op {
            Op::Query { word, mask } => masked(0, word, mask),
            Op::Withdraw { word, mask } => masked(1, word, mask),
            Op::Deactivate { word, mask } => masked(2, word, mask),
            Op::Update { intid, priority, group1 } => {
                3 << 62 | u64::from(group1) << 32 | u64::from(priority) << 16 | u64::from(intid & 0x3ff)
            }
        }
    }
}

impl Op {
    /// Unpacks what `u64::from(op)` packed.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        let (word, mask) = ((bits >> 32) as u32 & 31, bits as u32);
        match bits >> 62 {
            0 => Op::Query { word, mask },
            1 => Op::Withdraw { word, mask },
            2 => Op::Deactivate { word, mask },
            _ => Op::Update { intid: mask & 0x3ff, priority: (mask >> 16) as u8, group1: word & 1 != 0 },
        }
    }
}

/// What one core's list registers held of the asked interrupts *before* the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// These were pending (or pending and active).
    pub pending: u32,
    /// These were active (or pending and active).
    pub active: u32,
}

impl From<State> for u64 {
    fn from(state: State) -> u64 {
        u64::from(state.pending) << 32 | u64::from(state.active)
    }
}

impl From<u64> for State {
    fn from(bits: u64) -> Self {
        State { pending: (bits >> 32) as u32, active: bits as u32 }
    }
}

impl core::ops::BitOrAssign for State {
    fn bitor_assign(&mut self, other: Self) {
        self.pending |= other.pending;
        self.active |= other.active;
    }
}

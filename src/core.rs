//! A core: its block, its system registers, and what it does when its guest does not run.

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::TPIDR_EL2;
use core::sync::atomic::AtomicU64;
use tock_registers::interfaces::Readable;

use partita_model::gic::Drained;
use partita_model::lifecycle::exits::{Exits, Kind};
use partita_model::lifecycle::{Cause, State};
use partita_model::psci::Start;
use partita_model::syndrome::inject::Features;

use crate::gic::hw::Physical;
use crate::gic::{self, KICK, Lrs};
use crate::mmu::Stage1;
use crate::partition::Partition;
use crate::sysreg::{mrs, msr};
use crate::traps::{self, View};
use crate::{board, console, layout, life, muster};

/// What a core keeps for itself. TPIDR_EL2 points to it; vectors.S knows the first five fields.
#[repr(C)]
#[derive(Debug)]
pub struct Core {
    /// The fast path's table of list-register images,
    ready: *const AtomicU64,
    /// and how many of it may be used: none while interrupts wait for a list register.
    ready_count: u64,
    /// This core's exit counters; the fast path counts in the first.
    exits: &'static Exits,
    /// Top of the stack for EL2's own faults.
    emergency: usize,
    /// GICv2's CPU interface and virtual interface control, for the fast path.
    frames: [usize; 2],
    /// The partition that owns this core.
    pub partition: &'static Partition,
    /// Which virtual CPU this core is.
    pub vcpu: usize,
    /// This core's translation tables.
    pub stage1: Stage1,
    /// What exception entry at EL1 depends on.
    pub features: Features,
    /// What the guest finds of this core.
    pub view: View,
    /// Where a series of set/way operations began (trap/setway.rs).
    pub set_way: crate::trap::setway::Series,
}

#[expect(improper_ctypes, reason = "assembly passes the pointer on and never looks behind it")]
unsafe extern "C" {
    fn enter_guest(entry: u64, x0: u64, stack: usize) -> !;
    fn leave_guest(core: *mut Core, stack: usize) -> !;
}

impl Core {
    /// The block of one core; it becomes that core's with [`Core::adopt`].
    pub fn new(partition: &'static Partition, vcpu: usize, stage1: Stage1, emergency: usize) -> Self {
        Self {
            ready: partition.vcpus[vcpu].ready.as_ptr(),
            ready_count: 0,
            exits: &partition.status.exits[vcpu],
            emergency,
            frames: gic::vectors().1,
            partition,
            vcpu,
            stage1,
            features: Features::default(),
            view: View::default(),
            set_way: Default::default(),
        }
    }

    /// The block of the calling core, for the length of one exit.
    ///
    /// # Safety
    /// Called once per exit, by the function that vectors.S or boot.S calls; everything else gets it passed.
    pub unsafe fn current<'a>() -> &'a mut Self {
        // SAFETY: `adopt` set TPIDR_EL2 to this core's block, and the caller has the only reference.
        unsafe { &mut *(TPIDR_EL2.get() as *mut Self) }
    }

    /// Makes the calling core this one, and brings EL2's own registers to their state for good. What they hide from
    /// the guest, the model's ID registers hide too.
    fn adopt(&mut self) {
        self.features =
            Features::new(mrs!("id_aa64pfr0_el1"), mrs!("id_aa64pfr1_el1"), mrs!("id_aa64mmfr1_el1"));
        self.view = View::of_this_core();
        // SAFETY: the tables were made for this core and are in use already (boot.S); activating them again lets the
        // window be opened and closed. The registers are EL2's own controls over a guest that does not run yet.
        unsafe {
            self.stage1.activate();
            msr!("tpidr_el2", core::ptr::from_mut(self) as u64);
            msr!("vbar_el2", gic::vectors().0 as u64);
            traps::set(self.partition.vttbr, self.partition.vtcr, self.vcpu);
        }
        barrier::isb(barrier::SY);
        let seat = self.partition.vcpus[self.vcpu].seat;
        gic::controller().init_core(seat, board::maintenance_intid());
    }

    /// The physical interrupt controller, as this core's partition may use it.
    pub fn physical(&self) -> Physical<'static> {
        Physical { partition: self.partition }
    }

    /// After anything that may have changed what waits for a list register: whether the fast path may run.
    pub fn refresh(&mut self) {
        let all = self.partition.vcpus[self.vcpu].ready.len() as u64;
        self.ready_count = if self.partition.sgi.fast_path_allowed(self.vcpu) { all } else { 0 };
    }

    /// Notes an exit.
    pub fn count(&mut self, exit: Kind) {
        self.exits.count(exit);
    }

    /// Looks at everything that another core may want of this one: after a kick.
    pub fn look(&mut self) {
        self.partition.mailbox.serve(self.vcpu);
        if self.partition.life().is(State::Stopping) {
            self.leave();
        }
        if console::quitting() {
            life::stop(self, Cause::Quit);
        }
        console::receive(self);
        self.drain();
    }

    /// Puts what others made pending for this virtual CPU into its list registers.
    pub fn drain(&mut self) {
        if gic::drain(&self.partition.sgi, self.vcpu) == Drained::NeedsLock {
            let mut state = self.partition.lock(self.vcpu);
            state.vgic.kicked(self.vcpu, &mut self.physical(), &mut Lrs);
        }
        self.refresh();
    }

    /// Has virtual CPUs look at what was sent to them: others by a kick, this one at once.
    pub fn notify(&mut self, mut vcpus: u64) {
        while vcpus != 0 {
            let vcpu = vcpus.trailing_zeros() as usize;
            vcpus &= vcpus - 1;
            if vcpu == self.vcpu {
                self.drain();
            } else {
                gic::controller().kick(self.partition.vcpus[vcpu].seat);
            }
        }
    }

    /// Gives the guest's context up. The caller has told the model, or the partition is ending.
    pub fn leave(&mut self) -> ! {
        let mut state = self.partition.lock(self.vcpu);
        state.vgic.offline(self.vcpu, &mut self.physical(), &mut Lrs);
        drop(state);
        gic::controller().reset_virtual();
        // SAFETY: nothing on this stack is needed any more: this exit's frame ends with the guest's context.
        unsafe { leave_guest(self, layout::STACK_TOP) }
    }

    /// Starts this virtual CPU afresh.
    pub fn enter(&mut self, start: Start) -> ! {
        self.set_way = Default::default();
        traps::reset_el1();
        {
            let mut state = self.partition.lock(self.vcpu);
            state.vgic.online(self.vcpu, &mut self.physical(), &mut Lrs);
        }
        self.refresh();
        // SAFETY: the entry lies in the partition's RAM, behind stage 2; EL1 is in its state after reset.
        unsafe { enter_guest(start.entry.0, start.context, layout::STACK_TOP) }
    }

    /// Starts this virtual CPU afresh from within the guest: a power-down suspend that ended.
    pub fn restart(&mut self, start: Start) -> ! {
        let mut state = self.partition.lock(self.vcpu);
        state.vgic.offline(self.vcpu, &mut self.physical(), &mut Lrs);
        drop(state);
        gic::controller().reset_virtual();
        self.enter(start)
    }

    /// Waits for an interrupt with the guest's context in place; whatever it is, it is taken when the guest runs.
    pub fn standby(&mut self) {
        let pending = {
            let state = self.partition.lock(self.vcpu);
            state.vgic.pending_anywhere(self.vcpu, &Lrs)
        };
        if !pending {
            sleep();
        }
    }
}

/// Every core's first Rust function with tables, stack and block of its own.
#[unsafe(no_mangle)]
extern "C" fn core_main(core: *mut Core) -> ! {
    // SAFETY: boot.S passes the block that was made for this core.
    let core = unsafe { &mut *core };
    core.adopt();
    muster::report();
    idle(core)
}

/// Where a core goes that left its guest (vectors.S).
#[unsafe(no_mangle)]
extern "C" fn core_idle(core: *mut Core) -> ! {
    // SAFETY: vectors.S passes what `Core::leave` gave it; the reference there is gone with its stack.
    idle(unsafe { &mut *core })
}

/// Waits for orders: load the partition, start a virtual CPU, or nothing for ever.
fn idle(core: &mut Core) -> ! {
    let partition = core.partition;
    partition.lock(core.vcpu).parked += 1;
    loop {
        partition.mailbox.serve(core.vcpu);
        if partition.life().is(State::Running) {
            // The console's kicks come here also when this virtual CPU is off and another one runs.
            console::receive(core);
            if console::quitting() {
                life::end(core, Cause::Quit);
            }
        }
        let mut state = partition.lock(core.vcpu);
        match partition.life().get().0 {
            State::Running => {
                if let Some(start) = state.psci.arrived(core.vcpu) {
                    state.parked -= 1;
                    drop(state);
                    gic::controller().mask_all_but_kick(false);
                    core.enter(start);
                }
                drop(state);
            }
            State::Loading if core.vcpu == 0 => {
                drop(state);
                life::load(core);
                continue;
            }
            State::Stopping if state.parked == partition.vcpus.len() => {
                life::finish(core, state);
                continue;
            }
            _ => drop(state),
        }
        wait();
    }
}

/// Sleeps until an interrupt is pending; masked ones wake the core too.
fn sleep() {
    barrier::dsb(barrier::SY);
    aarch64_cpu::asm::wfi();
}

/// Sleeps until something that is EL2's own arrives. The guest's interrupts stay pending where they are.
fn wait() {
    let gic = gic::controller();
    gic.mask_all_but_kick(true);
    sleep();
    loop {
        let taken = gic.acknowledge();
        let intid = taken.intid();
        if taken.is_special() {
            break;
        }
        gic.drop_priority(taken);
        if intid != KICK && intid == board::uart_intid() {
            console::interrupt();
        }
        gic.deactivate(taken);
    }
}

//! A core: its block, its system registers, and what it does when its guest does not run.

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{MPIDR_EL1, TPIDR_EL2};
use alloc::vec::Vec;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tock_registers::interfaces::Readable;

use partita_abi::smccc;
use partita_model::addr::Ipa;
use partita_model::crash::Refused;
use partita_model::gic::{Block, Drained, ListRegisters, Mirror, REDIST_SIZE};
use partita_model::lifecycle::exits::{self, Exits};
use partita_model::lifecycle::{Cause, Order, State, order};
use partita_model::plan;
use partita_model::psci::Start;
use partita_model::smccc::Workaround;
use partita_model::speculation::Guard;
use partita_model::syndrome::inject::Features;

use crate::audit::{self, Auditor, Verdict};
use crate::gic::hw::Physical;
use crate::gic::{self, KICK, Lrs, Seat};
use crate::kinds::{self, Kind};
use crate::mmu::Stage1;
use crate::partition::{self, Partition, Vcpu};
use crate::sysreg::{mrs, msr};
use crate::trap::Fault;
use crate::traps::{self, View};
use crate::window::Window;
use crate::{board, console, crash, el1, heap, layout, life, muster, power, smmu, watchdog};

/// What the fast path of SGIs needs of this core.
#[repr(C)]
#[derive(Debug)]
struct Sgis {
    /// The target list of this virtual CPU alone; all ones if no list alone can name it.
    itself: u64,
    /// This virtual CPU's block.
    block: *const Block,
    /// The virtual CPUs that SGIs may go to: where the last of 64 would be. A list of targets that names one alone has as many
    /// leading zeros as that one is before it.
    peers: *const Peer,
    /// The least number of leading zeros that names one.
    least: u64,
    /// This virtual CPU as GICH_LR<n>.CPUID names it (GICv2).
    source: u64,
    /// ICH_ELRSR_EL2 when every list register is free.
    all_free: u64,
}

/// What the fast path of loads and stores needs: two pages of guest-physical addresses, and what is read there.
#[repr(C)]
#[derive(Debug)]
struct Registers {
    /// The distributor, as HPFAR_EL2 has it.
    dist: u64,
    /// Its mirror.
    dist_words: *const AtomicU32,
    /// This virtual CPU's SGI frame (GICv3).
    sgi_frame: u64,
    /// Its mirror.
    sgi_words: *const AtomicU32,
}

/// A virtual CPU, as another of its partition sends it an SGI.
#[repr(C)]
#[derive(Debug)]
pub struct Peer {
    /// Its marks.
    pending: *const u8,
    /// What [`gic::DOORBELL`] is sent with; in a direct partition any SGI, with its number added.
    doorbell: AtomicU64,
}

/// The most virtual CPUs that one list of targets can name.
const LISTED: usize = 16;

/// What a core keeps for itself. TPIDR_EL2 points to it; vectors.S knows the fields that have constants below.
#[repr(C)]
#[derive(Debug)]
pub struct Core {
    /// The fast path's table of list-register images,
    ready: *const AtomicU64,
    /// and how many of it may be used: none while interrupts wait for a list register.
    ready_count: u64,
    /// For SGIs.
    sgis: Sgis,
    /// This core's exit counters.
    exits: &'static Exits,
    /// GICv2's CPU interface, virtual interface control and distributor, for the fast path.
    frames: [usize; 3],
    /// For registers that are mirrored.
    registers: Registers,
    /// What vectors.S does on the way to Rust.
    guard: Guard,
    /// The partition that owns this core.
    pub partition: &'static Partition,
    /// Which virtual CPU this core is,
    pub vcpu: usize,
    /// and what the partition keeps of it.
    own: &'static Vcpu,
    /// The virtual CPUs that SGIs may go to.
    peers: &'static [Peer],
    /// This core's translation tables.
    pub stage1: Stage1,
    /// Where it opens memory of its partition.
    pub window: Window,
    /// Its part in an audit.
    pub auditor: Auditor,
    /// Whether it is the first of all, which gives the word to begin.
    pub begins: bool,
    /// What exception entry at EL1 depends on.
    pub features: Features,
    /// What the guest finds of this core.
    pub view: View,
    /// Where EL2 failed on this core.
    pub fault: Option<Fault>,
    /// Not counted as out of the guest.
    inside: bool,
    /// The guest's last access that was refused since it started.
    pub refused: Option<Refused>,
    /// How often the user had asked for records when it looked last.
    pub recalled: u32,
    /// Where a series of set/way operations began (trap/setway.rs).
    pub set_way: crate::trap::setway::Series,
}

/// A page as HPFAR_EL2.FIPA has it: bits 51..12 in 43..4 (DDI 0487, HPFAR_EL2).
fn fault_page(base: Ipa) -> u64 {
    base.0 >> 12 << 4
}

/// Where a redistributor has its SGI frame (IHI 0069, 12.10).
const SGI_FRAME: u64 = 0x1_0000;

#[expect(improper_ctypes, reason = "assembly passes the pointer on and never looks behind it")]
unsafe extern "C" {
    fn enter_guest(entry: u64, x0: u64, stack: usize) -> !;
    fn leave_guest(core: *mut Core, stack: usize) -> !;
}

impl Core {
    /// Offset of the table's address and of its usable length.
    pub const READY: usize = offset_of!(Core, ready);
    /// Offset of the address of the exit counters.
    pub const EXITS: usize = offset_of!(Core, exits);
    /// Offset of the addresses of GICC, GICH and GICD.
    pub const FRAMES: usize = offset_of!(Core, frames);
    /// Offset of what SGIs need.
    pub const SGIS: usize = offset_of!(Core, sgis);
    /// Offset of what guards the way to Rust.
    pub const GUARD: usize = offset_of!(Core, guard);

    /// Offset of what mirrored registers need.
    pub const REGISTERS: usize = offset_of!(Core, registers);

    /// The block of one core; it becomes that core's with [`Core::adopt`].
    pub fn new(
        partition: &'static Partition,
        vcpu: usize,
        stage1: Stage1,
        window: Window,
        auditor: Auditor,
    ) -> Self {
        let (own, blocks) = (&partition.vcpus[vcpu], partition.sgi.blocks());
        let peer = |block: &Block| Peer {
            pending: core::ptr::from_ref(block).cast::<u8>().wrapping_add(Block::PENDING),
            doorbell: AtomicU64::new(0),
        };
        let words = |page: usize| {
            partition.mirrors.get(page).map_or(core::ptr::null(), |page: &Mirror| page.words().as_ptr())
        };
        // In this core's own arena, for ever.
        let peers: &'static [Peer] = Vec::leak(blocks.iter().take(LISTED).map(peer).collect());
        Self {
            ready: own.ready.as_ptr(),
            ready_count: 0,
            sgis: Sgis {
                itself: if vcpu < LISTED { 1 << vcpu } else { u64::MAX },
                block: core::ptr::from_ref(&blocks[vcpu]),
                peers: peers.as_ptr().wrapping_add(u64::BITS as usize - 1),
                least: u64::from(u64::BITS) - peers.len() as u64,
                source: (vcpu as u64) << 10,
                all_free: 0,
            },
            exits: partition.status.exits[vcpu],
            frames: gic::vectors(false, partition.direct).1,
            registers: match gic::version() {
                // The one page is the distributor as this virtual CPU sees it.
                gic::Version::V2 => Registers {
                    dist: fault_page(partition.dist.base),
                    dist_words: words(vcpu),
                    sgi_frame: u64::MAX,
                    sgi_words: core::ptr::null(),
                },
                gic::Version::V3 => Registers {
                    dist: fault_page(partition.dist.base),
                    dist_words: words(0),
                    sgi_frame: fault_page(Ipa(partition.redists.base.0
                        + REDIST_SIZE * vcpu as u64
                        + SGI_FRAME)),
                    sgi_words: words(vcpu + 1),
                },
            },
            guard: Guard::default(),
            partition,
            vcpu,
            own,
            peers,
            stage1,
            window,
            auditor,
            begins: false,
            features: Features::default(),
            view: View::default(),
            fault: None,
            inside: true,
            refused: None,
            recalled: 0,
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
    /// the guest, the model's ID registers hide too. Answers with what kind of core it is.
    fn adopt(&mut self) -> Kind {
        self.features =
            Features::new(mrs!("id_aa64pfr0_el1"), mrs!("id_aa64pfr1_el1"), mrs!("id_aa64mmfr1_el1"));
        let kind = Kind::of_this_core();
        self.view = View::new(&traps::host(), &kind.speculation);
        self.guard = kind.speculation.guard();
        // SAFETY: the tables were made for this core and are in use already (boot.S); activating them again lets the
        // window be opened and closed. The registers are EL2's own controls over a guest that does not run yet.
        unsafe {
            self.stage1.activate();
            msr!("tpidr_el2", core::ptr::from_mut(self) as u64);
            msr!("vbar_el2", gic::vectors(self.guard.is_needed(), self.partition.direct).0 as u64);
            traps::set(self.partition, self.vcpu);
        }
        barrier::isb(barrier::SY);
        gic::controller().init_core(self.own.seat, self.own_interrupts());
        watchdog::set_timer(None);
        self.sgis.all_free = (1 << Lrs.count()) - 1;
        kind
    }

    /// This core, as the interrupt controller knows it.
    pub fn seat(&self) -> Seat {
        self.own.seat
    }

    /// The private interrupts of this core that are EL2's own.
    pub fn own_interrupts(&self) -> gic::Own {
        board::own_interrupts(self.partition.watchdog.is_some())
    }

    /// Sets the input of an emulated device's SPI, and has the virtual CPU that it is for look at it.
    pub fn set_line(&self, state: &mut partition::State, intid: u32, level: bool) {
        match state.vgic.set_line(intid, level) {
            Some(vcpu) if vcpu == self.vcpu => state.vgic.kicked(vcpu, &mut self.physical(), &mut Lrs),
            Some(vcpu) => self.partition.kick(vcpu),
            None => {}
        }
    }

    /// The physical interrupt controller, as this core's partition may use it.
    pub fn physical(&self) -> Physical<'static> {
        Physical { partition: self.partition }
    }

    /// After anything that may have changed what waits for a list register: whether the fast path may run.
    pub fn refresh(&mut self) {
        let all = self.own.ready.len() as u64;
        let fast = self.partition.sgi.fast_path_allowed(self.vcpu) && !self.auditor.is_busy();
        self.ready_count = if fast { all } else { 0 };
    }

    /// Goes on with an audit that was asked for.
    pub fn audit(&mut self) {
        if audit::go_on(self) == Verdict::Broken {
            life::stop(self, Cause::Audit);
        }
    }

    /// Notes an exit.
    pub fn count(&mut self, exit: exits::Kind) {
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
        crash::recall(self);
        self.drain();
        self.audit();
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
                self.partition.kick(vcpu);
            }
        }
    }

    /// A direct partition's core looks at each exit that comes to Rust for what others learn by a kick.
    pub fn glance(&mut self) {
        if self.partition.life().is(State::Stopping) {
            // Where another partition said so, nobody has told its other cores yet.
            life::spread(self);
            self.leave();
        }
        if console::quitting() {
            life::stop(self, Cause::Quit);
        }
        if self.auditor.is_wanted() {
            self.audit();
        }
    }

    /// Sends a direct partition's SGI to virtual CPUs, as a physical one.
    pub fn send_directly(&self, mut vcpus: u64, intid: u64, group0: bool) {
        while vcpus != 0 {
            if let Some(vcpu) = self.partition.vcpus.get(vcpus.trailing_zeros() as usize) {
                gic::controller().send(vcpu.seat, intid as u32, group0);
            }
            vcpus &= vcpus - 1;
        }
    }

    /// The guest does not run any more: nothing is forwarded to it, and the interrupt controller's part of this core is as
    /// after reset.
    fn close(&mut self) {
        {
            let mut state = self.partition.lock(self.vcpu);
            crash::note(self, &mut state);
            state.vgic.offline(self.vcpu, &mut self.physical(), &mut Lrs);
        }
        if self.partition.direct {
            gic::controller().take_back(self.own.seat, self.own_interrupts());
            self.partition.status.inside(self.vcpu, false);
        } else {
            gic::controller().reset_virtual();
        }
    }

    /// Gives the guest's context up. The caller has told the model, or the partition is ending.
    #[cold]
    #[inline(never)]
    pub fn leave(&mut self) -> ! {
        self.close();
        // SAFETY: nothing on this stack is needed any more: this exit's frame ends with the guest's context.
        unsafe { leave_guest(self, layout::STACK_TOP) }
    }

    /// Starts this virtual CPU afresh.
    pub fn enter(&mut self, start: Start) -> ! {
        // By now every core has come, and has told what it is called.
        for (peer, vcpu) in self.peers.iter().zip(&self.partition.vcpus) {
            let doorbell = gic::controller().doorbell(vcpu.seat);
            // A direct guest's SGIs are physical: their number is what it says.
            let number = if self.partition.direct { gic::sgi_number() } else { 0 };
            peer.doorbell.store(doorbell & !number, Ordering::Relaxed);
        }
        self.set_way = Default::default();
        self.refused = None;
        el1::reset();
        if self.view.mitigations.store_bypass == Workaround::Firmware {
            // The guest's switch, and on as a core starts with it (DEN 0028, SMCCC_ARCH_WORKAROUND_2).
            power::firmware(smccc::ARCH_WORKAROUND_2, [1, 0, 0]);
        }
        if self.partition.direct {
            self.partition.status.inside(self.vcpu, true);
            gic::controller().give();
        }
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
        self.close();
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
    let kind = core.adopt();
    if let Err(fault) = audit::registers(core) {
        log::error!("audit: core {:#x}: {fault}; nothing starts", MPIDR_EL1.get() & plan::MPIDR_AFFINITY);
        power::off();
    }
    if core.begins {
        heap::hand_over(&mut core.window);
        muster::go();
    } else {
        kinds::report(kind);
        muster::report();
    }
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
    if core.inside {
        // It comes here from EL2's own loop, too, if that failed.
        partition.lock(core.vcpu).parked += 1;
        core.inside = false;
    }
    loop {
        partition.mailbox.serve(core.vcpu);
        console::go_on(partition.number);
        crash::recall(core);
        if partition.life().is(State::Running) {
            // The console's kicks come here also when this virtual CPU is off and another one runs.
            console::receive(core);
            if console::quitting() {
                life::end(core, Cause::Quit);
            }
            // This core may be the one whose timer drives it, though its virtual CPU is off.
            if watchdog::look(core) {
                life::end(core, Cause::Watchdog);
            }
        }
        if audit::go_on(core) == Verdict::Broken {
            life::end(core, Cause::Audit);
        }
        let mut state = partition.lock(core.vcpu);
        let (life, vcpus, parked) = (partition.life().get().0, partition.vcpus.len(), state.parked);
        match order(life, core.vcpu, vcpus, parked, &mut state.psci) {
            Order::Enter(start) => {
                state.parked -= 1;
                core.inside = true;
                drop(state);
                gic::controller().mask_all_but_kick(false);
                core.enter(start);
            }
            Order::Load => {
                drop(state);
                life::load(core);
                continue;
            }
            Order::Finish => {
                life::finish(core, state);
                continue;
            }
            Order::Gather if partition.direct => {
                gic::wake(&mut core.physical());
                drop(state);
            }
            Order::Gather | Order::Wait => drop(state),
        }
        // An audit that an interrupt held up goes on after it.
        wait(partition, !core.auditor.is_busy());
    }
}

/// Sleeps until an interrupt is pending; masked ones wake the core too.
fn sleep() {
    barrier::dsb(barrier::SY);
    aarch64_cpu::asm::wfi();
}

/// Takes what is EL2's own, or sleeps until something of that arrives; an SMMU's interrupt comes only where the partition has
/// devices behind one. The guest's interrupts stay pending where they are.
fn wait(partition: &Partition, sleeping: bool) {
    let gic = gic::controller();
    gic.mask_all_but_kick(true);
    if sleeping {
        sleep();
    }
    loop {
        let taken = gic.acknowledge();
        let intid = taken.intid();
        if taken.is_special() {
            break;
        }
        gic.drop_priority(taken);
        if intid != KICK && intid == board::uart_intid() {
            console::interrupt(partition.number);
        } else if !watchdog::silence(partition, intid) && partition.streams {
            smmu::interrupt(intid);
        }
        gic.deactivate(taken);
    }
}

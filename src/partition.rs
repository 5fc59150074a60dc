//! A partition at run time: what its cores share. Only they map it; no other partition's core can reach it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Deref;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use partita_model::addr::{Ipa, IpaSpan, PaSpan};
use partita_model::audit::{Form, Region};
use partita_model::bundle::Sum;
use partita_model::crash::Record;
use partita_model::gic::{Mirror, Op, Shared, State as Irqs, Vgic, perform};
use partita_model::lifecycle::{Lifecycle, Policy};
use partita_model::pci::Host;
use partita_model::plan::Memory;
use partita_model::psci::{Psci, Start};
use partita_model::watchdog::Watchdog;
use spin::mutex::{SpinMutex, SpinMutexGuard};

use crate::console::Terminal;
use crate::gic::{Lrs, Seat};
use crate::status::Status;
use crate::supervise::Supervisor;
use crate::trap::within_patience;

/// One partition.
#[derive(Debug)]
pub struct Partition {
    setup: Setup,
    /// The part of its interrupt state that needs no lock.
    pub sgi: Arc<Shared>,
    /// Its interrupt registers, as far as they can be read without the lock.
    pub mirrors: Arc<[Mirror]>,
    /// Requests to another core's list registers.
    pub mailbox: Mailbox,
    state: SpinMutex<State>,
}

/// What never changes once the partition was prepared.
#[derive(Debug)]
pub struct Setup {
    /// Its number in the plan.
    pub number: usize,
    /// What the machine knows of it.
    pub status: &'static Status,
    /// Its memory.
    pub memory: Vec<Memory>,
    /// Its virtual CPUs.
    pub vcpus: Vec<Vcpu>,
    /// Where it sees its distributor.
    pub dist: IpaSpan,
    /// Where it sees its redistributors; nothing with GICv2.
    pub redists: IpaSpan,
    /// Whether physical interrupts reach it without EL2. The root of its stage 2 then is kept here too: the one who ends it
    /// empties the table, which is what reaches a core that no kick does.
    pub direct: bool,
    /// The SPI by which EL2 reaches it then,
    pub bell: Option<u32>,
    /// and where that root lies, and what is in it.
    pub root: (PaSpan, Vec<u8>),
    /// Whether maintenance that it asks of all cores stays on its own, which is its only one: others' cores would stop for it. One
    /// that has the machine to itself has nobody to spare, and no exit for it.
    pub spares_others: bool,
    /// Whether devices of its are behind an SMMU that EL2 drives; its cores then map what that needs.
    pub streams: bool,
    /// Where it sees its emulated UART, and that one's interrupt.
    pub console: Option<(IpaSpan, u32)>,
    /// The device by which it supervises others, if it does.
    pub supervisor: Option<Supervisor>,
    /// The interrupt of its watchdog, if it has one.
    pub watchdog: Option<u32>,
    /// Where it sees configuration space of PCI functions, bridge by bridge as in [`State::pci`], and after that its watchdog's
    /// frames, control and refresh.
    pub windows: Vec<IpaSpan>,
    /// VTTBR_EL2: VMID and root of stage 2.
    pub vttbr: u64,
    /// VTCR_EL2.
    pub vtcr: u64,
    /// What its stage 2 has to map, by the plan,
    pub wanted: &'static [Region],
    /// and in what form.
    pub form: Form,
    /// How it is filled and started.
    pub image: Image,
}

impl Deref for Partition {
    type Target = Setup;

    fn deref(&self) -> &Setup {
        &self.setup
    }
}

/// What a partition's cores change together, under its lock.
#[derive(Debug)]
pub struct State {
    /// Its interrupts.
    pub vgic: Vgic,
    /// Its virtual CPUs' power.
    pub psci: Psci,
    /// Its emulated UART.
    pub terminal: Terminal,
    /// Its PCI functions.
    pub pci: Vec<Host>,
    /// Its watchdog; nothing ever enables that of a partition without one.
    pub watchdog: Watchdog,
    /// Virtual CPUs that are not in the guest.
    pub parked: usize,
    /// What it was doing when it failed last.
    pub record: Record,
    /// Whether it comes back when it has ended.
    pub policy: Policy,
}

/// A virtual CPU.
#[derive(Debug)]
pub struct Vcpu {
    /// The core that it is.
    pub seat: Seat,
    /// List-register images by INTID, for the fast path.
    pub ready: Vec<AtomicU64>,
}

/// What goes into a partition's memory before it starts.
#[derive(Debug)]
pub struct Image {
    /// The files that the pieces are of, and their checksums. The bundle is the pristine copy: it lies where no partition's
    /// memory is, and what cores map of it they map for reading.
    pub files: Vec<File>,
    /// Bytes of the bundle, and where they go.
    pub pieces: Vec<(&'static [u8], PaSpan)>,
    /// The device tree, and where it goes.
    pub tree: Option<(Vec<u8>, PaSpan)>,
    /// First instruction, and x0.
    pub start: Start,
    /// Whether its memory is cleared before the first launch too.
    pub clear_first: bool,
}

/// A file of the bundle that a partition is made of.
#[derive(Debug)]
pub struct File {
    /// Its bytes, in the bundle.
    pub bytes: &'static [u8],
    /// As SHA256SUMS has it.
    pub sum: Sum,
}

impl Partition {
    /// A partition that is to be loaded.
    pub fn new(setup: Setup, vgic: Vgic, pci: Vec<Host>, policy: Policy) -> Self {
        let psci = Psci::new(setup.vcpus.len());
        let record = Record::new(setup.vcpus.len());
        let terminal = Terminal::new(&setup.status.name, setup.number);
        Self {
            setup,
            sgi: vgic.shared(),
            mirrors: vgic.mirrors(),
            mailbox: Mailbox::default(),
            state: SpinMutex::new(State {
                vgic,
                psci,
                terminal,
                pci,
                watchdog: Watchdog::new(),
                parked: 0,
                record,
                policy,
            }),
        }
    }

    /// Takes the partition's lock. While it waits, this core answers requests to its list registers, so that the
    /// holder, which may be waiting for that answer, goes on.
    pub fn lock(&self, vcpu: usize) -> SpinMutexGuard<'_, State> {
        loop {
            if let Some(guard) = self.state.try_lock() {
                return guard;
            }
            self.mailbox.serve(vcpu);
            core::hint::spin_loop();
        }
    }

    /// Sees to it that the partition's lock can be had, for a core that failed: if it is this one's own, what that was in the midst of
    /// stays as it is. What it changes is the partition's alone, which ends.
    pub fn free(&self, vcpu: usize) {
        let free = || {
            self.mailbox.serve(vcpu);
            self.state.try_lock().is_some()
        };
        if !within_patience(free) {
            // SAFETY: the holder's stack is abandoned, so its guard is never used again, nor the reference behind it.
            unsafe { self.state.force_unlock() };
        }
    }

    /// Where it is in its life. It changes under the partition's lock only.
    pub fn life(&self) -> &'static Lifecycle {
        self.status.life
    }

    /// Kicks the core of a virtual CPU; one that the partition does not have is nobody's.
    pub fn kick(&self, vcpu: usize) {
        if let Some(target) = self.vcpus.get(vcpu) {
            self.status.kick(vcpu, target.seat);
        }
    }

    /// Whether a guest address is RAM of this partition.
    pub fn is_ram(&self, ipa: Ipa) -> bool {
        self.memory.iter().any(|memory| memory.ipa.contains(ipa))
    }
}

/// A request of the core that holds the partition's lock to the list registers of another. There is one at a time.
#[derive(Debug, Default)]
pub struct Mailbox {
    /// vCPU number + 1, or 0 when nothing is asked.
    target: AtomicUsize,
    op: AtomicU64,
    reply: AtomicU64,
}

impl Mailbox {
    /// Asks another core and waits. It answers from its kick handler, while it waits for the lock, or while it idles,
    /// so within the time of one exit.
    pub fn ask(&self, vcpu: usize, op: Op, kick: impl Fn()) -> Irqs {
        self.op.store(op.into(), Ordering::Relaxed);
        self.target.store(vcpu + 1, Ordering::Release);
        kick();
        while self.target.load(Ordering::Acquire) != 0 {
            core::hint::spin_loop();
        }
        Irqs::from(self.reply.load(Ordering::Relaxed))
    }

    /// Answers a request to this core, if there is one.
    pub fn serve(&self, vcpu: usize) {
        if self.target.load(Ordering::Acquire) == vcpu + 1 {
            let state = perform(Op::from_bits(self.op.load(Ordering::Relaxed)), &mut Lrs);
            self.reply.store(state.into(), Ordering::Relaxed);
            self.target.store(0, Ordering::Release);
        }
    }
}

//! One SMMU that EL2 drives.

use alloc::string::String;
use alloc::vec::Vec;

use aarch64_cpu::asm::barrier;
use partita_model::smmu::{
    Command, Event, Faults, Features, Guard, Mode, Note, Owned, Owner, RECORDED, StreamTable, Words,
};

use super::memory::{Coherence, Ring};
use super::regs::{self, Regs, Stuck, cr0, irq};
use crate::{console, status};

/// Most streams that are forgotten one by one.
const FEW: u32 = 8;
/// Interrupts about its own errors that are taken before they are turned off.
const ERRORS: u32 = 16;
/// Of these, how many are told.
const TOLD: u32 = 4;

/// GERROR.CMDQ_ERR and SFM_ERR: it takes no commands, or does nothing at all any more.
const FATAL: u32 = 1 << 0 | 1 << 8;
/// EVENTQ_PROD.OVFLG, and CONS.OVACKFLG, which acknowledges it by being the same.
const OVERFLOW: u32 = 1 << 31;

/// A partition whose devices are behind it.
#[derive(Debug)]
pub struct Tenant {
    /// Its number.
    pub partition: usize,
    /// Its streams, and what they reach.
    pub owner: Owner,
    /// Their entries.
    pub owned: Owned,
    mode: Mode,
    faults: Faults,
}

/// An SMMU.
#[derive(Debug)]
pub struct Device {
    regs: Regs,
    path: String,
    coherence: Coherence,
    commands: Ring,
    /// What the producer's counter will be.
    next: u32,
    events: Ring,
    tenants: Vec<Tenant>,
    /// It failed: it aborts everything, and is not asked for anything any more.
    dead: bool,
    errors: u32,
    strays: u32,
}

impl Device {
    /// Everything that it needs, in the arena that is open.
    pub fn new(
        path: String,
        regs: Regs,
        features: &Features,
        coherence: Coherence,
        owned: Vec<(usize, Owner, Owned)>,
    ) -> Self {
        let tenant = |(partition, owner, owned)| Tenant {
            partition,
            owner,
            owned,
            mode: Mode::Abort,
            faults: Faults::default(),
        };
        Self {
            regs,
            path,
            coherence,
            commands: Ring::new(size_of::<[u64; 2]>(), features.commands, coherence),
            next: 0,
            events: Ring::new(size_of::<[u64; Event::WORDS]>(), features.events, coherence),
            tenants: owned.into_iter().map(tenant).collect(),
            dead: false,
            errors: 0,
            strays: 0,
        }
    }

    /// Turns translation on, with every stream aborted. It was off until now, and aborted everything.
    pub fn start(&mut self, table: &StreamTable, ats: bool) -> Result<(), Stuck> {
        let regs = self.regs;
        regs.control(0)?;
        regs.interrupts(0)?;
        regs.write(regs::CR1, regs::CR1_CACHED);
        regs.write(regs::CR2, regs::CR2_PTM);
        regs.write64(regs::STRTAB_BASE, 1 << 62 | table.base.0);
        regs.write(regs::STRTAB_BASE_CFG, table.config);
        regs.write64(regs::CMDQ_BASE, self.commands.base());
        regs.write(regs::CMDQ_PROD, 0);
        regs.write(regs::CMDQ_CONS, 0);
        regs.write64(regs::EVENTQ_BASE, self.events.base());
        regs.write(regs::EVENTQ_PROD, 0);
        regs.write(regs::EVENTQ_CONS, 0);
        // Errors of who drove it before.
        regs.write(regs::GERRORN, regs.read(regs::GERROR));
        // No message-signalled interrupts: their addresses are zero.
        regs.write64(regs::GERROR_IRQ_CFG0, 0);
        regs.write64(regs::EVENTQ_IRQ_CFG0, 0);
        regs.control(cr0::CMDQEN)?;
        self.command([Command::ForgetStreams, Command::ForgetTranslations])?;
        regs.control(cr0::CMDQEN | cr0::EVENTQEN)?;
        regs.interrupts(irq::GERROR | irq::EVENTQ)?;
        let check = if ats { cr0::ATSCHK } else { 0 };
        regs.control(cr0::CMDQEN | cr0::EVENTQEN | check)?;
        regs.control(cr0::CMDQEN | cr0::EVENTQEN | check | cr0::SMMUEN)
    }

    /// Gives commands and waits until they have taken effect, which is when every transaction that went by what they
    /// make it forget has ended (IHI 0070, 4.7).
    fn command(&mut self, commands: impl IntoIterator<Item = Command>) -> Result<(), Stuck> {
        for command in commands.into_iter().chain([Command::Sync]) {
            self.commands.put(self.next, command.encode());
            self.next = self.commands.queue.next(self.next);
        }
        barrier::dsb(barrier::SY);
        self.regs.write(regs::CMDQ_PROD, self.next);
        let queue = self.commands.queue;
        // An error in the upper bits leaves the counter where it is: that ends the wait by its bound, and the SMMU.
        self.regs.wait(regs::CMDQ_CONS, "SMMU_CMDQ_CONS", |consumer| queue.is_empty(self.next, consumer))
    }

    /// What becomes of a partition's streams from now on. When this returns nothing is under way by older rules.
    pub fn set(&mut self, partition: usize, translate: bool) {
        let mine = |tenant: &Tenant| tenant.partition == partition;
        let Some(at) = self.tenants.iter().position(mine) else { return };
        let silent = self.tenants.get(at).is_some_and(|tenant| tenant.faults.silent());
        let mode = match (translate, silent) {
            (false, _) => Mode::Abort,
            (true, false) => Mode::Translate,
            (true, true) => Mode::Silent,
        };
        self.write(at, mode);
    }

    fn write(&mut self, at: usize, mode: Mode) {
        if self.dead {
            return;
        }
        let Some(tenant) = self.tenants.get_mut(at) else { return };
        let Tenant { owner: Owner { streams, guard }, owned, mode: now, .. } = tenant;
        *now = mode;
        let guard: Guard = *guard;
        owned.set(&mut self.coherence, &guard, mode);
        // Entries first, then what was translated by them.
        let mut commands = [Command::ForgetVmid(guard.vmid); FEW as usize + 1];
        let all = streams.iter().fold(0_u32, |sum, run| sum.saturating_add(run.count));
        let used = if all <= FEW && self.commands.queue.entries() > FEW + 2 {
            let ids = streams.iter().flat_map(|run| run.first..=run.last());
            commands.iter_mut().zip(ids).for_each(|(command, id)| *command = Command::ForgetStream(id));
            all as usize + 1
        } else {
            commands[0] = Command::ForgetStreams;
            2
        };
        if let Err(Stuck(register)) = self.command(commands.into_iter().take(used)) {
            self.die(Words::default().text(register).text(" does not change"));
        }
    }

    /// One that does not work is turned off, and with that aborts everything (GBPA); nothing is asked of it any more.
    fn die(&mut self, why: Words) {
        self.dead = true;
        self.regs.write(regs::IRQ_CTRL, 0);
        self.regs.write(regs::CR0, 0);
        let words =
            Words::default().text(&self.path).text(" failed; all DMA through it is refused from now on");
        console::tell(words.bytes());
        console::tell(why.bytes());
    }

    /// Takes the events that wait: as many as the queue holds twice, so that a flood ends here; true if more wait.
    pub fn drain(&mut self) -> bool {
        let queue = self.events.queue;
        if self.dead {
            return false;
        }
        for _ in 0..2 * queue.entries() {
            let producer = self.regs.read(regs::EVENTQ_PROD);
            let consumer = self.regs.read(regs::EVENTQ_CONS);
            if queue.is_empty(producer, consumer) {
                // Where events were lost, the next loss is to be seen too.
                if (producer ^ consumer) & OVERFLOW != 0 {
                    self.regs.write(regs::EVENTQ_CONS, consumer ^ OVERFLOW);
                }
                return false;
            }
            let event = self.events.get(consumer);
            self.regs.write(regs::EVENTQ_CONS, queue.next(consumer) | consumer & OVERFLOW);
            self.attribute(&event);
        }
        true
    }

    /// Says whose fault an event is, and keeps the next from being a burden.
    fn attribute(&mut self, event: &Event) {
        let has =
            |tenant: &Tenant| tenant.owner.streams.iter().any(|run| run.contains(run.smmu, event.stream));
        let found = self.tenants.iter_mut().enumerate().find(|(_, tenant)| has(tenant));
        let Some((at, tenant)) = found else {
            self.strays = self.strays.saturating_add(1);
            if self.strays <= TOLD {
                let words = Words::default().text(&self.path).text(" refused ");
                console::tell(event.tell(words).text(", which no partition has").bytes());
            }
            return;
        };
        let note = tenant.faults.note();
        let translates = tenant.mode == Mode::Translate;
        let Some(status) = status::all().get(tenant.partition) else { return };
        if note != Note::Late {
            status.count_dma();
        }
        let words = || Words::default().text(&status.name).text(": DMA refused");
        match note {
            Note::Say => console::tell(event.tell(words().text(": ")).bytes()),
            Note::Count | Note::Late => {}
            Note::Silence => {
                let times = words().text(" ").number(RECORDED).text(" times: no more of it is recorded");
                console::tell(times.bytes());
                // Those of a partition that does not run are silent anyway.
                if translates {
                    self.write(at, Mode::Silent);
                }
            }
        }
    }

    /// Looks at its own errors. None of them is a partition's.
    pub fn errors(&mut self) {
        let (found, known) = (self.regs.read(regs::GERROR), self.regs.read(regs::GERRORN));
        let new = found ^ known;
        if new == 0 || self.dead {
            return;
        }
        self.errors = self.errors.saturating_add(1);
        if new & FATAL != 0 {
            return self.die(Words::default().text("SMMU_GERROR says ").hex(new.into()));
        }
        if self.errors <= TOLD {
            let words = Words::default().text(&self.path).text(": SMMU_GERROR says ").hex(new.into());
            console::tell(words.text("; events may be lost").bytes());
        }
        if self.errors == ERRORS {
            self.regs.write(regs::IRQ_CTRL, irq::EVENTQ);
        }
        self.regs.write(regs::GERRORN, found);
    }
}

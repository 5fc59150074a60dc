//! An SMMU's registers (IHI 0070, 6.3), and waiting for it: never longer than a bound.

use partita_model::smmu::{Features, Unfit};

use crate::clock::Deadline;

pub const IDR0: usize = 0x00;
pub const IDR1: usize = 0x04;
pub const IDR5: usize = 0x14;
pub const CR0: usize = 0x20;
pub const CR0ACK: usize = 0x24;
pub const CR1: usize = 0x28;
pub const CR2: usize = 0x2c;
pub const GBPA: usize = 0x44;
pub const IRQ_CTRL: usize = 0x50;
pub const IRQ_CTRLACK: usize = 0x54;
pub const GERROR: usize = 0x60;
pub const GERRORN: usize = 0x64;
pub const GERROR_IRQ_CFG0: usize = 0x68;
pub const STRTAB_BASE: usize = 0x80;
pub const STRTAB_BASE_CFG: usize = 0x88;
pub const CMDQ_BASE: usize = 0x90;
pub const CMDQ_PROD: usize = 0x98;
pub const CMDQ_CONS: usize = 0x9c;
pub const EVENTQ_BASE: usize = 0xa0;
/// These two are in the second page.
pub const EVENTQ_PROD: usize = 0x1_00a8;
pub const EVENTQ_CONS: usize = 0x1_00ac;
pub const EVENTQ_IRQ_CFG0: usize = 0xb0;

/// CR0: translation, the event queue, the command queue, and (ATSCHK) looking at the stream table also for what a device
/// claims to be translated already (IHI 0070, 3.9.1).
pub mod cr0 {
    pub const SMMUEN: u32 = 1 << 0;
    pub const EVENTQEN: u32 = 1 << 2;
    pub const CMDQEN: u32 = 1 << 3;
    pub const ATSCHK: u32 = 1 << 4;
}

/// CR1: tables and queues are read and written Inner and Outer Write-Back, Inner Shareable.
pub const CR1_CACHED: u32 = 0b01 | 0b01 << 2 | 0b11 << 4 | 0b01 << 6 | 0b01 << 8 | 0b11 << 10;
/// CR2.PTM: broadcast TLB maintenance of cores, which may be any guest's, is not for this SMMU. RECINVSID, bit 1, is
/// zero: transactions of streams beyond the table leave no event.
pub const CR2_PTM: u32 = 1 << 2;
/// IRQ_CTRL: which interrupts it sends.
pub mod irq {
    pub const GERROR: u32 = 1 << 0;
    pub const EVENTQ: u32 = 1 << 2;
}
/// GBPA.UPDATE and ABORT: what becomes of transactions while translation is off.
const UPDATE: u32 = 1 << 31;
const ABORT: u32 = 1 << 20;

/// How long an SMMU may take to answer. It needs some cycles, or as long as a device's transactions are under way.
const PATIENCE_SECONDS: u64 = 2;

/// The mapped registers of one SMMU.
#[derive(Clone, Copy, Debug)]
pub struct Regs(pub usize);

/// It did not answer: the register that stayed as it was.
#[derive(Clone, Copy, Debug)]
pub struct Stuck(pub &'static str);

impl Regs {
    pub fn read(self, offset: usize) -> u32 {
        // SAFETY: made from the mapped registers of an SMMU; the offset is one's.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    pub fn write(self, offset: usize, value: u32) {
        // SAFETY: as above. What the SMMU then reads or writes is EL2's own memory, or what its tables say.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) };
    }

    pub fn write64(self, offset: usize, value: u64) {
        // SAFETY: as above; these registers are 64 bits wide.
        unsafe { ((self.0 + offset) as *mut u64).write_volatile(value) };
    }

    /// Waits until a register reads as it should.
    pub fn wait(self, offset: usize, name: &'static str, done: impl Fn(u32) -> bool) -> Result<(), Stuck> {
        let deadline = Deadline::after_seconds(PATIENCE_SECONDS);
        while !done(self.read(offset)) {
            if deadline.passed() {
                return Err(Stuck(name));
            }
            core::hint::spin_loop();
        }
        Ok(())
    }

    /// Sets CR0 and waits until it is so.
    pub fn control(self, value: u32) -> Result<(), Stuck> {
        self.write(CR0, value);
        self.wait(CR0ACK, "SMMU_CR0ACK", |ack| ack == value)
    }

    /// Sets which interrupts it sends, and waits until it is so.
    pub fn interrupts(self, value: u32) -> Result<(), Stuck> {
        self.write(IRQ_CTRL, value);
        self.wait(IRQ_CTRLACK, "SMMU_IRQ_CTRLACK", |ack| ack == value)
    }

    /// While translation is off, aborts whatever comes. GBPA is written with UPDATE set, which the SMMU clears when the
    /// rest of it counts.
    pub fn abort_all(self) -> Result<(), Stuck> {
        self.wait(GBPA, "SMMU_GBPA", |gbpa| gbpa & UPDATE == 0)?;
        self.write(GBPA, UPDATE | ABORT);
        self.wait(GBPA, "SMMU_GBPA", |gbpa| gbpa & UPDATE == 0)
    }

    /// What it has.
    pub fn features(self) -> Result<Features, Unfit> {
        Features::read(self.read(IDR0), self.read(IDR1), self.read(IDR5))
    }
}

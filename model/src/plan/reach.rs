//! What a partition reaches: the mappings of its stage 2, of which nothing is left to whoever builds the tables.

use alloc::vec::Vec;

use super::{Gic, InterruptPath, Memory, Partition, Supervisor, interface_pages, own};
use crate::addr::{Ipa, IpaSpan, PAGE, Pa, PaSpan};
use crate::stage2::{Kind, Mapping};

impl Partition {
    /// Whether physical interrupts reach it without EL2.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.interrupt_path == InterruptPath::Direct
    }

    /// All of its stage 2 on a board with this interrupt controller: its memory, and its devices at their own addresses.
    #[must_use]
    pub fn mappings(&self, gic: &Gic) -> Vec<Mapping> {
        mappings(&self.memory, &self.mmio, self.is_direct(), gic)
    }

    /// What it is shown of the hypervisor's memory: the areas of the partitions that it manages, which lie where `area` says of a
    /// partition's number. They are EL2's, and so in no plan.
    pub fn shown(&self, area: impl Fn(usize) -> Pa) -> Vec<Mapping> {
        shown(self.supervisor.as_ref(), area)
    }

    /// Bytes of its stage-2 tables on such a board.
    #[must_use]
    pub fn table_bytes(&self, gic: &Gic) -> u64 {
        let mut mappings = self.mappings(gic);
        mappings.extend(self.shown(|_| NOWHERE));
        own::tables(&mappings).0 * PAGE
    }
}

/// For counting tables: areas are single pages, wherever they are.
pub(super) const NOWHERE: Pa = Pa(0);

/// What a partition is shown by its device.
pub(super) fn shown(supervisor: Option<&Supervisor>, area: impl Fn(usize) -> Pa) -> Vec<Mapping> {
    let managed = supervisor.into_iter().flat_map(|supervisor| &supervisor.managed);
    managed
        .map(|managed| Mapping { ipa: managed.area, pa: area(managed.partition), kind: Kind::Shown })
        .collect()
}

/// The same of a partition that has this memory and these registers.
pub(super) fn mappings(memory: &[Memory], mmio: &[PaSpan], direct: bool, gic: &Gic) -> Vec<Mapping> {
    let memory = memory.iter().map(|memory| (memory.ipa, memory.pa, Kind::Memory));
    let devices = mmio.iter().map(|span| {
        let ipa = IpaSpan { base: Ipa(span.base.0), size: span.size };
        (ipa, span.base, Kind::Device)
    });
    // The virtual CPU interface, where the guest takes it for the physical one; of that its first page, without GICC_DIR,
    // where interrupts do not pass EL2. Nothing else of the controller.
    let interface = match gic {
        Gic::V2 { cpu, .. } if direct => {
            let page = PaSpan { size: PAGE, ..interface_pages(cpu) };
            Some((IpaSpan { base: Ipa(cpu.base.0), size: PAGE }, page.base, Kind::Device))
        }
        Gic::V2 { cpu, vcpu, .. } => {
            let pages = interface_pages(vcpu);
            let ipa = IpaSpan { base: Ipa(cpu.base.0), size: pages.size };
            Some((ipa, pages.base, Kind::Device))
        }
        Gic::V3 { .. } => None,
    };
    let all = memory.chain(devices).chain(interface);
    all.map(|(ipa, pa, kind)| Mapping { ipa, pa, kind }).collect()
}

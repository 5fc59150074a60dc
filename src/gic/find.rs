//! What the tree says of the interrupt controller, made fit for use: mapped, and each core's part found.

use aarch64_cpu::registers::MPIDR_EL1;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use partita_model::addr::{Pa, PaSpan, Span};
use partita_model::plan::{Gic, Plan, interface_pages};
use tock_registers::interfaces::Readable;

use super::v3::redist::{self, Redistributor};
use super::{IS_V2, Ordering, Seat, Version, dist, v2, version};
use crate::layout::{self, PAGE};
use crate::mmu::{self, Stage1};

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// The frames that every core maps. The first is the distributor.
    pub frames: Vec<PaSpan>,
    /// Each core of the board, by its index in the plan; none where it has no part of the controller.
    pub cores: Vec<Option<Seat>>,
    /// The frame that only the cores of one partition map, if there is one, by the same index.
    pub private: Vec<Option<PaSpan>>,
}

impl Found {
    /// The seat of a core that the plan uses: every one of them has a part of the controller.
    pub fn seat(&self, cpu: usize) -> Seat {
        self.cores[cpu].expect("every core that the plan uses has a part of the controller")
    }
}

/// Finds the controller and maps what the first core needs of it. Called once, before anything else here.
pub fn find(plan: &Plan, tables: &mut Stage1) -> Result<Found, String> {
    let page = |frame: &PaSpan| Span { base: frame.base, size: PAGE as u64 };
    let cores = plan.board.cpus.len();
    let found = match &plan.board.gic {
        Gic::V2 { dist, cpu, hyp, .. } => {
            // Of the virtual interface control only what is the reading core's own: aliases of the others' may follow.
            let frames = vec![page(dist), interface_pages(cpu), page(hyp)];
            v2::set(tables.add_device(interface_pages(cpu)), tables.add_device(page(hyp)));
            IS_V2.store(true, Ordering::Relaxed);
            let seats = (0..cores).map(|number| Some(Seat::V2(number))).collect();
            Found { frames, cores: seats, private: vec![None; cores] }
        }
        Gic::V3 { dist, redists, stride, .. } => {
            let private = redistributors(plan, redists, *stride, tables)?;
            let seat = |(cpu, frame): (&partita_model::plan::Cpu, &Option<PaSpan>)| {
                frame.map(|frame| Seat::V3(cpu.mpidr, Redistributor::new(mmu::device_address(frame))))
            };
            let seats = plan.board.cpus.iter().zip(&private).map(seat).collect();
            Found { frames: vec![*dist], cores: seats, private }
        }
    };
    dist::set(tables.add_device(found.frames[0]));
    if version() == Version::V2 {
        // The first core comes last, when others may want it already.
        let here = MPIDR_EL1.get() & 0xff_00ff_ffff;
        if let Some(number) = plan.board.cpus.iter().position(|cpu| cpu.mpidr == here) {
            v2::tell(Seat::V2(number));
        }
    }
    Ok(found)
}

/// Finds each core's redistributor. The regions are mapped at [`layout::REDISTS`] for that, by the first core only.
fn redistributors(
    plan: &Plan,
    regions: &[PaSpan],
    stride: u64,
    tables: &mut Stage1,
) -> Result<Vec<Option<PaSpan>>, String> {
    let mut found: Vec<Option<PaSpan>> = plan.board.cpus.iter().map(|_| None).collect();
    let mut va = layout::REDISTS;
    for region in regions {
        tables.add_device_at(va, region.pages());
        let mut offset = 0;
        while offset + redist::SIZE <= region.size {
            let redistributor = Redistributor::new(va + offset as usize);
            let (mpidr, last, size) = redistributor.identity();
            if let Some(index) = plan.board.cpus.iter().position(|cpu| cpu.mpidr == mpidr) {
                if redistributor.lpis_on() {
                    return Err(format!(
                        "firmware left LPIs on at the redistributor of {}: their tables could be anywhere in memory",
                        plan.board.cpus[index].path
                    ));
                }
                let base = Pa(region.base.0 + offset);
                found[index] = Some(Span { base, size: redist::SIZE });
            }
            if last {
                break;
            }
            offset += if stride != 0 { stride } else { size };
        }
        va += (region.pages().size as usize).next_multiple_of(layout::BLOCK) + layout::BLOCK;
    }
    match plan.board.cpus.iter().zip(&found).find(|(cpu, frame)| cpu.owner.is_some() && frame.is_none()) {
        Some((cpu, _)) => Err(format!("{}: no redistributor says that it is this core's", cpu.path)),
        None => Ok(found),
    }
}

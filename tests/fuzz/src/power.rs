//! A partition's calls and its life: SMCCC routing, PSCI over several virtual CPUs, and the lifecycle that ends them.
//!
//! A second, naive record of who is on is kept beside the model's; after each step both must agree, and whatever a call
//! says, nobody else's state has changed.

use partita_abi::supervision::call;
use partita_abi::{psci as id, smccc};
use partita_model::addr::Ipa;
use partita_model::idregs::Host;
use partita_model::lifecycle::{Cause, Lifecycle, State, Verdict};
use partita_model::midr::Midr;
use partita_model::psci::{Outcome, Power, Psci, Start};
use partita_model::smccc::{Mitigations, Route, Workaround, route};
use partita_model::speculation::{Firmware, Speculation};
use partita_model::supervision::Call;

use crate::input::Input;

/// The partition's RAM in these runs.
const RAM: std::ops::Range<u64> = 0x4000_0000..0x4100_0000;

/// Arguments that mean something to some call.
const KNOWN: [u64; 42] = [
    id::VERSION as u64,
    id::CPU_SUSPEND as u64,
    (id::CPU_SUSPEND | id::SMC64) as u64,
    id::CPU_OFF as u64,
    id::CPU_ON as u64,
    (id::CPU_ON | id::SMC64) as u64,
    (id::CPU_ON | id::SMC64) as u64,
    id::AFFINITY_INFO as u64,
    (id::AFFINITY_INFO | id::SMC64) as u64,
    id::MIGRATE_INFO_TYPE as u64,
    id::SYSTEM_OFF as u64,
    id::SYSTEM_RESET as u64,
    id::FEATURES as u64,
    smccc::VERSION as u64,
    smccc::ARCH_FEATURES as u64,
    smccc::ARCH_WORKAROUND_1 as u64,
    smccc::ARCH_WORKAROUND_2 as u64,
    smccc::ARCH_WORKAROUND_3 as u64,
    smccc::VENDOR_HYP_CALL_COUNT as u64,
    smccc::VENDOR_HYP_UID as u64,
    smccc::VENDOR_HYP_REVISION as u64,
    // TRNG, SDEI, SCMI-like, trusted OS, and what is nobody's.
    0x8400_0050,
    0xc400_0020,
    0xc600_ff00,
    call::STATE as u64,
    call::STOP as u64,
    0x8200_0000,
    0xbf00_ff01,
    // Targets.
    0,
    1,
    2,
    3,
    1 << 31,
    1 << 31 | 1,
    0x100,
    0x1_0000_0000,
    // Entries and suspend states.
    0x1_0000,
    RAM.start,
    RAM.start + 0x1000,
    RAM.end - 4,
    RAM.end,
    u64::MAX,
];

/// One partition, and what ought to be true of it.
struct World {
    psci: Psci,
    life: Lifecycle,
    expected: Vec<Power>,
    state: (State, Cause),
    mitigations: Mitigations,
}

/// First bytes: how many virtual CPUs, and the core's mitigations; then calls and events.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let vcpus = 1 + input.below(8);
    let firmware = |answer: u8| [-1, 0, 1, -2][usize::from(answer & 3)];
    let answers = input.u8();
    let firmware = Firmware {
        workaround_1: firmware(answers),
        workaround_2: firmware(answers >> 2),
        workaround_3: firmware(answers >> 4),
    };
    let midr = 0x410f_0000 | u64::from(input.u16());
    let (pfr0, pfr1) = (input.u64(), input.u64());
    let host = Host::read(|crm, op2| match (crm, op2) {
        (4, 0) => pfr0,
        (4, 1) => pfr1,
        // ECBHB and CLRBHB, from the same words.
        (7, 1) => pfr0 << 16,
        (6, 2) => pfr1 << 16,
        _ => 0,
    });
    let mitigations = Mitigations::new(&Speculation::of(Midr(midr), &host, firmware));
    let mut world = World {
        psci: Psci::new(vcpus),
        life: Lifecycle::new(),
        expected: vec![Power::Off; vcpus],
        state: (State::Off, Cause::NotStarted),
        mitigations,
    };
    while !input.is_empty() {
        world.step(&mut input);
        for (vcpu, power) in world.expected.iter().enumerate() {
            assert_eq!(world.psci.power(vcpu), Some(*power), "virtual CPU {vcpu}");
        }
        assert_eq!(world.psci.power(vcpus), None);
        assert_eq!(world.psci.all_off(), world.expected.iter().all(|power| *power == Power::Off));
        assert_eq!(world.life.get(), world.state);
    }
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        let what = input.u8();
        // One more than there are: EL2 never asks about it, and must get away with it.
        let vcpu = usize::from(what >> 4) % (self.expected.len() + 1);
        match what & 0xf {
            0..=6 => self.call(vcpu, input),
            7 | 8 => {
                let start = self.psci.arrived(vcpu);
                let pending = self.expected.get(vcpu).copied();
                let wanted = if let Some(Power::OnPending(start)) = pending { Some(start) } else { None };
                assert_eq!(start, wanted);
                self.now_on(vcpu, start);
            }
            9 => {
                let start = self.psci.resumed(vcpu);
                let pending = self.expected.get(vcpu).copied();
                let wanted = if let Some(Power::Suspended(start)) = pending { Some(start) } else { None };
                assert_eq!(start, wanted);
                self.now_on(vcpu, start);
            }
            10 => {
                let start = Start { entry: Ipa(input.u64()), context: input.u64() };
                self.psci.launch(start);
                self.expected.fill(Power::Off);
                self.expected[0] = Power::OnPending(start);
            }
            _ => self.life(what & 0xf, input),
        }
    }

    fn now_on(&mut self, vcpu: usize, start: Option<Start>) {
        if start.is_some() {
            self.expected[vcpu] = Power::On;
        }
    }

    /// Routes a call as EL2 does, and hands it on.
    fn call(&mut self, vcpu: usize, input: &mut Input<'_>) {
        let immediate = if input.u8() == 0xff { input.u16() } else { 0 };
        let arguments = [(); 4].map(|()| input.number(&KNOWN));
        let function = arguments[0] as u32;
        match route(immediate, arguments[0], arguments[1], &self.mitigations) {
            Route::Psci => {
                assert!(immediate == 0 && Psci::owns(function));
                self.psci(vcpu, arguments);
            }
            Route::Supervision => {
                assert!(immediate == 0 && Call::owns(function));
                // An index is one of the caller's own.
                let managed = usize::from(input.u8() % 4);
                if let Ok(Call::Name(index) | Call::State(index) | Call::Ask(_, index)) =
                    Call::read(function, arguments[1], managed)
                {
                    assert!(index < managed);
                }
            }
            Route::Answer(values) => {
                assert!(immediate != 0 || !Psci::owns(function));
                // Nothing that a guest passed comes back, so nothing of anybody else's can.
                let fixed = [0, 1, 0x1_0002, -1_i64 as u64, -2_i64 as u64];
                let ours = [smccc::VENDOR_HYP_UID, smccc::VENDOR_HYP_REVISION, smccc::VENDOR_HYP_CALL_COUNT]
                    .contains(&function);
                assert!(ours || fixed.contains(&values[0]) && values[1..] == [0; 3], "{values:x?}");
            }
            Route::Firmware { function: called, argument } => {
                // The others are done by then (speculation.rs).
                assert!(function == smccc::ARCH_WORKAROUND_2, "firmware is called for {function:#x}");
                assert!(self.mitigations.store_bypass == Workaround::Firmware);
                assert!(immediate == 0 && called == function && argument <= 1);
            }
        }
    }

    fn psci(&mut self, vcpu: usize, arguments: [u64; 4]) {
        let is_ram = |ipa: Ipa| RAM.contains(&ipa.0);
        let narrow = arguments[0] as u32 & id::SMC64 == 0;
        let mut cut = self.psci.clone();
        let outcome = self.psci.call(vcpu, arguments, is_ram);
        if narrow {
            // The upper halves of an SMC32 call's arguments mean nothing (DEN 0028, 3.1).
            let again = cut.call(vcpu, arguments.map(|value| value & 0xffff_ffff), is_ram);
            assert!(again == outcome && cut == self.psci, "upper halves matter: {arguments:x?}");
        }
        let [function, target, entry, context] =
            if narrow { arguments.map(|value| value & 0xffff_ffff) } else { arguments };
        let start = Start { entry: Ipa(entry), context };
        let enters = is_ram(start.entry) && entry.is_multiple_of(4);
        match outcome {
            Outcome::Return(value) => {
                let codes = -9_i64..=2;
                assert!(codes.contains(&(value as i64)) || value == u64::from(id::VERSION_1_1), "{value:#x}");
            }
            Outcome::CpuOn(on) => {
                assert_eq!(function as u32 & !id::SMC64, id::CPU_ON);
                assert!(on as u64 == target & !(1 << 31), "{target:#x} names {on}");
                assert!(enters && self.expected[on] == Power::Off);
                self.expected[on] = Power::OnPending(start);
            }
            Outcome::CpuOff { last } => {
                assert_eq!(function as u32, id::CPU_OFF);
                self.expected[vcpu] = Power::Off;
                assert_eq!(last, self.expected.iter().all(|power| *power == Power::Off));
            }
            Outcome::Standby => assert!(target <= 0xffff),
            Outcome::Suspend => {
                assert!(enters && target & !0xffff == 1 << 16);
                self.expected[vcpu] = Power::Suspended(start);
            }
            Outcome::SystemOff => assert_eq!(function as u32, id::SYSTEM_OFF),
            Outcome::SystemReset => assert_eq!(function as u32, id::SYSTEM_RESET),
        }
    }

    /// The lifecycle's edges, each from its states only; the first cause stays.
    fn life(&mut self, what: u8, input: &mut Input<'_>) {
        let (state, cause) = self.state;
        let (done, next) = match what {
            11 => (
                self.life.load(),
                matches!(state, State::Off | State::Failed).then_some((State::Loading, cause)),
            ),
            12 => (self.life.run(), (state == State::Loading).then_some((State::Running, cause))),
            13 | 14 => {
                let why = Cause::ALL[input.below(Cause::ALL.len())];
                let lives = matches!(state, State::Loading | State::Running);
                (self.life.stop(why), lives.then_some((State::Stopping, why)))
            }
            _ => {
                let end = match cause {
                    Cause::SystemReset => State::Loading,
                    _ if cause.is_failure() => State::Failed,
                    _ => State::Off,
                };
                let settled = self.life.settle(Verdict::Stay).is_some();
                (settled, (state == State::Stopping).then_some((end, cause)))
            }
        };
        assert_eq!(done, next.is_some(), "{what} from {state}");
        self.state = next.unwrap_or(self.state);
    }
}

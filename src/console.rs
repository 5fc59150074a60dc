//! temporary
use crate::core::Core;
use alloc::string::String;

#[derive(Debug)]
pub struct Terminal {
    name: String,
    line: [u8; 200],
    len: usize,
}
impl Terminal {
    pub fn new(name: &str, _n: usize) -> Self {
        Self { name: name.into(), line: [0; 200], len: 0 }
    }
    pub fn reset(&mut self) {}
    pub fn flush(&mut self) {}
    fn put(&mut self, b: u8) {
        if b == b'\n' || self.len == 200 {
            crate::print::say(format_args!(
                "[{}] {}",
                self.name,
                core::str::from_utf8(&self.line[..self.len]).unwrap_or("?")
            ));
            self.len = 0;
        } else if b != b'\r' {
            self.line[self.len] = b;
            self.len += 1;
        }
    }
}
pub fn core_started(_: &Core) {}
pub fn receive(_: &Core) {}
pub fn interrupt() {}
pub fn settle() {}
pub fn access(core: &mut Core, offset: u64, _width: u8, write: Option<u64>) -> u64 {
    let mut s = core.partition.lock(core.vcpu);
    match (offset, write) {
        (0, Some(v)) => {
            s.terminal.put(v as u8);
            0
        }
        (0x18, None) => 0x90,
        (0xfe0, None) => 0x11,
        (0xfe4, None) => 0x10,
        (0xfe8, None) => 0x34,
        (0xfec, None) => 0,
        (0xff0, None) => 0x0d,
        (0xff4, None) => 0xf0,
        (0xff8, None) => 0x05,
        (0xffc, None) => 0xb1,
        _ => 0,
    }
}

pub const SHARED_BYTES: usize = 0;
pub fn init(_: &partita_model::plan::Plan) {}
pub fn route(_: &partita_model::plan::Plan) {}

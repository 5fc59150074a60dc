//! EL2's own words. While one core prepares the machine they go straight to the UART; once partitions run they go
//! through the console of the partition that they concern (console.rs).

use core::fmt::{self, Write};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::uart;

struct Console;

static CONSOLE: Console = Console;

impl Log for Console {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let kind = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            _ => "",
        };
        say(format_args!("partita: {kind}{}", record.args()));
    }

    fn flush(&self) {}
}

/// Makes `log`'s macros print here.
pub fn init() {
    // It fails only when called twice.
    if log::set_logger(&CONSOLE).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Prints a line at once, waiting for the UART: for the boot, and for the last words of a machine.
pub fn say(line: fmt::Arguments<'_>) {
    let mut polled = Polled;
    // Writing to the UART cannot fail.
    let _ = writeln!(polled, "{line}");
}

struct Polled;

impl Write for Polled {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                uart::put(b'\r');
            }
            uart::put(byte);
        }
        Ok(())
    }
}

//! The command line. Only what can be said, and how it reads in `--help`; what it means is in `cmd`.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use partita_model::addr::{Pa, PaSpan};

use crate::card;

const MIB: u64 = 1 << 20;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Splits a board's cores, memory, devices and interrupts into fixed partitions.
#[derive(Debug, Parser)]
#[command(name = "partita", version, styles = STYLES, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit status: 0 well, 1 plan or input wrong, 2 usage, 3 a partition failed, 124 time-out, \
                        125 a tool is missing, 130 interrupted."
)]
pub struct Cli {
    /// How much is said.
    #[command(flatten)]
    pub voice: Voice,
    /// What is done.
    #[command(subcommand)]
    pub command: Command,
}

/// How much is said, and whether the network may be asked.
#[derive(Clone, Copy, Debug, Args)]
pub struct Voice {
    /// Say nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say which programs are run, and with what
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Fetch nothing: use what is on this machine, or say what is missing
    #[arg(long, global = true)]
    pub offline: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what can be given to a partition: paths, registers, interrupts, and what must go with them
    Devices(Devices),
    /// Check a plan: print it, or what is wrong with it
    Check(CheckCommand),
    /// Show cores, memory, devices and interrupts per partition, as a table, JSON or a drawing
    Plan(PlanCommand),
    /// Write the device tree that one partition will get
    Dtb(DtbCommand),
    /// Make the kernel image and the bundle that a boot loader takes
    Build(BuildCommand),
    /// Write a memory card's image, from which a board boots the plan
    Image(ImageCommand),
    /// Boot a plan on QEMU and end once every partition is off
    Run(RunCommand),
    /// Show what partitions that failed were doing, from the console's log
    Crash(CrashCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// The folder
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// The board, as firmware will hand it over.
#[derive(Clone, Debug, Default, Args)]
pub struct BoardArgs {
    /// The board: a folder of platforms/ [default: the plan's word, the folder it lies in, else qemu-virt]
    #[arg(long, value_name = "P")]
    pub platform: Option<String>,
    /// The board's device tree, as firmware hands it over [default: what the platform's folder says]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub dtb: Option<PathBuf>,
    /// A range of RAM, as firmware fills it in; may be given more than once [default: the tree's]
    #[arg(long, value_name = "BASE+SIZE", value_parser = ram)]
    pub ram: Vec<PaSpan>,
    /// The version of the interrupt controller, where QEMU's machine has a choice [default: the platform's]
    #[arg(long, value_name = "2|3", value_parser = clap::value_parser!(u8).range(2..=3))]
    pub gic: Option<u8>,
}

/// A plan and where its parts are.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// The plan: an overlay (.dtso or .dtbo), or a merged tree (.dtb)
    #[arg(value_name = "PLAN", value_hint = ValueHint::FilePath)]
    pub plan: PathBuf,
    /// Where the partitions' images are [default: the plan's folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub images: Option<PathBuf>,
    /// The board.
    #[command(flatten)]
    pub board: BoardArgs,
}

/// `partita devices`
#[derive(Debug, Args)]
pub struct Devices {
    /// The board.
    #[command(flatten)]
    pub board: BoardArgs,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `partita crash`
#[derive(Debug, Args)]
pub struct CrashCommand {
    /// The console's log (`-`: standard input), such as `run --log-dir` keeps
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub log: PathBuf,
    /// Only this partition
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// The guest's ELF file, with its symbols: for the names of functions
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub elf: Option<PathBuf>,
    /// Where its first segment lies [default: at its own address]
    #[arg(long, value_name = "ADDRESS", requires = "elf", value_parser = address)]
    pub base: Option<u64>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `partita check`
#[derive(Debug, Args)]
pub struct CheckCommand {
    /// The plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `partita plan`
#[derive(Debug, Args)]
pub struct PlanCommand {
    /// The plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Draw it into a file (`-`: standard output)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub svg: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `partita dtb`
#[derive(Debug, Args)]
pub struct DtbCommand {
    /// The plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// The partition
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Write it here [default: standard output]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// As source, through dtc
    #[arg(long)]
    pub dts: bool,
}

/// `partita build`
#[derive(Debug, Args)]
pub struct BuildCommand {
    /// The plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// The folder for partita-image, bundle.cpio and SHA256SUMS
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
}

/// `partita image`
#[derive(Debug, Args)]
pub struct ImageCommand {
    /// The plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// The card's image, to be flashed
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// Its size, such as 256M [default: a power of two with some room, 64M at least]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub size: Option<u64>,
    /// Take the board's own firmware from this folder [default: the distribution's package]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub firmware: Option<PathBuf>,
    /// Leave the board's own firmware out: QEMU needs none, and it can be copied onto the card later
    #[arg(long, conflicts_with = "firmware")]
    pub no_firmware: bool,
    /// What is on it, as JSON
    #[arg(long)]
    pub json: bool,
}

/// `partita run`
#[derive(Debug, Args)]
pub struct RunCommand {
    /// The plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// The core, by QEMU's name (cortex-a72, max, ...)
    #[arg(long, value_name = "M")]
    pub cpu: Option<String>,
    /// One instruction takes one nanosecond of the machine's time: the same figures every time
    #[arg(long)]
    pub icount: bool,
    /// Wait for a debugger on this port before the first instruction
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "1234")]
    pub gdb: Option<u16>,
    /// Stop the machine after this many seconds (exit status 124)
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// Keep the console's output, QEMU's command line, the plan and the image here
    #[arg(long, value_name = "D", value_hint = ValueHint::DirPath)]
    pub log_dir: Option<PathBuf>,
    /// Do not show the partitions' states in the terminal's last line
    #[arg(long)]
    pub no_status: bool,
    /// Further arguments for QEMU
    #[arg(last = true, value_name = "QEMU ARGS", allow_hyphen_values = true)]
    pub qemu: Vec<String>,
}

/// A number as people write it: hexadecimal with 0x, K, M and G for powers of 1024.
fn number(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().next_back()? {
        (at, 'K' | 'k') => (&text[..at], 1 << 10),
        (at, 'M' | 'm') => (&text[..at], 1 << 20),
        (at, 'G' | 'g') => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    value.ok()?.checked_mul(unit)
}

fn size(text: &str) -> Result<u64, String> {
    let size = number(text).ok_or("expected a number of bytes, such as 256M")?;
    match size {
        _ if size % MIB != 0 => Err("it must be a multiple of 1M".to_owned()),
        _ if !(card::SMALLEST..=card::LARGEST).contains(&size) => {
            Err("it must be from 64M to 1024G".to_owned())
        }
        _ => Ok(size),
    }
}

fn address(text: &str) -> Result<u64, String> {
    number(text).ok_or_else(|| "expected an address, such as 0x40000000".to_owned())
}

fn ram(text: &str) -> Result<PaSpan, String> {
    let parts = text.split_once('+').and_then(|(base, size)| Some((number(base)?, number(size)?)));
    let (base, size) = parts.ok_or("expected BASE+SIZE, such as 0x40000000+1G")?;
    match PaSpan::new(Pa(base), size) {
        Some(span) if size > 0 && span.is_aligned(0x1000) => Ok(span),
        Some(_) => Err("base and size must be whole pages of 4 KiB, and the size not 0".to_owned()),
        None => Err("base and size together exceed 64 bits".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_of_cards_are_bounded() {
        assert_eq!(size("64M"), Ok(64 << 20));
        assert_eq!(size("32G"), Ok(32 << 30));
        for wrong in ["63M", "2048G", "100000000", "x", ""] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ram_is_read_as_people_write_it() {
        assert_eq!(ram("0x40000000+1G").unwrap(), PaSpan { base: Pa(0x4000_0000), size: 1 << 30 });
        assert_eq!(ram("0+960M").unwrap(), PaSpan { base: Pa(0), size: 960 << 20 });
        assert!(ram("0x40000000").is_err());
        assert!(ram("0x40000000+1").is_err());
        assert!(ram("0xfffffffffffff000+8K").is_err());
        assert!(ram("1é+2").is_err());
    }
}

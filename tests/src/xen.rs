//! Xen as Debian has it, with one guest and no dom0 (Xen, docs/features/dom0less.pandoc): a peer to measure beside. It boots on
//! the machine that Partita boots on, from the same guest images.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{On, Target, compile, emulator, firmware};

/// Debian's package and the Image in it.
const IMAGE: &str = "xen-hypervisor-4.17-arm64:boot/xen-4.17-arm64";
/// Where Xen 4.17's code is once its MMU is on (xen/arch/arm/include/asm/config.h: XEN_VIRT_START). Before that it runs where
/// it was loaded.
pub const CODE: Range<u64> = 0x20_0000..0x40_0000;
/// Where the guest's kernel and initrd are put, beyond Xen and the tree.
const KERNEL: u64 = 0x5000_0000;
const INITRD: u64 = 0x5800_0000;

/// A guest to be started by Xen.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// An arm64 Image.
    pub kernel: &'a Path,
    /// What it gets beside it.
    pub initrd: Option<&'a Path>,
    /// Its command line.
    pub bootargs: &'a str,
    /// Virtual CPUs, and cores of the machine.
    pub cores: usize,
    /// RAM.
    pub mib: u64,
}

/// Xen's image.
pub struct Xen(PathBuf);

impl Xen {
    /// Fetches it where it is not in the cache.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn fetch() -> Result<Xen, String> {
        firmware::fetched(IMAGE).map(Xen)
    }

    /// Bytes of the image.
    pub fn size(&self) -> u64 {
        std::fs::metadata(&self.0).map_or(0, |file| file.len())
    }

    /// Runs a guest until `came` likes the last line that it has said, which is empty before the first: all its lines.
    /// `args` are more of QEMU's.
    ///
    /// # Errors
    /// When it does not come so far.
    pub fn run(
        &self,
        on: On,
        guest: Guest<'_>,
        args: &[&str],
        seconds: u64,
        came: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, String> {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let version = if on.target() == Target::VirtGicv2 { 2 } else { 3 };
        let machine = format!("virt,virtualization=on,gic-version={version}");
        let cores = guest.cores.to_string();
        let common =
            ["-M", &machine, "-cpu", "max", "-smp", &cores, "-m", "1G", "-nographic", "-nic", "none"];
        let tree = tree(folder.path(), &common, guest)?;
        let load = |file: &Path, at: u64| format!("loader,file={},addr={at:#x},force-raw=on", file.display());
        let mut machine = emulator(on).args(&common).args(args).args(&[
            "-kernel",
            &self.0.display().to_string(),
            "-dtb",
            &tree.display().to_string(),
            "-device",
            &load(guest.kernel, KERNEL),
        ]);
        if let Some(initrd) = guest.initrd {
            machine = machine.args(&["-device", &load(initrd, INITRD)]);
        }
        let mut running = machine.limit(seconds).start();
        let came = running.watch(|log| came(lines(log).next_back().unwrap_or_default()));
        let outcome = running.now();
        let lines: Vec<String> = lines(&outcome.log).map(str::to_owned).collect();
        if came {
            return Ok(lines);
        }
        let end = outcome.log.lines().next_back().unwrap_or_default();
        Err(format!("Xen's guest did not come to its end in {seconds} s: {end} {}", outcome.said.trim_end()))
    }
}

/// What the guest has said, as far as the lines have ended. It is the first and only one.
fn lines(log: &str) -> impl DoubleEndedIterator<Item = &str> {
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    whole.lines().filter_map(|line| line.trim_end_matches('\r').strip_prefix("(XEN) DOM1: "))
}

/// The machine's own tree with what Xen is to start in /chosen (Xen, docs/misc/arm/device-tree/booting.txt).
fn tree(folder: &Path, machine: &[&str], guest: Guest<'_>) -> Result<PathBuf, String> {
    let [base, source, tree] = ["base.dtb", "xen.dtso", "xen.dtb"].map(|name| folder.join(name));
    // In QEMU's option syntax a comma is written twice.
    let dump = format!("dumpdtb={}", base.display().to_string().replace(',', ",,"));
    run(Command::new("qemu-system-aarch64").args(machine).args(["-machine", &dump]))?;
    std::fs::write(&source, overlay(guest)?).map_err(|error| error.to_string())?;
    std::fs::write(folder.join("xen.dtbo"), compile(&source)).map_err(|error| error.to_string())?;
    run(Command::new("fdtoverlay").arg("-i").arg(&base).arg("-o").arg(&tree).arg(folder.join("xen.dtbo")))?;
    Ok(tree)
}

fn overlay(guest: Guest<'_>) -> Result<String, String> {
    let module = |kind: &str, file: &Path, at: u64, more: &str| {
        let size = std::fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?.len();
        Ok::<_, String>(format!(
            "\t\tmodule@{at:x} {{\n\t\t\tcompatible = \"multiboot,{kind}\", \"multiboot,module\";\n\
             \t\t\treg = <0 {at:#x} 0 {size:#x}>;\n{more}\t\t}};\n"
        ))
    };
    let bootargs = format!("\t\t\tbootargs = \"{}\";\n", guest.bootargs.replace('"', "\\\""));
    let mut modules = module("kernel", guest.kernel, KERNEL, &bootargs)?;
    if let Some(initrd) = guest.initrd {
        modules += &module("ramdisk", initrd, INITRD, "")?;
    }
    // vwfi=native: a guest's WFI does not trap, as in Partita, where nobody else wants the core either. Debian's package
    // lacks the null scheduler, which would go with it.
    Ok(format!(
        "/dts-v1/;\n/plugin/;\n&{{/chosen}} {{\n\t#address-cells = <2>;\n\t#size-cells = <2>;\n\
         \txen,xen-bootargs = \"console=dtuart dtuart=/pl011@9000000 vwfi=native\";\n\
         \tguest {{\n\t\tcompatible = \"xen,domain\";\n\t\t#address-cells = <2>;\n\t\t#size-cells = <2>;\n\
         \t\tcpus = <{}>;\n\t\tmemory = <0 {}>;\n\t\tvpl011;\n{modules}\t}};\n}};\n",
        guest.cores,
        guest.mib << 10,
    ))
}

fn run(command: &mut Command) -> Result<Output, String> {
    let name = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_guests_and_whole() {
        let log = "(XEN) Xen version\r\n(XEN) DOM1: one\r\nx\r\n(XEN) DOM1: two\r\n(XEN) DOM1: thr";
        assert_eq!(lines(log).collect::<Vec<_>>(), ["one", "two"]);
    }
}

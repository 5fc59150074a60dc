//! A bundle made by hand: newc cpio with `partitions.dtbo`, `SHA256SUMS` and files. `partita build` would refuse the plans that
//! tests hand to the hypervisor with it, and it is a second opinion on the format.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Compiles an overlay with dtc.
pub fn compile(plan: &Path) -> Vec<u8> {
    let output = Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb", "-@"]).arg(plan).output();
    let output = output.expect("dtc can be run");
    assert!(output.status.success(), "dtc {}: {}", plan.display(), String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The sum as sha256sum prints it.
fn sum(bytes: &[u8]) -> String {
    let mut command = Command::new("sha256sum");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum can be run");
    child.stdin.take().expect("stdin is a pipe").write_all(bytes).expect("sha256sum reads");
    let output = child.wait_with_output().expect("sha256sum ends");
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
}

/// Puts files into a bundle, the first one as the overlay.
pub fn bundle(overlay: &[u8], files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut all = vec![("partitions.dtbo", overlay.to_vec())];
    all.extend(files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())));
    let sums: String = all.iter().map(|(name, bytes)| format!("{}  {name}\n", sum(bytes))).collect();
    all.insert(1, ("SHA256SUMS", sums.into_bytes()));
    let mut cpio = Vec::new();
    for (inode, (name, bytes)) in all.iter().enumerate() {
        entry(&mut cpio, inode + 1, name, bytes);
    }
    entry(&mut cpio, 0, "TRAILER!!!", &[]);
    cpio
}

/// One member: header of 110 digits, name with its NUL, data, the latter two padded to 4 bytes (cpio(5), New ASCII Format).
fn entry(cpio: &mut Vec<u8>, inode: usize, name: &str, bytes: &[u8]) {
    let mode = if inode == 0 { 0 } else { 0o100_644 };
    let fields = [inode, mode, 0, 0, 1, 0, bytes.len(), 0, 0, 0, 0, name.len() + 1, 0];
    cpio.extend(b"070701");
    for field in fields {
        cpio.extend(format!("{field:08x}").bytes());
    }
    cpio.extend(name.bytes().chain([0]));
    cpio.resize(cpio.len().next_multiple_of(4), 0);
    cpio.extend(bytes);
    cpio.resize(cpio.len().next_multiple_of(4), 0);
}

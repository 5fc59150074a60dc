//! scripts/setup on machines that do not exist: a path of stand-ins for rustup, apt and QEMU, and a folder in place of /etc.
//! What is tested is what it decides; that the packages exist is for a fresh machine to show.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const ORDINARY: [&str; 18] = [
    "bash", "cat", "cmp", "cut", "dirname", "env", "grep", "head", "mkdir", "mv", "rm", "sed", "sort", "tee",
    "timeout", "awk", "touch", "chmod",
];
const ONE_LINE: &str = "deb [arch=amd64 signed-by=/k.gpg] http://mirror/debian bookworm main # ours\n";

struct Machine {
    folder: TempDir,
}

impl Machine {
    /// With everything but Rust.
    fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["bin", "etc/apt/sources.list.d", "etc/ssl/certs", "root/scripts", "sysroot/bin"] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for file in ["scripts/setup", "scripts/apt.sh", "rust-toolchain.toml"] {
            fs::copy(project.join(file), machine.path("root").join(file)).unwrap();
        }
        for name in ORDINARY {
            let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(name));
            let found = found.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no {name} here"));
            symlink(found, machine.path("bin").join(name)).unwrap();
        }
        machine.file("etc/os-release", "ID=debian\nVERSION_CODENAME=bookworm\n");
        machine.file("etc/apt/sources.list", ONE_LINE);
        machine.file("etc/ssl/certs/ca-certificates.crt", "");
        for (name, body) in [
            ("id", "echo 0"),
            ("dtc", "echo DTC"),
            ("cc", ""),
            ("cpp", ""),
            ("qemu-system-aarch64", "echo QEMU emulator version 10.0.2"),
        ] {
            machine.program(name, body);
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A stand-in: `$T` is the machine's folder, and what is called is written to `log`.
    fn program(&self, name: &str, body: &str) {
        let path = self.path("bin").join(name);
        let logged =
            format!("#!/bin/bash\nT={}\necho \"{name} $*\" >>$T/log\n{body}\n", self.folder.path().display());
        fs::write(&path, logged).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// rustup with the pinned toolchain, which has the target if `$T/sysroot` does; `install` is what installing does, of the
    /// toolchain or of a target.
    fn rustup(&self, install: &str) {
        self.program(
            "rustup",
            &format!("case $1 in run) echo $T/sysroot ;; toolchain | target) {install} ;; esac"),
        );
        for name in ["rustfmt", "cargo-clippy"] {
            self.file(&format!("sysroot/bin/{name}"), "");
            fs::set_permissions(self.path("sysroot/bin").join(name), fs::Permissions::from_mode(0o755))
                .unwrap();
        }
    }

    fn target(&self) {
        for target in ["aarch64-unknown-none-softfloat", "aarch64-unknown-linux-musl"] {
            fs::create_dir_all(self.path("sysroot/lib/rustlib").join(target).join("lib")).unwrap();
        }
    }

    /// The distribution's Rust in a folder of its own on the path, with core's source.
    fn distro(&self, version: &str) {
        let rustc = format!("case $1 in --version) echo rustc {version} x ;; *) echo $T/distro ;; esac");
        self.program("rustc", &rustc);
        self.program("cargo", "");
        self.program("ld.lld", "");
        fs::create_dir_all(self.path("distro/bin")).unwrap();
        for name in ["rustc", "cargo"] {
            fs::rename(self.path("bin").join(name), self.path("distro/bin").join(name)).unwrap();
        }
        let core = self.path("distro/lib/rustlib/src/rust/library/core");
        fs::create_dir_all(&core).unwrap();
        fs::write(core.join("Cargo.toml"), "").unwrap();
    }

    fn setup(&self, settings: &[(&str, &str)]) -> Output {
        let path = format!("{}:{}", self.path("bin").display(), self.path("distro/bin").display());
        Command::new(self.path("root/scripts/setup"))
            .env_clear()
            .env("PATH", path)
            .env("PARTITA_ETC", self.path("etc"))
            .envs(settings.iter().copied())
            .output()
            .unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn choice(&self) -> String {
        self.read("root/target/partita/toolchain")
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn rustup_is_taken_where_it_is_ready_and_a_second_run_is_silent() {
    let machine = Machine::new();
    machine.rustup("exit 1");
    machine.target();
    let output = machine.setup(&[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(machine.choice().starts_with("kind=rustup\n"), "{}", machine.choice());
    let output = machine.setup(&[]);
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
    assert!(!machine.read("log").contains("toolchain"), "{}", machine.read("log"));
}

#[test]
fn rustup_fetches_the_target_where_it_can() {
    let machine = Machine::new();
    machine.rustup("mkdir -p $T/sysroot/lib/rustlib/${!#}/lib");
    machine.distro("1.96.0");
    let output = machine.setup(&[("PARTITA_TOOLCHAIN", "rustup")]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(machine.choice().starts_with("kind=rustup\n"), "{}", machine.choice());
    for fetched in [
        "--target aarch64-unknown-none-softfloat",
        "target add --toolchain 1.95.0 aarch64-unknown-linux-musl",
    ] {
        let log = machine.read("log");
        assert!(log.contains(fetched), "{log}");
    }
    assert!(machine.choice().contains("linux_std=yes\n"), "{}", machine.choice());
}

/// What only partitactl needs cannot be fetched: set-up goes on without, says so, and does not try again.
#[test]
fn rustup_goes_on_without_the_target_for_linux() {
    let machine = Machine::new();
    machine.rustup("exit 1");
    fs::create_dir_all(machine.path("sysroot/lib/rustlib/aarch64-unknown-none-softfloat/lib")).unwrap();
    machine.distro("1.96.0");
    let output = machine.setup(&[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("goes without partitactl"), "{}", said(&output));
    assert!(machine.choice().starts_with("kind=rustup\n"), "{}", machine.choice());
    assert!(machine.choice().contains("linux_std=no\n"), "{}", machine.choice());
    let tries = || machine.read("log").matches("target add").count();
    assert_eq!(tries(), 1);
    let output = machine.setup(&[]);
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
    assert_eq!(tries(), 1);
}

#[test]
fn the_distributions_rust_serves_where_rustup_cannot_download() {
    let machine = Machine::new();
    machine.rustup("exit 1");
    machine.distro("1.96.0");
    let output = machine.setup(&[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(machine.choice().starts_with("kind=distro\n"), "{}", machine.choice());
    assert!(machine.choice().contains("build_std=yes\n"), "{}", machine.choice());
    // It has nothing for Linux on arm64, so there is no partitactl, and scripts/cargo says why.
    assert!(machine.choice().contains("linux_std=no\n"), "{}", machine.choice());
    // Core's source is not needed where its object files are there.
    fs::create_dir_all(machine.path("distro/lib/rustlib/aarch64-unknown-none-softfloat/lib")).unwrap();
    machine.setup(&[]);
    assert!(machine.choice().contains("build_std=no\n"), "{}", machine.choice());
}

/// apt whose archives are those that the machine's sources name: QEMU 10 is in backports, Rust 1.96 in security.
fn apt(machine: &Machine) {
    machine.program(
        "apt-cache",
        r#"version=
        case $2 in
        qemu-system-arm) version=1:7.2+dfsg-7 ;;
        rustc-web) version=1.85.0; [ ! -e $T/etc/apt/sources.list.d/partita-bookworm-security.sources ] || version=1.96.0 ;;
        esac
        [ -z "$version" ] || printf '%s:\n  Installed: (none)\n  Candidate: %s\n' "$2" "$version""#,
    );
    machine.program(
        "apt-get",
        r#"case "$*" in
        *backports*qemu*) printf '#!/bin/bash\necho QEMU emulator version 10.0.2\n' >$T/bin/qemu-system-aarch64 ;;
        *rustc-web*) mv $T/later $T/distro ;;
        esac"#,
    );
}

#[test]
fn debian_gets_the_suites_that_have_what_is_new_enough() {
    let machine = Machine::new();
    apt(&machine);
    machine.program("qemu-system-aarch64", "echo QEMU emulator version 7.2.0");
    machine.distro("1.96.0");
    fs::rename(machine.path("distro"), machine.path("later")).unwrap();
    let output = machine.setup(&[]);
    assert!(output.status.success(), "{}", said(&output));
    let backports = machine.read("etc/apt/sources.list.d/partita-bookworm-backports.sources");
    let expected = "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm-backports\nComponents: main\nSigned-By: /k.gpg\n";
    assert_eq!(backports.trim_end(), expected.trim_end());
    let security = machine.read("etc/apt/sources.list.d/partita-bookworm-security.sources");
    assert!(
        security.contains("\nURIs: http://mirror/debian-security\nSuites: bookworm-security\n"),
        "{security}"
    );
    assert!(machine.choice().starts_with("kind=distro\n"), "{}", machine.choice());
}

#[test]
fn deb822_sources_are_read_with_their_key() {
    let machine = Machine::new();
    apt(&machine);
    machine.program("qemu-system-aarch64", "echo QEMU emulator version 7.2.0");
    machine.rustup("exit 1");
    machine.target();
    machine.file("etc/apt/sources.list", "");
    let sources = "Types: deb\nEnabled: no\nURIs: http://off/debian\nSuites: bookworm\n\n# a comment\nTypes: deb deb-src\n\
                   URIs: http://on/debian\n# another\nSuites: bookworm-updates bookworm\nArchitectures: amd64\n\
                   Signed-By:\n -----BEGIN-----\n .\n -----END-----\n";
    machine.file("etc/apt/sources.list.d/debian.sources", sources);
    let output = machine.setup(&[]);
    assert!(output.status.success(), "{}", said(&output));
    let expected = "Types: deb\nURIs: http://on/debian\nSuites: bookworm-backports\nComponents: main\n\
                    Signed-By:\n -----BEGIN-----\n .\n -----END-----\n";
    let backports = machine.read("etc/apt/sources.list.d/partita-bookworm-backports.sources");
    assert_eq!(backports.trim_end(), expected.trim_end());
}

#[test]
fn without_apt_the_packages_are_named() {
    let machine = Machine::new();
    fs::remove_file(machine.path("bin/dtc")).unwrap();
    let output = machine.setup(&[]);
    assert_eq!(output.status.code(), Some(125));
    assert!(said(&output).contains("device-tree-compiler rust"), "{}", said(&output));
}

#[test]
fn nothing_is_installed_without_leave() {
    let machine = Machine::new();
    apt(&machine);
    machine.program("id", "echo 1000");
    let output = machine.setup(&[]);
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    assert!(said(&output).contains("YES=1"), "{}", said(&output));
    assert!(!machine.read("log").contains("apt-get"), "{}", machine.read("log"));
}

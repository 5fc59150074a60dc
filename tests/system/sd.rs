//! Devices of Raspberry Pi 4: Linux has the SD card's controller, the pins and a UART, and what rules the whole board is
//! refused. QEMU's card on the command line hangs on another controller, so the test says which one it means.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use partita_tests::{ABOUT_THE_BOARD, Outcome, emulator, partita, root, system_tests};
use serde_json::Value;
use tempfile::TempDir;

const PLAN: &str = "platforms/rpi4/sd.dtso";
const GREETING: &str = "good morning from the card";

#[track_caller]
fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The card that the board starts from, with a file more; and what its firmware would load from it, beside it.
fn card(folder: &Path) {
    let image = folder.join("sd.img");
    done(
        Command::new(partita())
            .args(["image", "-q", "--no-firmware", "-o"])
            .arg(&image)
            .arg(root().join(PLAN)),
    );
    fs::write(folder.join("greeting.txt"), format!("{GREETING}\n")).expect("a file");
    let place = format!("{}@@4M", image.display());
    let mcopy = || {
        let mut command = Command::new("mcopy");
        command.env("MTOOLSRC", "/dev/null").args(["-Q", "-i", &place]);
        command
    };
    done(mcopy().arg(folder.join("greeting.txt")).arg("::"));
    for name in ["kernel8.img", "bundle.cpio", "bcm2711-rpi-4-b.dtb"] {
        done(mcopy().arg(format!("::{name}")).arg(folder));
    }
}

system_tests! {
    /// Debian's kernel on three cores mounts the card that it was started from.
    fn linux_mounts_its_card(on) [virt_gicv3: ABOUT_THE_BOARD, virt_gicv2: ABOUT_THE_BOARD, raspi4b: run] {
        let folder = TempDir::new().expect("a folder for the test");
        card(folder.path());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let drive = format!("if=none,id=card,format=raw,snapshot=on,file={}", path("sd.img"));
        let outcome: Outcome = emulator(on)
            .args(&["-M", "raspi4b", "-m", "2G", "-display", "none", "-monitor", "none"])
            .args(&["-serial", &format!("file:{}", path("uart")), "-serial", "stdio"])
            .args(&["-drive", &drive, "-device", "sd-card,drive=card,bus=/generic-sdhci/sd-bus"])
            .args(&["-kernel", &path("kernel8.img"), "-initrd", &path("bundle.cpio")])
            .args(&["-dtb", &path("bcm2711-rpi-4-b.dtb")])
            .to_end();
        outcome.check(outcome.status == Some(0), "the board powered itself off");
        let greeting = format!("greeting.txt: {GREETING}");
        for line in [
            "cpus=3",
            "ram=256 MiB",
            "gpio=pinctrl-bcm2711 58",
            "uart=ttyAMA1 PL011 rev3 0xFE201000",
            "card=/dev/mmcblk0p1 vfat",
            &greeting,
        ] {
            outcome.check(outcome.lines("linux").contains(&line), &format!("Linux says {line}"));
        }
        let uart = fs::read_to_string(folder.path().join("uart")).unwrap_or_default();
        outcome.check(uart.trim_end() == "Linux writes to ttyAMA1", &format!("the UART said {uart:?}"));
        outcome.check(
            outcome.log.contains("note: linux: UNGUARDED DMA: /emmc2bus/mmc@7e340000 can read and write"),
            "EL2 says what trust means",
        );
        for name in ["linux", "metronome"] {
            let summary = outcome.summary(name);
            outcome.check(summary.starts_with("state=off cause=system-off "), "it powered itself off");
        }
        let ticks = outcome.reports("metronome");
        outcome.check(ticks == 15, "the metronome is not disturbed");
    }

    /// What shares a page or an interrupt on this board, which `partita devices` has to know.
    fn mates_on_the_board(on) [virt_gicv3: ABOUT_THE_BOARD, virt_gicv2: ABOUT_THE_BOARD, raspi4b: run] {
        let output = done(Command::new(partita()).args(["devices", "--platform", "rpi4", "--json"]));
        let devices: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
        let devices = devices["devices"].as_array().expect("a list");
        let mates = |path: &str, kind: &str| -> Vec<String> {
            let device = devices.iter().find(|device| device["path"] == path).expect("a device");
            let found = device[kind].as_array().expect("a list").iter().filter_map(Value::as_str);
            found.map(|path| path.rsplit_once('@').map_or("", |(_, address)| address).to_owned()).collect()
        };
        let uarts = ["7e201400", "7e201600", "7e201800", "7e201a00"];
        assert_eq!(mates("/soc/serial@7e201000", "page-mates"), uarts);
        assert_eq!(mates("/soc/serial@7e201000", "interrupt-mates"), uarts);
        assert_eq!(mates("/soc/aux@7e215000", "page-mates"), ["7e215040", "7e215080", "7e2150c0"]);
        assert_eq!(mates("/soc/serial@7e215040", "interrupt-mates"), ["7e215080", "7e2150c0"]);
        assert_eq!(mates("/emmc2bus/mmc@7e340000", "interrupt-mates"), ["7e300000"]);
        assert_eq!(mates("/soc/mailbox@7e00b880", "page-mates"), ["7e00b840"]);
        assert_eq!(mates("/soc/gpio@7e200000", "page-mates"), [""; 0]);
        let shared = devices.iter().filter(|device| {
            ["page-mates", "interrupt-mates"].iter().any(|kind| device[*kind] != Value::Array(Vec::new()))
        });
        println!("{} of {} nodes with registers share something", shared.count(), devices.len());
    }

    /// Neither under their own names nor through something that needs them do the board's own controllers get
    /// away.
    fn what_rules_the_board_stays(on)
        [virt_gicv3: ABOUT_THE_BOARD, virt_gicv2: ABOUT_THE_BOARD, raspi4b: run]
    {
        let folder = TempDir::new().expect("a folder for the test");
        let plan = fs::read_to_string(root().join(PLAN)).expect("the plan");
        let refused = |changes: &[(&str, &str)], words: &str| {
            let mut text = plan.clone();
            for (from, to) in changes {
                assert!(text.contains(from), "the plan has no {from}");
                text = text.replace(from, to);
            }
            let path = folder.path().join("plan.dtso");
            fs::write(&path, text).expect("the test's folder takes files");
            let output = Command::new(partita())
                .args(["check", "--platform", "rpi4"])
                .arg(&path)
                .output()
                .expect("partita");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(words), "{words:?} is not in {said}");
        };
        const CARD: &str = "\"/emmc2bus/mmc@7e340000\"";
        let instead = |device| {
            [(CARD, device), ("\"/soc/gpio@7e200000\", \"/soc/serial@7e201000\"", "\"/soc/gpio@7e200000\"")]
        };
        for (device, why) in [
            ("\"/soc/cprman@7e101000\"", "it sets the clocks of the whole board"),
            ("\"/soc/watchdog@7e100000\"", "it powers the whole board off"),
            ("\"/soc/local_intc@40000000\"", "it routes interrupts to every core"),
            ("\"/soc/firmware\"", "/soc/firmware needs /soc/mailbox@7e00b880 (mboxes)"),
            ("\"/soc/firmware/gpio\"", "which needs /soc/mailbox@7e00b880 (mboxes)"),
            ("\"/soc/firmware/clocks\"", "which needs /soc/mailbox@7e00b880 (mboxes)"),
            ("\"/soc/power\"", "needs /soc/mailbox@7e00b880 (mboxes)"),
            ("\"/soc/mailbox@7e00b880\"", "shares the page at 0xfe00b000"),
            ("\"/leds\"", "needs /soc/mailbox@7e00b880 (mboxes)"),
        ] {
            refused(&instead(device), why);
        }
        const TRUST: &str = "dma-trusted = \"/emmc2bus/mmc@7e340000\";";
        refused(&[(TRUST, "")], "add \"/emmc2bus/mmc@7e340000\" to dma-trusted");
        refused(&[("host-base;", "")], "needs memory that is 1:1");
        refused(
            &[("fixed-clocks = \"/soc/cprman@7e101000\";", "")],
            "add \"/soc/cprman@7e101000\" to fixed-clocks",
        );
        refused(&[("<19 20 51>", "<19 20>"), (" 100000000>", ">")], "clock-indices = <19 20 51>");
        refused(&[("status = \"disabled\"", "status = \"okay\"")], "/soc/mmc@7e300000");
        let supply = "vmmc-supply = <&card_supply>;\n\tvqmmc-supply = <&card_supply>;";
        refused(&[(supply, "")], "/emmc2bus/mmc@7e340000 leads to /soc/firmware");
    }
}

//! Which system test runs on which machine, and why not on the others: a table that every test is in, as only a test of
//! the table has an [`On`], without which no machine starts. Each run leaves a word under `target/system-tests/`;
//! `scripts/test` prints both as one table (`src/bin/table.rs`).

use std::path::{Path, PathBuf};

use crate::build;

/// A machine as QEMU models it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `-M virt` with a GICv3.
    VirtGicv3,
    /// `-M virt` with a GICv2.
    VirtGicv2,
    /// `-M raspi4b`.
    Raspi4b,
}

impl Target {
    /// All of them, in the order of [`Test::places`].
    pub const ALL: [Target; 3] = [Target::VirtGicv3, Target::VirtGicv2, Target::Raspi4b];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Target::VirtGicv3 => "virt-gicv3",
            Target::VirtGicv2 => "virt-gicv2",
            Target::Raspi4b => "raspi4b",
        }
    }

    /// Its folder in platforms/.
    pub fn platform(self) -> &'static str {
        if self == Target::Raspi4b { "rpi4" } else { "qemu-virt" }
    }
}

/// The right to start machines of one target: a test of the table gets it.
#[derive(Clone, Copy, Debug)]
pub struct On(Target);

impl On {
    /// For a program that is no test.
    pub fn outside_tests(target: Target) -> On {
        On(target)
    }

    /// What has to change in a plan of tests/system: devices with an SPI that nothing else uses are the RTC and the pins of
    /// virt, and a timer and the pins of raspi4b.
    pub fn changes(self, plan: &Path) -> Vec<(&'static str, &'static str)> {
        const OTHERS: [(&str, &str); 2] =
            [("/pl031@9010000", "/soc/timer@7e003000"), ("/pl061@9030000", "/soc/gpio@7e200000")];
        if self.0 != Target::Raspi4b {
            return Vec::new();
        }
        let text = std::fs::read_to_string(plan).unwrap_or_default();
        OTHERS.into_iter().filter(|(device, _)| text.contains(device)).collect()
    }

    /// What tells the tool which target it is.
    pub fn args(self) -> Vec<&'static str> {
        let mut args = vec!["--platform", self.0.platform()];
        if self.0 == Target::VirtGicv2 {
            args.extend(["--gic", "2"]);
        }
        args
    }

    /// The target.
    pub fn target(self) -> Target {
        self.0
    }

    /// A plan for this target: for one of platforms/qemu-virt/ that of the same name in the platform's own folder.
    pub fn plan(self, plan: &str) -> PathBuf {
        let platform = self.0.platform();
        let own = plan.replace("platforms/qemu-virt/", &format!("platforms/{platform}/"));
        build::root().join(own)
    }
}

/// Whether a test runs on a target.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// It does.
    Runs,
    /// Why not.
    Not(&'static str),
}

/// A test.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// Its module's path.
    pub module: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Where it runs, by [`Target::ALL`].
    pub places: [Place; 3],
}

impl Test {
    /// Its name without the crate's: as the runner shows it, without the target.
    fn path(&self) -> String {
        let module = self.module.split_once("::").map_or("", |(_, module)| module);
        format!("{module}::{}", self.name)
    }
}

/// Nothing of the kind is on the others.
pub const ABOUT_THE_BOARD: &str = "about what only raspi4b has";
/// There is no choice of cores.
pub const A72_ONLY: &str = "its cores are cortex-a72";
/// It differs from one that runs in the kind of core only.
pub const OTHER_CORE: &str = "the same with cortex-a72 or on virt-gicv3 with this core";
/// The controllers' registers differ, and this is about those of one.
pub const GICV2_ONLY: &str = "about GICv2";

/// The tests of a module. Each one says where it runs, and where not for what reason; `on` is its [`On`].
#[macro_export]
#[allow(clippy::crate_in_macro_def)] // the table is the test program's
macro_rules! system_tests {
    ($(
        $(#[doc = $doc:literal])*
        fn $name:ident($on:ident) [virt_gicv3: $v3:tt, virt_gicv2: $v2:tt, raspi4b: $pi:tt] $body:block
    )*) => {
        pub const TESTS: &[$crate::Test] = &[$($crate::Test {
            module: module_path!(),
            name: stringify!($name),
            places: [
                $crate::system_tests!(@place $v3),
                $crate::system_tests!(@place $v2),
                $crate::system_tests!(@place $pi),
            ],
        }),*];
        $(
            $(#[doc = $doc])*
            mod $name {
                use super::*;
                fn body($on: $crate::On) $body
                $crate::system_tests!(@test $v3 virt_gicv3 VirtGicv3);
                $crate::system_tests!(@test $v2 virt_gicv2 VirtGicv2);
                $crate::system_tests!(@test $pi raspi4b Raspi4b);
            }
        )*
    };
    (@place run) => { $crate::Place::Runs };
    (@place $why:tt) => { $crate::Place::Not($why) };
    (@test run $name:ident $target:ident) => {
        #[test]
        fn $name() {
            $crate::run_test(crate::TABLE, module_path!(), $crate::Target::$target, body);
        }
    };
    (@test $why:tt $name:ident $target:ident) => {};
}

/// Where tests leave their words.
fn folder() -> PathBuf {
    build::root().join("target/system-tests")
}

const TABLE: &str = "table";

/// Runs a test of the table, whose module's path is `module`, and notes how it ends.
pub fn run_test(table: &[&[Test]], module: &str, target: Target, body: fn(On)) {
    let tests = || table.iter().copied().flatten();
    let test = tests().find(|test| format!("{}::{}", test.module, test.name) == module);
    let test = test.unwrap_or_else(|| panic!("{module} is not in the table: see tests/system/main.rs"));
    let folder = folder();
    std::fs::create_dir_all(&folder).expect("target/ takes folders");
    let lines: String = tests().map(line).collect();
    // Several processes or threads write the same: whole, or not at all.
    let new = tempfile::NamedTempFile::new_in(&folder).expect("target/ takes files");
    std::fs::write(new.path(), lines).expect("target/ takes files");
    new.persist(folder.join(TABLE)).expect("target/ takes files");

    let note = Note(folder.join(file(&test.path(), target.name())));
    note.write("UNFINISHED");
    body(On(target));
    note.write("passed");
}

struct Note(PathBuf);

impl Note {
    fn write(&self, word: &str) {
        std::fs::write(&self.0, word).expect("target/ takes files");
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.write("FAILED");
        }
    }
}

fn file(test: &str, target: &str) -> String {
    format!("{}@{target}", test.replace("::", "."))
}

/// A test's line in the file: its name, and for each target nothing or why not.
fn line(test: &Test) -> String {
    let why = test.places.map(|place| if let Place::Not(why) = place { why } else { "" });
    format!("{}\t{}\n", test.path(), why.join("\t"))
}

/// The table as a person reads it, from what the tests left in `folder`.
pub fn show(folder: &Path) -> Option<String> {
    let lines = std::fs::read_to_string(folder.join(TABLE)).ok()?;
    Some(render(&lines, |test, target| std::fs::read_to_string(folder.join(file(test, target))).ok()))
}

fn render(lines: &str, result: impl Fn(&str, &str) -> Option<String>) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for line in lines.lines() {
        let mut fields = line.split('\t');
        let name = fields.next().unwrap_or_default();
        let cells = Target::ALL.map(|target| match fields.next().unwrap_or_default() {
            "" => result(name, target.name()).unwrap_or_else(|| "not run".to_owned()),
            why => {
                let known = reasons.iter().position(|one| *one == why);
                let index = known.unwrap_or_else(|| {
                    reasons.push(why);
                    reasons.len() - 1
                });
                format!("({})", index + 1)
            }
        });
        rows.push((name, cells));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max("system test".len());
    let row = |name: &str, cells: [&str; 3]| {
        let [v3, v2, pi] = cells;
        format!("{name:width$}  {v3:10}  {v2:10}  {pi:10}").trim_end().to_owned() + "\n"
    };
    let mut text = row("system test", Target::ALL.map(Target::name));
    for (name, cells) in &rows {
        text += &row(name, cells.each_ref().map(String::as_str));
    }
    for (index, why) in reasons.iter().enumerate() {
        text += &format!("({}) {why}\n", index + 1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_table_shows_all() {
        let test = |name, places| Test { module: "system::demo", name, places };
        let tests = [
            test("two", [Place::Runs, Place::Runs, Place::Not("no such board")]),
            test("one", [Place::Not("no time"), Place::Not("no such board"), Place::Runs]),
        ];
        let lines: String = tests.iter().map(line).collect();
        let result = |test: &str, target: &str| {
            (target != "raspi4b").then(|| format!("{}{}", &test[6..7], &target[9..]))
        };
        let wanted = "\
system test  virt-gicv3  virt-gicv2  raspi4b
demo::two    t3          t2          (1)
demo::one    (2)         (1)         not run
(1) no such board
(2) no time
";
        assert_eq!(render(&lines, result), wanted);
    }

    /// The other way to make a test would be attributes by hand.
    #[test]
    fn every_system_test_is_in_the_table() {
        let folder = build::root().join("tests/system");
        let main = std::fs::read_to_string(folder.join("main.rs")).expect("main.rs is there");
        for entry in std::fs::read_dir(folder).expect("tests/system is there") {
            let path = entry.expect("the folder can be read").path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source can be read");
            assert!(!text.contains("#[test]"), "{}: use system_tests!", path.display());
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("names are text");
            if name != "main" {
                assert!(main.contains(&format!("{name}::TESTS")), "main.rs: TABLE has no {name}::TESTS");
            }
        }
    }
}

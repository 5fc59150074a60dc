//! All that `make bench` measures.

use super::report::{Column, Report};
use super::{
    CPU, Figures, GUARDED, PATHS, alone, boot, boot_alone, boot_xen, exits_in_xen, guarded, image, linux,
    linux_alone, linux_kit, linux_xen, partition, restart,
};
use crate::xen::Xen;
use crate::{On, Target};

/// Measures everything; `progress` is told what comes next. What cannot be had is left out, and the report says so.
pub fn measure(progress: &dyn Fn(&str)) -> Report {
    let mut report = Report::default();
    let mut had = |what: &str, result: Result<(), String>| match result {
        Ok(()) => true,
        Err(why) => {
            report.skipped.push(format!("{what}: {why}"));
            false
        }
    };
    let linux = had("Linux", linux_kit(On::outside_tests(Target::VirtGicv3)));
    let xen = Xen::fetch().map_err(|why| had("Xen", Err(why))).ok();
    for (gic, target) in [(3, Target::VirtGicv3), (2, Target::VirtGicv2)] {
        let on = On::outside_tests(target);
        let mut add = |name: &str, figures: Vec<Figures>| {
            let figures = figures.into_iter().flatten().collect();
            report.columns.push(Column { gic, name: name.to_owned(), figures });
        };
        let say = |what: &str| progress(&format!("GICv{gic}, {what}"));
        let with_linux = |figures: &dyn Fn() -> Figures| if linux { figures() } else { Figures::new() };

        say("native");
        add("native", vec![alone(on), boot_alone(on), with_linux(&|| linux_alone(on))]);
        for path in PATHS {
            say(path.name);
            let work = with_linux(&|| self::linux(on, CPU, *path));
            // Nobody outside gets a direct partition out of a loop.
            let lives = if path.name == "mediated" { restart(on) } else { Figures::new() };
            add(path.name, vec![partition(on, *path), boot(on, *path), image(on), lives, work]);
            say(&format!("{}, guarded", path.name));
            let work = with_linux(&|| self::linux(on, GUARDED, *path));
            add(&format!("{}+guard", path.name), vec![guarded(on, *path).0, work]);
        }
        let Some(xen) = &xen else { continue };
        say("Xen");
        match in_xen(on, xen, linux) {
            Ok(figures) => add("xen", figures),
            Err(why) => report.skipped.push(format!("Xen on GICv{gic}: {why}")),
        }
    }
    report
}

fn in_xen(on: On, xen: &Xen, linux: bool) -> Result<Vec<Figures>, String> {
    let size = Figures::from([("image-file".to_owned(), xen.size())]);
    let mut figures = vec![size, exits_in_xen(on, xen)?, boot_xen(on, xen)?];
    if linux {
        figures.push(linux_xen(on, xen)?);
    }
    Ok(figures)
}

//! `partita dtb`: the tree that one partition will get.

use std::io::{self, IsTerminal};

use partita_model::plan::{Dtb, Files};

use super::{print, write};
use crate::args::DtbCommand;
use crate::failure::{Failure, Outcome};
use crate::machine::Options;
use crate::session::Session;
use crate::source;
use crate::ui::Ui;

/// Writes a partition's tree.
pub fn dtb(args: &DtbCommand, ui: Ui) -> Outcome<()> {
    let session = Session::open(&args.plan, &Options::default(), None, ui)?;
    let partitions = &session.plan.partitions;
    let Some(index) = partitions.iter().position(|partition| partition.name == args.name) else {
        let names: Vec<_> = partitions.iter().map(|partition| partition.name.as_str()).collect();
        let message = format!("the plan has no partition \"{}\"; it has {}", args.name, names.join(", "));
        return Err(Failure::input(message));
    };
    let blob = match &partitions[index].dtb {
        Dtb::Generated => session.trees[index].clone(),
        Dtb::File(name) => session.files.get(name).map(<[u8]>::to_vec),
        Dtb::None => None,
    };
    let Some(blob) = blob else {
        return Err(Failure::input(format!("partition {} gets no tree (dtb = \"none\")", args.name)));
    };
    let data = if args.dts { source::decompile(&blob)?.into_bytes() } else { blob };
    match &args.output {
        Some(path) => write(path, &data),
        None if !args.dts && io::stdout().is_terminal() => {
            Err(Failure::Usage("a blob is not for a terminal; use --dts, -o FILE or a pipe".to_owned()))
        }
        None => print(&data),
    }
}

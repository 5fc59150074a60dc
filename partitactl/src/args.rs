//! The command line. Only what can be said, and how it reads in `--help`; what it means is in `cmd`.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueHint};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Watches and controls the partitions that this one manages.
#[derive(Debug, Parser)]
#[command(name = "partitactl", version, styles = STYLES, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit status: 0 well, 1 an error, 2 usage, 3 not running (status, is-active), 4 no such partition, \
                        5 refused by the hypervisor, 124 not so in time."
)]
pub struct Cli {
    /// Where the device is.
    #[command(flatten)]
    pub place: Place,
    /// As JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What is done.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the device is. Tests have others.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The device tree's root folder
    #[arg(long, value_name = "DIR", default_value = "/proc/device-tree", global = true, hide = true)]
    pub tree: PathBuf,
    /// The file that is physical memory
    #[arg(long, value_name = "FILE", default_value = "/dev/mem", global = true, hide = true)]
    pub memory: PathBuf,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the partitions: state, uptime, restarts, and why they are not running or did not run last
    List,
    /// Show all that is known of partitions, with their last lines; 3 if one is not running
    Status(Status),
    /// Say whether partitions are running; 3 if none is
    IsActive {
        /// The partitions
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// Say nothing; the exit status tells
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show live what partitions do: exits by kind, interrupts and signs of life per second (q ends it)
    Top(Top),
    /// Stop partitions, so that they stay off
    Stop(Change),
    /// Start partitions that are off or have failed
    Start(Change),
    /// Stop partitions if they run, and start them anew
    Restart(Change),
    /// Show a partition's console output
    Log(LogCommand),
    /// Show what a partition was doing when it failed last
    Crash {
        /// The partition
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Write all figures as Prometheus reads them
    Metrics(Metrics),
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

/// `partitactl status`
#[derive(Debug, Args)]
pub struct Status {
    /// The partitions [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// How many of the last lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub lines: usize,
}

/// `partitactl top`
#[derive(Debug, Args)]
pub struct Top {
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub delay: f64,
    /// End after so many looks
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub iterations: Option<u64>,
}

/// `partitactl stop`, `start` and `restart`
#[derive(Debug, Args)]
pub struct Change {
    /// The partitions
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Do not wait until it is so
    #[arg(long, conflicts_with = "timeout")]
    pub no_wait: bool,
    /// How long to wait for each
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub timeout: f64,
}

/// `partitactl log`
#[derive(Debug, Args)]
pub struct LogCommand {
    /// The partition
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,
    /// How many of the last lines [default: all that are kept; with --follow 10]
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
}

/// `partitactl metrics`
#[derive(Debug, Args)]
pub struct Metrics {
    /// Write them to this file, whole or not at all, as node-exporter's textfile collector wants it
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Write them again and again, after so many seconds each
    #[arg(long, value_name = "SECONDS", requires = "output", value_parser = seconds)]
    pub every: Option<f64>,
}

/// A time in seconds, within a day.
fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number of seconds, such as 0.5".to_owned())?;
    if (0.01..=86_400.0).contains(&value) {
        Ok(value)
    } else {
        Err("it must be from 0.01 to 86400".to_owned())
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
    fn times_are_bounded() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "nan", "inf", "1e9", "x"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}

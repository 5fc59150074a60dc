//! QEMU's monitor protocol, as far as it is needed: to read memory while a machine runs, and to find its cores' threads.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long QEMU may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The monitor of a machine.
pub(crate) struct Monitor {
    stream: BufReader<UnixStream>,
    folder: PathBuf,
}

/// Its socket in a folder.
fn socket(folder: &Path) -> PathBuf {
    folder.join("qmp")
}

impl Monitor {
    /// QEMU's arguments for a monitor in a folder.
    pub(crate) fn args(folder: &Path) -> [String; 2] {
        ["-qmp".to_owned(), format!("unix:{},server=on,wait=off", socket(folder).display())]
    }

    /// Connects; the machine runs on.
    pub(crate) fn connect(folder: &Path) -> Monitor {
        let end = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(socket(folder)) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < end, "QEMU's monitor: {error}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a time limit");
        let mut monitor = Monitor { stream: BufReader::new(stream), folder: folder.to_owned() };
        monitor.ask(&json!({ "execute": "qmp_capabilities" }));
        monitor
    }

    /// The contents of physical memory, all of one moment: the machine stands still meanwhile, its clocks too.
    pub(crate) fn memory(&mut self, spans: &[(u64, u64)]) -> Vec<Vec<u8>> {
        self.ask(&json!({ "execute": "stop" }));
        let all = spans.iter().map(|&(base, size)| {
            let path = self.folder.join("memory");
            let arguments = json!({ "val": base, "size": size, "filename": path });
            self.ask(&json!({ "execute": "pmemsave", "arguments": arguments }));
            std::fs::read(path).expect("QEMU wrote the memory")
        });
        let all = all.collect();
        self.ask(&json!({ "execute": "cont" }));
        all
    }

    /// The threads that run the cores, in the cores' order.
    pub(crate) fn threads(&mut self) -> Vec<String> {
        let cores = self.ask(&json!({ "execute": "query-cpus-fast" }));
        let cores = cores.as_array().expect("a list of cores");
        let mut threads: Vec<_> =
            cores.iter().map(|core| (core["cpu-index"].as_u64(), &core["thread-id"])).collect();
        threads.sort_by_key(|(core, _)| *core);
        threads.iter().map(|(_, thread)| thread.to_string()).collect()
    }

    /// One command and its answer; events and the greeting are passed over.
    fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.stream.get_mut(), "{command}").expect("QEMU's monitor takes commands");
        loop {
            let mut line = String::new();
            let count = self.stream.read_line(&mut line).unwrap_or_else(|error| panic!("{command}: {error}"));
            assert!(count > 0, "{command}: QEMU has gone");
            let answer: Value = serde_json::from_str(&line).expect("QEMU's monitor speaks JSON");
            assert!(answer.get("error").is_none(), "{command}: {answer}");
            if let Some(value) = answer.get("return") {
                return value.clone();
            }
        }
    }
}

//! The real program in a process of its own. In: a configuration. Out: signals to it, and what it logged. Must never leave a process
//! behind.

use super::eventually;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that runs, and whatever takes over from it.
pub(crate) struct Process {
    configuration: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Runs a configuration, with these variables.
    pub(crate) fn run(configuration: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(["run", "-c"]).arg(configuration).envs(variables.iter().copied());
        Self::spawn(command, configuration)
    }

    /// The same in a namespace of its own, which `unshare` makes by these arguments.
    pub(crate) fn first_of(namespace: &[&str], configuration: &Path) -> Self {
        let mut command = Command::new("unshare");
        command.args(namespace).arg(env!("CARGO_BIN_EXE_doorward")).args(["run", "-c"]).arg(configuration);
        Self::spawn(command, configuration)
    }

    /// The same as systemd would, with two sockets for it.
    pub(crate) fn activate(configuration: &Path, https: OwnedFd, http: OwnedFd) -> Self {
        let mut command = Command::new("sh");
        let script = r#"exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_FDS=2 LISTEN_PID=$$ exec "$0" run -c "$1""#;
        command.args(["-c", script, env!("CARGO_BIN_EXE_doorward")]).arg(configuration).stdin(https).stdout(http);
        Self::spawn(command, configuration)
    }

    fn spawn(mut command: Command, configuration: &Path) -> Self {
        let log = configuration.with_file_name("log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let process = Self { configuration: configuration.to_owned(), log };
        // Whoever takes over is nobody's child here, and is waited for in the same way.
        let mut child = command.env("RUST_LOG", "info").stderr(Stdio::from(file)).spawn().unwrap();
        std::thread::spawn(move || child.wait());
        process
    }

    /// Every process that runs this configuration, by when it was started.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let named = |id: &u32| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|part| part == self.configuration.as_os_str().as_encoded_bytes())
        };
        let entries = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut ids: Vec<u32> = entries.filter(named).collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) fn signal(&self, name: &str) {
        for id in self.ids() {
            assert!(Command::new("kill").args([name, &id.to_string()]).status().unwrap().success());
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until this has been logged so many times.
    pub(crate) async fn logged(&self, text: &str, times: usize) {
        let found = async || (self.log().matches(text).count() >= times).then_some(());
        eventually(&format!("{text}, {times} times, is logged"), found).await;
    }

    /// Asks for another process to take over, and waits until it has.
    pub(crate) async fn hand_over(&self) {
        let before = self.ids();
        self.signal("-USR2");
        eventually("another process has taken over", async || {
            let now = self.ids();
            (now.len() == 1 && !before.contains(&now[0])).then_some(())
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for id in self.ids() {
            drop(Command::new("kill").args(["-KILL", &id.to_string()]).status());
        }
    }
}

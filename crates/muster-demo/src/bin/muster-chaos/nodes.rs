//! The nodes: Muster in processes of its own, which are killed, paused, replaced, and given wrong clocks.

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::process::AS_MUSTER;

/// How long a node may take to stop when it is told to.
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// The exit code of a program that panicked.
const PANICKED: i32 = 101;

/// A Muster: another program, or this one, started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Muster {
    Own,
    At(PathBuf),
}

impl Muster {
    pub(crate) fn of(path: Option<&PathBuf>) -> Self {
        path.map_or(Self::Own, |path| Self::At(path.clone()))
    }

    /// A command of it.
    pub(crate) fn command(&self) -> std::io::Result<Command> {
        Ok(match self {
            Self::Own => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg(AS_MUSTER);
                command
            }
            Self::At(path) => Command::new(path),
        })
    }
}

/// Where libfaketime is, which gives a process a clock of its own; none where it is not installed.
pub(crate) fn clock_library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|library| library.is_file())
}

/// One node: a folder with its settings, and a process.
pub(crate) struct Node {
    pub(crate) number: usize,
    folder: PathBuf,
    pub(crate) muster: Muster,
    process: Option<Child>,
    clock: Option<PathBuf>,
    /// How often it ended without having been told to.
    pub(crate) ended_by_itself: u32,
    /// What no disaster excuses: how it crashed, and that it did not stop.
    pub(crate) faults: Vec<String>,
}

impl Node {
    pub(crate) fn new(number: usize, folder: &Path, muster: Muster, clock: Option<PathBuf>) -> Self {
        let folder = folder.to_owned();
        Self { number, folder, muster, process: None, clock, ended_by_itself: 0, faults: Vec::new() }
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.folder.join("muster.toml")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("muster.log")
    }

    /// What it says of itself: where it can be looked into.
    pub(crate) fn place(&self) -> String {
        self.log().display().to_string()
    }

    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = self.muster.command()?;
        if let Some(library) = &self.clock {
            // The monotonic clock stays as it is, as with a machine whose time is set.
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", self.clock_file());
            command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_NO_CACHE", "1");
        }
        command.arg("--config").arg(self.settings()).arg("run").current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0).kill_on_drop(true);
        self.process =
            Some(command.spawn().with_context(|| format!("cannot start node {}", self.number + 1))?);
        Ok(())
    }

    fn clock_file(&self) -> PathBuf {
        self.folder.join("clock")
    }

    /// Puts its clock so many seconds off.
    pub(crate) fn put_clock(&self, seconds: i64) -> std::io::Result<()> {
        let new = self.folder.join("clock.new");
        std::fs::write(&new, format!("{seconds:+}\n"))?;
        std::fs::rename(new, self.clock_file())
    }

    /// The id of its process, while it has one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.process.as_ref().and_then(Child::id).and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let Some(pid) = pid else { return Ok(()) };
        match rustix::process::kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        match process.try_wait()? {
            Some(status) => self.note_end(status),
            None => process.kill().await?,
        }
        Ok(())
    }

    /// Stops it as an operator would, and waits.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(process) = &mut self.process
            && let Some(status) = process.try_wait()?
        {
            self.process = None;
            self.note_end(status);
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        let Some(mut process) = self.process.take() else { return Ok(()) };
        match timeout(STOPS_WITHIN, process.wait()).await {
            Ok(status) => {
                let status = status?;
                self.note_crash(status);
                if !status.success() && status.signal() != Some(Signal::TERM.as_raw()) {
                    bail!("node {} did not stop well ({status}); its log: {}", self.number + 1, self.place());
                }
                Ok(())
            }
            Err(_) => {
                process.kill().await?;
                let hung = format!(
                    "node {} did not stop within {STOPS_WITHIN:?}; its log: {}",
                    self.number + 1,
                    self.place()
                );
                self.faults.push(hung.clone());
                bail!(hung)
            }
        }
    }

    /// Starts it again if it ended by itself, as a service manager does, or could not be started; how it ended.
    pub(crate) fn look_after(&mut self) -> anyhow::Result<Option<String>> {
        let Some(process) = &mut self.process else {
            self.start()?;
            return Ok(None);
        };
        let Some(status) = process.try_wait()? else { return Ok(None) };
        self.process = None;
        self.note_end(status);
        self.start()?;
        Ok(Some(status.to_string()))
    }

    /// Notes that it ended without having been told to.
    fn note_end(&mut self, status: ExitStatus) {
        self.ended_by_itself += 1;
        self.note_crash(status);
    }

    /// Notes an end that no program may come to: a panic, or a signal that it was not sent.
    fn note_crash(&mut self, status: ExitStatus) {
        // Before it listens to them, they end it.
        let sent = [Signal::TERM, Signal::HUP].map(|signal| signal.as_raw());
        let is_crash =
            status.code() == Some(PANICKED) || status.signal().is_some_and(|signal| !sent.contains(&signal));
        if is_crash {
            self.faults.push(format!(
                "node {} crashed ({status}); its log: {}",
                self.number + 1,
                self.place()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A node whose program is this script, which is there for as long as the folder.
    fn node(script: &str) -> (tempfile::TempDir, Node) {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("may be run");
        let node = Node::new(0, folder.path(), Muster::At(program), None);
        (folder, node)
    }

    /// Waits for the end of its process, which is known to come.
    async fn ended(node: &mut Node) {
        node.process.as_mut().expect("it runs").wait().await.expect("it ends");
    }

    // One after the other: a script that is being written while a process begins elsewhere cannot be run at once.
    #[tokio::test]
    async fn what_ends_is_noticed_and_what_is_not_up_is_started() {
        a_panic_and_a_signal_that_nobody_sent_are_faults().await;
        one_that_could_not_be_started_is_started_when_it_can_be().await;
    }

    async fn a_panic_and_a_signal_that_nobody_sent_are_faults() {
        for (script, faults) in
            [("exit 101", 1), ("kill -SEGV $$", 1), ("kill -KILL $$", 1), ("exit 1", 0), ("kill -HUP $$", 0)]
        {
            // Whoever notices it: who looks after it, who stops it, who kills it.
            let (_folder, mut node) = node(script);
            for noticed in 1..=3 {
                if node.process.is_none() {
                    node.start().expect("it starts");
                }
                ended(&mut node).await;
                match noticed {
                    1 => assert!(node.look_after().expect("it is started again").is_some()),
                    2 => node.stop().await.expect("there is nothing to stop"),
                    _ => node.kill().await.expect("there is nothing to kill"),
                }
                assert_eq!((node.faults.len(), node.ended_by_itself), (faults * noticed, noticed as u32));
            }
        }
    }

    async fn one_that_could_not_be_started_is_started_when_it_can_be() {
        let (folder, mut node) = node("exec sleep 1000");
        let (program, elsewhere) = (folder.path().join("program"), folder.path().join("elsewhere"));
        std::fs::rename(&program, &elsewhere).expect("moved away");
        node.start().expect_err("there is no program");
        node.look_after().expect_err("there is still none");
        std::fs::rename(&elsewhere, &program).expect("moved back");
        assert_eq!(node.look_after().expect("it starts"), None);
        assert!(node.process.is_some());
        node.stop().await.expect("told to stop, it may end by the signal");
        assert_eq!((node.faults.len(), node.ended_by_itself), (0, 0));
    }
}

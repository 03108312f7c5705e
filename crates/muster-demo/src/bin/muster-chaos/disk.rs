//! A disk that can be full: a file system in memory, whose size is changed. Only root may make one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

/// A folder on a disk of its own. It is gone with this.
pub(crate) struct Disk {
    folder: PathBuf,
}

/// As large as it needs: memory is taken only for what is in it.
const ROOMY: &str = "8g";
/// How often it is tried to make room again, a second apart.
const TRIES: u32 = 30;
/// How many pages a full disk still takes.
const FEW_PAGES: u64 = 16;

impl Disk {
    /// A new disk at this folder.
    pub(crate) async fn at(folder: &Path) -> anyhow::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("only root may make a disk");
        }
        mount(&["-t", "tmpfs", "-o", &format!("size={ROOMY},mode=0755"), "tmpfs"], folder).await?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Leaves room for a few pages only.
    pub(crate) async fn fill(&self) -> anyhow::Result<()> {
        let used = rustix::fs::statvfs(&self.folder)?;
        // Smaller than what is there is refused, and somebody may be writing.
        let size = (used.f_blocks - used.f_bfree + FEW_PAGES) * used.f_frsize;
        self.resize(&size.to_string()).await
    }

    /// Makes room again; a machine under load may refuse it for a while.
    pub(crate) async fn make_room(&self) -> anyhow::Result<()> {
        for _ in 1..TRIES {
            if self.resize(ROOMY).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.resize(ROOMY).await
    }

    async fn resize(&self, size: &str) -> anyhow::Result<()> {
        mount(&["-o", &format!("remount,size={size}")], &self.folder).await
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("--lazy").arg(&self.folder).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("cargo muster-chaos: {} is still mounted", self.folder.display());
        }
    }
}

async fn mount(arguments: &[&str], folder: &Path) -> anyhow::Result<()> {
    let output = Command::new("mount").args(arguments).arg(folder).output().await.context("no `mount`")?;
    if !output.status.success() {
        bail!("mount {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

//! A file for each tenant, by a template in the path: `archive/{{ tenant.slug }}/alerts.ndjson`.
//!
//! Each is a [`FileSink`] of its own, with its own ledger and lock, opened when something comes for it. Only so many are open
//! at once; what was not used for longest is closed, which loses nothing, since its ledger says what is in it.
//!
//! What is not guaranteed: files that were put back from a copy are brought into order when they are opened next, but what
//! they lack is not delivered again by itself, since nobody knows beforehand which files there are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_http::Proxy;
use muster_model::{Clock, DeliveryBatch, Report, TenantId, TenantLabel, Trouble};
use tokio::time::Instant;

use super::{FileSettings, FileSink};
use crate::formats::Template;
use crate::sinks::bearer::OpenTokens;
use crate::sinks::error::SinkError;
use crate::sinks::settings::{NoSecret, ReadSecret, Settings, Surroundings};

/// Files that are open at once: each takes a few descriptors.
const OPEN_MAX: usize = 64;

/// A file for each tenant.
pub struct TenantFiles {
    name: String,
    settings: FileSettings,
    path: Template,
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    open: tokio::sync::Mutex<HashMap<TenantId, OpenedFile>>,
}

impl std::fmt::Debug for TenantFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantFiles")
            .field("name", &self.name)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

struct OpenedFile {
    file: Arc<FileSink>,
    used_at: Instant,
}

impl TenantFiles {
    /// Files by this template; none is opened yet, and the folder before the template must be there.
    pub(in crate::sinks) fn build(
        name: &str,
        settings: FileSettings,
        path: Template,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        Self::inspect(name, &settings, around)?;
        Ok(Self {
            name: name.to_owned(),
            settings,
            path,
            folder: around.folder.to_owned(),
            clock: Arc::clone(&around.clock),
            open: tokio::sync::Mutex::default(),
        })
    }

    /// What would keep every file from being made.
    pub(in crate::sinks) fn inspect(
        name: &str,
        settings: &FileSettings,
        around: &Surroundings<'_>,
    ) -> Result<(), SinkError> {
        let wrong = |problem| SinkError::Settings { sink: name.to_owned(), problem };
        settings.encoding().map_err(|mistakes| wrong(mistakes.join("; ")))?;
        let base = base(&around.folder.join(&settings.path));
        if !base.is_dir() {
            return Err(wrong(format!("the folder {} does not exist; create it", base.display())));
        }
        rustix::fs::access(&base, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
            .map_err(|error| wrong(super::site::explain(&base, &error.into())))
    }

    pub(in crate::sinks) async fn deliver(&self, batch: DeliveryBatch<'_>) -> Report {
        match self.file_of(batch.tenant).await {
            Ok(file) => file.deliver(batch).await,
            Err(error) => Report {
                outcomes: Vec::new(),
                trouble: Some(Trouble { reason: error.to_string(), after: None }),
            },
        }
    }

    /// The tenant's file, opened if it is not open.
    async fn file_of(&self, tenant: &TenantLabel) -> Result<Arc<FileSink>, SinkError> {
        let mut open = self.open.lock().await;
        if let Some(opened) = open.get_mut(&tenant.id) {
            opened.used_at = Instant::now();
            return Ok(Arc::clone(&opened.file));
        }
        if open.len() >= OPEN_MAX {
            // One that is being written is used just now, and others hold it.
            let idle = open.iter().filter(|(_, opened)| Arc::strong_count(&opened.file) == 1);
            let oldest = idle.min_by_key(|(_, opened)| opened.used_at).map(|(tenant, _)| *tenant);
            if let Some(opened) = oldest.and_then(|oldest| open.remove(&oldest)) {
                opened.file.close().await;
            }
        }
        let path = PathBuf::from(self.path.expand(tenant));
        let settings = FileSettings { path, ..self.settings.clone() };
        let (name, folder, clock) = (self.name.clone(), self.folder.clone(), Arc::clone(&self.clock));
        let base = base(&self.folder.join(&self.settings.path));
        let opening = tokio::task::spawn_blocking(move || open_file(&name, settings, (folder, base), clock));
        let file = opening.await.unwrap_or_else(|error| {
            Err(SinkError::Unusable { sink: self.name.clone(), problem: error.to_string() })
        });
        let file = Arc::new(file?);
        open.insert(tenant.id, OpenedFile { file: Arc::clone(&file), used_at: Instant::now() });
        Ok(file)
    }

    pub(in crate::sinks) fn test(&self) -> String {
        let base = base(&self.folder.join(&self.settings.path));
        format!("{} can be written; each tenant's file is made when its first record comes", base.display())
    }

    pub(in crate::sinks) async fn close(&self) {
        let open = std::mem::take(&mut *self.open.lock().await);
        for opened in open.into_values() {
            opened.file.close().await;
        }
    }
}

/// Opens a tenant's file, in folders that are made below the one that was there.
fn open_file(
    name: &str,
    settings: FileSettings,
    (folder, base): (PathBuf, PathBuf),
    clock: Arc<dyn Clock>,
) -> Result<FileSink, SinkError> {
    use std::os::unix::fs::DirBuilderExt;
    let path = folder.join(&settings.path);
    if let Some(parent) = path.parent().filter(|parent| parent.starts_with(&base) && !parent.is_dir()) {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o750).create(parent);
        made.map_err(|error| SinkError::Unusable {
            sink: name.to_owned(),
            problem: super::site::explain(parent, &error),
        })?;
    }
    let proxy: Result<Option<Proxy>, String> = Ok(None);
    let no_secret = NoSecret { reason: "a file has no secrets".to_owned(), is_missing: true };
    let secret: ReadSecret = Arc::new(move |_| Err(no_secret.clone()));
    let tokens: OpenTokens<'_> = Box::new(|_| Err("a file needs no tokens".to_owned()));
    FileSink::build(name, settings, &Surroundings { folder: &folder, secret, proxy, clock, tokens })
}

/// The folder before the first part with a template.
fn base(path: &Path) -> PathBuf {
    path.iter().take_while(|part| !part.to_string_lossy().contains("{{")).collect()
}

#[cfg(test)]
mod tests {
    use muster_model::Outcome;
    use serde_json::json;

    use super::*;
    use crate::sinks::testing::{delivery, delivery_batch, settings, tenant};
    use crate::sinks::{Sink, SinkSettings};

    fn around(folder: &Path) -> Surroundings<'_> {
        Surroundings { folder, ..crate::sinks::testing::surroundings() }
    }

    fn open(folder: &Path, path: &str) -> Result<Sink, SinkError> {
        SinkSettings::File(settings(json!({ "path": path }))).build("archive", &around(folder))
    }

    async fn deliver(sink: &Sink, of: u128, number: u64, bodies: &[&str]) -> Report {
        sink.deliver_and_wait(delivery_batch(&tenant(of), &[delivery(number, bodies)])).await
    }

    #[tokio::test]
    async fn each_tenant_has_a_file_and_more_of_them_than_are_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let sink = open(folder.path(), "{{ tenant.slug }}/alerts-{{ tenant.id }}.ndjson").expect("a sink");
        for number in 1..=2 {
            for of in 0..OPEN_MAX as u128 + 10 {
                let body = format!(r#"{{"of":{of},"number":{number}}}"#);
                // The second time it is a repetition.
                for _ in 0..2 {
                    let report = deliver(&sink, of, number, &[&body]).await;
                    assert_eq!(report, Report { outcomes: vec![Outcome::Delivered], trouble: None });
                }
            }
        }
        sink.close().await;
        for of in 0..OPEN_MAX as u128 + 10 {
            let label = tenant(of);
            let path = folder.path().join(format!("{}/alerts-{}.ndjson", label.slug, label.id));
            let text = std::fs::read_to_string(&path).expect("a file");
            assert_eq!(text, format!("{{\"of\":{of},\"number\":1}}\n{{\"of\":{of},\"number\":2}}\n"));
        }
    }

    #[tokio::test]
    async fn one_tenants_file_in_trouble_is_no_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let sink = open(folder.path(), "{{ tenant.slug }}.ndjson").expect("a sink");
        std::os::unix::fs::symlink("/dev/null", folder.path().join("tenant-1.ndjson")).expect("a link");
        let report = deliver(&sink, 1, 1, &["{}"]).await;
        assert!(report.outcomes.is_empty(), "what has no answer stays owed");
        assert!(report.trouble.expect("a trouble").reason.contains("is a link"));
        assert_eq!(deliver(&sink, 2, 1, &["{}"]).await.outcomes, [Outcome::Delivered]);
        std::fs::remove_file(folder.path().join("tenant-1.ndjson")).expect("removed");
        assert_eq!(deliver(&sink, 1, 1, &["{}"]).await.outcomes, [Outcome::Delivered]);
    }

    #[test]
    fn templates_that_cannot_work_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let wrong = |path: &str| open(folder.path(), path).expect_err("refused").to_string();
        assert!(wrong("{{ tenant.name }}.ndjson").contains("use tenant.slug or tenant.id"));
        assert!(wrong("{{ tenant.slugg }}.ndjson").contains("is no placeholder"));
        assert!(wrong("nowhere/{{ tenant.slug }}.ndjson").contains("nowhere does not exist"));
    }
}

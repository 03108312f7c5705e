//! What a command is given, and what most of them open.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use muster_microsoft::Microsoft;
use muster_model::{Clock, Source, SystemClock, Tenant, TenantId, TenantState};
use muster_store::{InstanceId, NewAuditEvent, OpenMode, Store};
use uuid::Uuid;

use super::Except;
use crate::access::apps::Apps;
use crate::audit::actor;
use crate::choosing;
use crate::config::Settings;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::Output;
use crate::shown::status::{Expected, Snapshot};
use crate::wiring;

/// How Muster was called: what is said beside the command.
pub(crate) struct Call {
    pub(crate) config: PathBuf,
    pub(crate) verbose: u8,
    pub(crate) output: Output,
    /// The whole command line, for what is made of it.
    pub(crate) definition: fn() -> clap::Command,
}

/// Settings, store and clock of a command.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) output: Output,
}

impl Call {
    /// Opens what a command needs, and closes the store whatever comes of it.
    pub(crate) async fn open(
        &self,
        command: impl AsyncFnOnce(&Context) -> Result<Exit, Failed>,
    ) -> Result<Exit, Failed> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let settings = wiring::read_settings(&self.config, &clock).await?;
        let store = wiring::open_store(&settings, OpenMode::Shared).await?;
        let context = Context { settings, store, clock, output: self.output };
        let result = command(&context).await;
        context.store.close().await;
        result
    }
}

impl Context {
    /// The way to Microsoft, with the grants of the store.
    pub(crate) fn microsoft(&self) -> Result<Microsoft, Failed> {
        wiring::microsoft_for(&self.settings, &self.store, &self.clock, InstanceId(Uuid::new_v4()))
    }

    /// The same, with time and room for hunting queries.
    pub(crate) fn microsoft_for_hunting(&self) -> Result<Microsoft, Failed> {
        wiring::microsoft_for_hunting(&self.settings, &self.store, &self.clock, InstanceId(Uuid::new_v4()))
    }

    /// How everything is doing.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Failed> {
        let expected = Expected::of(&self.settings);
        Ok(Snapshot::take(self.store.as_ref(), &expected, self.clock.now()).await?)
    }

    /// The tenants that are named, by themselves or by a tag, but for those that are excepted; all where none is named.
    pub(crate) async fn chosen(&self, names: &[String], except: &Except) -> Result<Vec<Tenant>, Failed> {
        let tenants = self.store.tenants().await?;
        Ok(choosing::choose(tenants, names, except.names(), &|_| true)?)
    }

    /// The same, in which `all` and a tag stand for active tenants only: the others are not read.
    pub(crate) async fn chosen_to_read(
        &self,
        names: &[String],
        except: &Except,
    ) -> Result<Vec<Tenant>, Failed> {
        let tenants = self.store.tenants().await?;
        let is_active = |tenant: &Tenant| tenant.state == TenantState::Active;
        Ok(choosing::choose(tenants, names, except.names(), &is_active)?)
    }

    /// The ids of the chosen tenants; nothing where no choice was made, which stands for all.
    pub(crate) async fn ids(
        &self,
        names: &[String],
        except: &Except,
    ) -> Result<Option<BTreeSet<TenantId>>, Failed> {
        if names.is_empty() && except.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.chosen(names, except).await?.into_iter().map(|tenant| tenant.id).collect()))
    }

    /// Every source that these tenants may have records of: also those that nobody is read from any more, as far as the settings
    /// name them.
    pub(crate) fn every_source(&self, tenants: &[Tenant]) -> BTreeSet<Source> {
        let read = tenants.iter().flat_map(|tenant| tenant.sources.iter().copied());
        let named = self.settings.hunts.keys().chain(self.settings.streams.keys());
        read.chain(Source::ALL).chain(named.copied()).collect()
    }

    pub(crate) async fn apps(&self) -> Result<Apps, Failed> {
        wiring::apps(&self.settings, &self.store).await
    }

    /// Writes into the audit log what the person at the command line did.
    pub(crate) async fn audit(
        &self,
        action: &str,
        subject: &str,
        details: serde_json::Value,
    ) -> Result<(), Failed> {
        let (action, subject) = (action.to_owned(), subject.to_owned());
        let event = NewAuditEvent { actor: actor(), action, subject, details };
        self.store.append_audit(event, self.clock.now()).await?;
        Ok(())
    }
}

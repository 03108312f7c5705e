//! One file per command. What they share: opening the settings and the store.

mod app;
mod audit;
mod dead_letter;
mod fetch;
mod format;
mod init;
mod invite;
mod key;
pub(crate) mod man;
mod recorded;
pub(crate) mod run;
mod sink;
mod splunk_app;
mod status;
mod tenant;
mod test;
mod token;
mod validate;

use std::path::Path;
use std::sync::Arc;

use muster_model::{Clock, SystemClock};
use muster_store::{OpenMode, Store};

use crate::cli::{Command, TokenCommand};
use crate::config::Settings;
use crate::exit_code::{Exit, Failed};
use crate::lifecycle;
use crate::shown::output::Output;

/// Settings, store and clock of a command.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Every command that ends by itself.
pub(crate) async fn one_off(command: &Command, config: &Path, output: Output) -> Result<Exit, Failed> {
    match command {
        Command::Init(args) => init::init(&args.folder, output).await,
        Command::Validate => validate::validate(config, output).await,
        Command::SplunkApp(args) => splunk_app::splunk_app(&args.folder, &args.index, output),
        Command::Format(args) => format::format(args, config, output),
        Command::Test(args) => test::test(args, output),
        Command::Tenant(command) => {
            with_context(config, async |context| tenant::tenant(command, context, output).await).await
        }
        Command::Fetch(args) => {
            with_context(config, async |context| fetch::fetch(args, context, output).await).await
        }
        Command::Status(args) => {
            with_context(config, async |context| status::status(args, context, output).await).await
        }
        Command::Sink(command) => sink::sink(command, config, output).await,
        Command::DeadLetter(command) => {
            with_context(config, async |context| dead_letter::dead_letter(command, context, output).await)
                .await
        }
        Command::Token(TokenCommand::Inspect { token }) => {
            token::inspect(token.as_deref(), SystemClock.now(), output)
        }
        Command::Token(command) => {
            with_context(config, async |context| token::token(command, context, output).await).await
        }
        Command::App(command) => {
            with_context(config, async |context| app::app(command, config, context, output).await).await
        }
        Command::Key(command) => {
            with_context(config, async |context| key::key(command, context, output).await).await
        }
        Command::Audit(command) => {
            with_context(config, async |context| audit::audit(command, context, output).await).await
        }
        Command::Run | Command::Completions { .. } | Command::Man { .. } => Ok(Exit::Usage),
    }
}

pub(crate) use crate::audit::actor;

async fn with_context(
    config: &Path,
    command: impl AsyncFnOnce(&Context) -> Result<Exit, Failed>,
) -> Result<Exit, Failed> {
    let context = Context::open(config, OpenMode::Shared).await?;
    let result = command(&context).await;
    context.store.close().await;
    result
}

impl Context {
    pub(crate) async fn open(config: &Path, mode: OpenMode) -> Result<Self, Failed> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let settings = lifecycle::read_settings(config, &clock).await?;
        let store = lifecycle::open_store(&settings, mode).await?;
        Ok(Self { settings, store, clock })
    }
}

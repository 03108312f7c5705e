//! The commands, each in a file with its arguments. Adding one is a file, and three lines here.

mod alerts;
mod app;
mod audit;
mod backfill;
mod backup;
mod client;
pub(crate) mod completions;
mod confirm;
mod context;
mod dead_letter;
mod doctor;
mod drift;
pub(crate) mod examples;
mod except;
mod fetch;
mod format;
mod format_name;
mod hunt;
mod init;
mod key;
mod ledger;
mod man;
mod moment;
mod node;
mod notice;
mod recorded;
mod replay;
mod restore;
mod route;
mod run;
mod settings;
mod siem_config;
mod sink;
mod splunk_app;
mod status;
mod store;
mod tenant;
mod test;
mod token;
mod trace;
mod validate;

pub(crate) use context::{Call, Context};
pub(crate) use except::{Except, only};

use crate::exit_code::{Exit, Failed};

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a settings file, a store and a master key here.
    Init(init::Args),
    /// Show everything that is wrong with the settings and with what they name, at once. Changes nothing.
    Validate(validate::Args),
    /// The settings file: what a reload would change, and its schema for editors.
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    /// Find what is wrong with this installation, and say what to do: settings, key, store, disk, clock, DNS, proxy, TLS, tokens,
    /// permissions, sinks, and whether `run` is at work. Goes on where one fails.
    Doctor(doctor::Args),
    /// Collect and deliver until told to stop.
    Run,
    /// The customers' tenants.
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Invite many customers: read a list, and write a mail for each, with the link on which their administrator consents.
    Invite(tenant::InviteArgs),
    /// Fetch records once and print them. Changes nothing that `run` remembers.
    Fetch(fetch::Args),
    /// Ask a hunting query of all customers at once, and print the rows. Changes nothing.
    Hunt(hunt::Args),
    /// Read a span that lies behind, beside what is read live. `muster run` reads it; where none is at work, this does.
    Backfill(backfill::Args),
    /// Bring what the journal holds to sinks once more, first of all what no route took. `muster run` delivers it.
    Replay(replay::Args),
    /// Programs that ask for a tenant's detections by the old pull API.
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Where records go: which routes take a record and why not the others, and what other routes would change.
    #[command(subcommand)]
    Route(route::RouteCommand),
    /// What was seen and delivered hour by hour, and which hours are complete.
    Ledger(ledger::Args),
    /// What is new in what Microsoft sends: properties, values and types of evidence that are not known. Changes nothing.
    Drift(drift::Args),
    /// Alerts and incidents in the journal: find them, show one.
    #[command(subcommand)]
    Alerts(alerts::AlertsCommand),
    /// The journey of one record: when it was changed, fetched, delivered and acknowledged.
    Trace(trace::Args),
    /// How tenants, sources and sinks are doing.
    Status(status::Args),
    /// Write the Splunk app for Muster's events to a folder: fields of data models, tags, macros, indexes.
    SplunkApp(splunk_app::Args),
    /// Print what a SIEM's side needs, filled in: connectors, inputs, receivers.
    SiemConfig(siem_config::Args),
    /// Show recorded records in several formats, side by side, and where each value comes from.
    Format(format::Args),
    /// Compare what the formats write for recorded records with what is expected.
    Test(test::Args),
    /// The SIEMs.
    #[command(subcommand)]
    Sink(sink::SinkCommand),
    /// Records that could not be read, or that a sink refused for good.
    #[command(subcommand)]
    DeadLetter(dead_letter::DeadLetterCommand),
    /// The app registrations that customers consent to, and their secrets and certificates.
    #[command(subcommand)]
    App(app::AppCommand),
    /// Tokens: get, explain, verify, renew and forget them.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// The processes that share a PostgreSQL store, and what is each one's share.
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Who is told of trouble and of alerts, by mail and webhooks: what was sent, and what nobody is told of for a while.
    #[command(subcommand)]
    Notice(notice::NoticeCommand),
    /// Where Muster keeps what it remembers: make it, move it.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Write a copy of the store to a file, also while `run` runs. The master key is not in it.
    Backup(backup::Args),
    /// Put a copy of the store back; what was there is kept aside.
    Restore(restore::Args),
    /// The master key that seals what is secret in the store.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Who did what: every onboarding, credential and settings event, in a log that shows tampering.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print completions for a shell.
    Completions(completions::Args),
    /// Write the man pages into a folder.
    Man(man::Args),
}

impl Command {
    /// Whether it draws on the whole terminal, where a line of the log would be in the way.
    pub(crate) fn takes_the_terminal(&self) -> bool {
        matches!(self, Self::Status(args) if args.takes_the_terminal())
    }

    /// Does it. Those that need settings and a store open them; `run` starts its own log.
    pub(crate) async fn run(&self, call: &Call) -> Result<Exit, Failed> {
        match self {
            Self::Init(args) => init::run(args, call.output).await,
            Self::Validate(args) => validate::run(args, call).await,
            Self::Settings(command) => settings::run(command, call).await,
            Self::Doctor(args) => doctor::run(args, call).await,
            Self::Run => run::run(call).await,
            Self::Tenant(command) => call.open(async |context| tenant::run(command, context).await).await,
            Self::Invite(args) => call.open(async |context| tenant::invite(args, context).await).await,
            Self::Fetch(args) => call.open(async |context| fetch::run(args, context).await).await,
            Self::Hunt(args) => call.open(async |context| hunt::run(args, context).await).await,
            Self::Backfill(args) => call.open(async |context| backfill::run(args, context).await).await,
            Self::Replay(args) => call.open(async |context| replay::run(args, context).await).await,
            Self::Client(command) => call.open(async |context| client::run(command, context).await).await,
            Self::Route(command) => call.open(async |context| route::run(command, context).await).await,
            Self::Ledger(args) => call.open(async |context| ledger::run(args, context).await).await,
            Self::Drift(args) => call.open(async |context| drift::run(args, context).await).await,
            Self::Alerts(command) => call.open(async |context| alerts::run(command, context).await).await,
            Self::Trace(args) => call.open(async |context| trace::run(args, context).await).await,
            Self::Status(args) => status::call(args, call).await,
            Self::SplunkApp(args) => splunk_app::run(args, call.output),
            Self::SiemConfig(args) => call.open(async |context| siem_config::run(args, context).await).await,
            Self::Format(args) => format::run(args, &call.config, call.output),
            Self::Test(args) => test::run(args, call.output),
            Self::Sink(command) => sink::run(command, call).await,
            Self::DeadLetter(command) => {
                call.open(async |context| dead_letter::run(command, context).await).await
            }
            Self::App(command) => call.open(async |context| app::run(command, call, context).await).await,
            Self::Token(command) => token::run(command, call).await,
            Self::Node(command) => call.open(async |context| node::run(command, context).await).await,
            Self::Notice(command) => call.open(async |context| notice::run(command, context).await).await,
            Self::Store(command) => store::run(command, call).await,
            Self::Backup(args) => call.open(async |context| backup::run(args, context).await).await,
            Self::Restore(args) => restore::run(args, call).await,
            Self::Key(command) => call.open(async |context| key::run(command, context).await).await,
            Self::Audit(command) => call.open(async |context| audit::run(command, context).await).await,
            Self::Completions(args) => completions::run(args, call),
            Self::Man(args) => man::run(args, call),
        }
    }
}

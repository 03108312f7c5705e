//! The command line: every command and flag, and the way from arguments to an exit code.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use muster_model::Source;
use muster_siem::formats::RecordKind;

use crate::commands;
use crate::config::{FormatName, Span};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{ColourChoice, Output, OutputFormat};
use crate::shown::telemetry;
use crate::web::language::Language;

/// Collects the Microsoft Defender alerts of many tenants and delivers each of them to your SIEMs: none lost, none
/// doubled.
#[derive(Debug, Parser)]
#[command(name = "muster", version, propagate_version = true, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// The settings file, or a folder of them.
    #[arg(long, short, global = true, value_name = "PATH", default_value = "muster.toml")]
    pub config: PathBuf,
    /// How results are printed.
    #[arg(long, short, global = true, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// When colours are used.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub color: ColourChoice,
    /// Log more; twice for everything.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 wrong settings, 4 store cannot be used, \
5 not found, 6 done in part, 7 Microsoft refused or does not answer, 8 a sink refused or does not answer.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a settings file, a store and a master key here.
    Init(InitArgs),
    /// Check the settings and show every mistake at once.
    Validate,
    /// Collect and deliver until told to stop.
    Run,
    /// The customers' tenants.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Fetch records once and print them. Changes nothing that `run` remembers.
    Fetch(FetchArgs),
    /// How tenants, sources and sinks are doing.
    Status(StatusArgs),
    /// Write the Splunk app for Muster's events to a folder: fields of data models, tags, macros, indexes.
    SplunkApp(SplunkAppArgs),
    /// Show recorded records in several formats, side by side, and where each value comes from.
    Format(FormatArgs),
    /// Compare what the formats write for recorded records with what is expected.
    Test(TestArgs),
    /// The SIEMs.
    #[command(subcommand)]
    Sink(SinkCommand),
    /// Records that could not be read, or that a sink refused for good.
    #[command(subcommand)]
    DeadLetter(DeadLetterCommand),
    /// The app registrations that customers consent to, and their secrets and certificates.
    #[command(subcommand)]
    App(AppCommand),
    /// Tokens: get, explain, verify, renew and forget them.
    #[command(subcommand)]
    Token(TokenCommand),
    /// The master key that seals what is secret in the store.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Who did what: every onboarding, credential and settings event, in a log that shows tampering.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder.
    Man {
        /// The folder; made where it is missing.
        folder: PathBuf,
    },
}

/// `muster init`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where to make them.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}

/// `muster splunk-app`
#[derive(Debug, Args)]
pub struct SplunkAppArgs {
    /// Where the app's folder `muster` is made.
    pub folder: PathBuf,
    /// An index to define, such as mssp_contoso; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub index: Vec<String>,
}

/// `muster tenant …`
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Add a tenant by its id or by a domain it has verified.
    Add(TenantAddArgs),
    /// Invite a customer: make the link on which their administrator consents. Adds the tenant where it is new.
    Invite(TenantInviteArgs),
    /// Print the steps that only people can do, with this tenant's ids and links, and how far each is.
    Guide {
        /// Slug, id or domain.
        tenant: String,
        /// Ask Microsoft what can be asked, instead of telling what was found last.
        #[arg(long)]
        check: bool,
        /// Print Markdown, to be mailed or put into a wiki.
        #[arg(long)]
        markdown: bool,
    },
    /// End the work for a customer: forget its tokens and data, and tell what it must remove on its side. Its name stays.
    Offboard {
        /// Slug, id or domain.
        tenant: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// List all tenants.
    List,
    /// Show one tenant: its sources, what it owes, what is wrong.
    Show {
        /// Slug, id or domain.
        tenant: String,
    },
    /// Stop fetching a tenant. What was accepted is still delivered.
    Pause {
        /// Slugs, ids or domains.
        #[arg(required = true)]
        tenants: Vec<String>,
    },
    /// Fetch a tenant again, from where it stopped.
    Resume {
        /// Slugs, ids or domains.
        #[arg(required = true)]
        tenants: Vec<String>,
    },
    /// Forget a tenant: its key, journal, deliveries and dead letters. Cannot be undone.
    Remove {
        /// Slug, id or domain.
        tenant: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Add the tenants of a CSV file with the columns `tenant`, and if you like `name`, `slug`, `app`, `sources`.
    Import {
        /// The file; `-` for standard input.
        file: PathBuf,
        /// How far back the new tenants are read.
        #[arg(long, value_name = "DURATION")]
        since: Option<Span>,
    },
}

/// `muster tenant add`
#[derive(Debug, Args)]
pub struct TenantAddArgs {
    /// The tenant id (a GUID), or a domain such as contoso.example.
    pub tenant: String,
    /// The name shown to people.
    #[arg(long)]
    pub name: Option<String>,
    /// The short name: lower-case letters, digits and hyphens.
    #[arg(long)]
    pub slug: Option<String>,
    /// The app that reads it; may be left out when the settings have only one.
    #[arg(long)]
    pub app: Option<String>,
    /// What is read; all when left out.
    #[arg(long, value_name = "SOURCE")]
    pub source: Vec<Source>,
    /// How far back it is read, such as 7d.
    #[arg(long, value_name = "DURATION")]
    pub since: Option<Span>,
}

/// `muster tenant invite`
#[derive(Debug, Args)]
pub struct TenantInviteArgs {
    /// The tenant, new or not.
    #[command(flatten)]
    pub tenant: TenantAddArgs,
    /// The language of the page: en, de, sv, nl or zh-CN; that of the administrator's browser when left out.
    #[arg(long, value_name = "LANGUAGE")]
    pub lang: Option<Language>,
}

/// `muster fetch`
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Slug, id or domain; repeat for several.
    #[arg(long, short, required_unless_present = "all", conflicts_with = "all")]
    pub tenant: Vec<String>,
    /// Every active tenant.
    #[arg(long)]
    pub all: bool,
    /// What to fetch.
    #[arg(long, default_value = "graph_alerts")]
    pub source: Source,
    /// How far back, by the time of the last update.
    #[arg(long, default_value = "24h", value_name = "DURATION")]
    pub since: Span,
    /// Print in this format, one record a line, instead of as a table.
    #[arg(long, short)]
    pub format: Option<FormatName>,
    /// At most so many records of each tenant.
    #[arg(long, default_value_t = 10_000)]
    pub limit: u32,
}

/// `muster format`
#[derive(Debug, Args)]
pub struct FormatArgs {
    /// Files of records: one, a list, a page as an API answers it, or a record a line; `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The formats, apart by commas, with their default options.
    #[arg(long, short, value_name = "FORMAT", value_delimiter = ',', required_unless_present = "sink")]
    pub to: Vec<FormatName>,
    /// As this sink of the settings spells records: with its format, options, mapping and bounds. Apart by commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub sink: Vec<String>,
    /// What the records are, where their fields do not tell: graph_alert, graph_incident, endpoint_alert,
    /// xdr_incident, siem_detection or hunting_row.
    #[arg(long, value_parser = record_kind)]
    pub kind: Option<RecordKind>,
    /// Say of each field where its value comes from. Tables show the start of long values, `--output json` all.
    #[arg(long, conflicts_with = "events")]
    pub explain: bool,
    /// Print the events alone, one a line.
    #[arg(long)]
    pub events: bool,
}

/// `muster test`
#[derive(Debug, Args)]
pub struct TestArgs {
    /// A folder with files of records (`NAME.json`) and of the expected events (`NAME.cef`, `NAME.ecs`, …).
    pub folder: PathBuf,
    /// What the records are, where their fields do not tell.
    #[arg(long, value_parser = record_kind)]
    pub kind: Option<RecordKind>,
    /// Write the files of expected events instead, over those that are there: what is written today.
    #[arg(long, requires = "to")]
    pub write: bool,
    /// The formats to write, apart by commas.
    #[arg(long, short, value_name = "FORMAT", value_delimiter = ',', requires = "write")]
    pub to: Vec<FormatName>,
}

fn record_kind(word: &str) -> Result<RecordKind, String> {
    RecordKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
        let words = RecordKind::ALL.map(RecordKind::as_str).join(", ");
        format!("use one of {words}")
    })
}

/// `muster status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show it again and again until Ctrl-C.
    #[arg(long, short)]
    pub watch: bool,
    /// Only tenants with trouble.
    #[arg(long)]
    pub failing: bool,
}

/// `muster sink …`
#[derive(Debug, Subcommand)]
pub enum SinkCommand {
    /// Check the way to sinks without sending a record.
    Test {
        /// Names; all when left out.
        sinks: Vec<String>,
    },
    /// List the sinks of the settings.
    List,
}

/// `muster dead-letter …`
#[derive(Debug, Subcommand)]
pub enum DeadLetterCommand {
    /// List dead letters, newest first.
    List {
        /// Only of this tenant.
        #[arg(long, short)]
        tenant: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Print the original bytes of one.
    Show {
        /// Its number.
        number: u64,
    },
    /// Try again: what a sink refused goes back to it, what could not be read is read again.
    Replay {
        /// Their numbers.
        #[arg(required_unless_present = "all")]
        numbers: Vec<u64>,
        /// All of them.
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
    },
}

/// `muster app …`
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Make an app registration for the settings, or mend the one there is: permissions, redirect URIs, service
    /// principal, credential. Run again, it goes on from where it was.
    Register(AppRegisterArgs),
    /// Show how apps prove themselves, what the store keeps for them, and what was last found. Asks nobody.
    Show {
        /// Names; all when left out.
        apps: Vec<String>,
    },
    /// Print the address at which a tenant's administrator consents to an app.
    ConsentUrl(AppConsentUrlArgs),
    /// Replace an app's client secret: the new one is made, tried and put to use before the old one is removed.
    RotateSecret(AppRotateArgs),
    /// Replace an app's certificate: the new one is made, tried and put to use before the old one is removed.
    RotateCertificate(AppRotateArgs),
    /// Check app registrations: ends of secrets and certificates, permissions, redirect URIs, who may use them.
    Check(AppCheckArgs),
}

/// Who signs in to change an app registration, and how. An app with --self-care needs nobody.
#[derive(Debug, Args)]
pub struct SignInArgs {
    /// How a person signs in. When left out, the app's own permission is used where it has one.
    #[arg(long, value_enum)]
    pub flow: Option<TokenFlow>,
    /// The public client that the person signs in to; Microsoft Graph Command Line Tools when left out.
    #[arg(long, value_name = "CLIENT_ID", default_value_t = crate::access::operator::GRAPH_COMMAND_LINE_TOOLS, hide_default_value = true)]
    pub sign_in_client: uuid::Uuid,
    /// With `--flow browser`: only show the address, open nothing.
    #[arg(long)]
    pub no_open: bool,
}

/// `muster app register`
#[derive(Debug, Args)]
pub struct AppRegisterArgs {
    /// The app's name in the settings.
    pub app: String,
    /// Your own tenant, in which the app is registered: its id or a domain. May be left out when the settings say it.
    #[arg(long, short)]
    pub tenant: Option<String>,
    /// The name that customers see when they consent.
    #[arg(long, value_name = "NAME")]
    pub display_name: Option<String>,
    /// Only your own tenant may use it. One registration for all customers needs the opposite.
    #[arg(long)]
    pub single_tenant: bool,
    /// Another redirect URI, beside those that the settings give; repeat for several.
    #[arg(long, value_name = "URI")]
    pub redirect_uri: Vec<url::Url>,
    /// What it is to read; all when left out.
    #[arg(long, value_name = "SOURCE")]
    pub source: Vec<Source>,
    /// It reads in the name of persons who sign in, not by itself.
    #[arg(long)]
    pub delegated: bool,
    /// How it proves itself. What is made is kept, sealed, in the store.
    #[arg(long, value_enum, default_value_t)]
    pub credential: CredentialChoice,
    /// How long the secret or certificate is good for.
    #[arg(long, value_name = "DURATION", default_value = "180d")]
    pub lifetime: Span,
    /// Let the app change its own registration (Application.ReadWrite.OwnedBy), so that rotations need nobody.
    #[arg(long)]
    pub self_care: bool,
    /// Consent to the app's permissions in your own tenant as well.
    #[arg(long)]
    pub consent_here: bool,
    /// Write the new section into the settings file.
    #[arg(long)]
    pub write: bool,
    /// Who signs in.
    #[command(flatten)]
    pub sign_in: SignInArgs,
}

/// What an app is to prove itself with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum CredentialChoice {
    /// A client secret.
    #[default]
    Secret,
    /// A self-signed certificate.
    Certificate,
    /// Nothing is made.
    None,
}

/// `muster app consent-url`
#[derive(Debug, Args)]
pub struct AppConsentUrlArgs {
    /// The app; may be left out when the settings have only one.
    pub app: Option<String>,
    /// Slug, id or domain.
    #[arg(long, short)]
    pub tenant: String,
    /// Which of Microsoft's consent pages: v2_admin_consent, v1_admin_consent, v1_prompt_admin_consent or
    /// v1_prompt_consent.
    #[arg(long)]
    pub form: Option<muster_microsoft::entra::consent::ConsentForm>,
    /// Where Microsoft sends the browser afterwards, as it is registered.
    #[arg(long, value_name = "URI")]
    pub redirect_uri: Option<url::Url>,
}

/// `muster app rotate-secret`, `muster app rotate-certificate`
#[derive(Debug, Args)]
pub struct AppRotateArgs {
    /// The app; may be left out when the settings have only one.
    pub app: Option<String>,
    /// The tenant that it is registered in, where the settings do not say.
    #[arg(long, short)]
    pub tenant: Option<String>,
    /// How long the new one is good for.
    #[arg(long, value_name = "DURATION", default_value = "180d")]
    pub lifetime: Span,
    /// Leave the old one valid at Microsoft for now; --finish removes it later.
    #[arg(long, conflicts_with = "finish")]
    pub keep_old: bool,
    /// Make nothing new: only finish an interrupted rotation, and remove an old one that was kept.
    #[arg(long)]
    pub finish: bool,
    /// Who signs in.
    #[command(flatten)]
    pub sign_in: SignInArgs,
}

/// `muster app check`
#[derive(Debug, Args)]
pub struct AppCheckArgs {
    /// Names; all when left out.
    pub apps: Vec<String>,
    /// The tenant that they are registered in, where the settings do not say.
    #[arg(long, short)]
    pub tenant: Option<String>,
    /// Who signs in.
    #[command(flatten)]
    pub sign_in: SignInArgs,
}

/// `muster token …`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Get a token for a tenant. In the name of a person, signs them in and keeps the refresh token, sealed.
    Acquire(TokenAcquireArgs),
    /// Decode and explain any token, without checking it. Needs no settings.
    Inspect {
        /// The token; `@FILE` for a file, `-` or nothing for standard input. On the command line, others on this machine
        /// may see it.
        token: Option<String>,
    },
    /// Check a token's signature, issuer, audience, tenant, times, and the roles that the tenant's sources need.
    Verify(TokenVerifyArgs),
    /// List the refresh tokens that are kept (never the tokens themselves).
    List {
        /// Only of this tenant.
        #[arg(long, short)]
        tenant: Option<String>,
    },
    /// Forget the refresh tokens kept for a tenant.
    Forget {
        /// Slug, id or domain.
        #[arg(long, short)]
        tenant: String,
        /// Only of this app.
        #[arg(long)]
        app: Option<String>,
    },
    /// Ask for a new token now, and renew the refresh token that is kept.
    Refresh {
        /// Slug, id or domain.
        #[arg(long, short)]
        tenant: String,
        /// The app; the tenant's own when left out.
        #[arg(long)]
        app: Option<String>,
    },
}

/// `muster token acquire`
#[derive(Debug, Args)]
pub struct TokenAcquireArgs {
    /// Slug, id or domain.
    #[arg(long, short)]
    pub tenant: String,
    /// The app; the tenant's own when left out.
    #[arg(long)]
    pub app: Option<String>,
    /// How the person signs in.
    #[arg(long, value_enum)]
    pub flow: Option<TokenFlow>,
    /// The API that the token is for; Microsoft Graph when left out.
    #[arg(long, value_name = "URI")]
    pub resource: Option<String>,
    /// Print the access token. Whoever sees it can use it until it ends.
    #[arg(long)]
    pub print: bool,
    /// With `--flow browser`: only show the address, open nothing.
    #[arg(long)]
    pub no_open: bool,
    /// With `--flow browser`: catch the redirect at this port of localhost, even where another redirect URI is registered.
    #[arg(long)]
    pub port: Option<u16>,
}

/// How a person signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TokenFlow {
    /// In the browser of this machine, or at the registered redirect URI that `muster run` serves.
    Browser,
    /// With a code on any device.
    Device,
    /// In any browser; the address it ends at is pasted here.
    Paste,
}

/// `muster token verify`
#[derive(Debug, Args)]
pub struct TokenVerifyArgs {
    /// Slug, id or domain.
    #[arg(long, short)]
    pub tenant: String,
    /// The app; the tenant's own when left out.
    #[arg(long)]
    pub app: Option<String>,
    /// The API that the token should be for; Microsoft Graph when left out.
    #[arg(long, value_name = "URI")]
    pub resource: Option<String>,
    /// The token: `@FILE`, or `-` for standard input. A new one is asked for when left out.
    pub token: Option<String>,
}

/// `muster key …`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a new master key, seal everything with it, and forget the old one. `muster run` may go on meanwhile.
    Rotate,
    /// Show the names of the keys at hand and of the one that seals the store.
    Show,
}

/// `muster audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List events, oldest first.
    List {
        /// Those after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// At most so many.
        #[arg(long, default_value_t = 200)]
        limit: u32,
    },
    /// Check that no event was changed, removed or added behind Muster's back.
    Verify,
    /// Write every event as a line of JSON.
    Export {
        /// Into this new file instead of standard output.
        #[arg(long, short)]
        file: Option<PathBuf>,
    },
}

/// Runs the program with these arguments, the first of which is its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    keep_memory_private();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            // A closed terminal is the only way to fail, and then there is nobody to tell.
            error.print().ok();
            return exit.into();
        }
    };
    let output = Output::new(cli.output, cli.color);
    match run(&cli, output) {
        Ok(exit) => exit.into(),
        Err(failed) if is_broken_pipe(&failed.error) => Exit::Success.into(),
        Err(failed) => {
            eprintln!("muster: {}", message(&failed.error));
            failed.exit.into()
        }
    }
}

/// What is in memory stays there: no core file is written when the program fails, and no other program of the same user
/// can look into it. Where the system refuses, Muster works all the same.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).ok();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
}

fn run(cli: &Cli, output: Output) -> Result<Exit, Failed> {
    match &cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "muster", &mut std::io::stdout());
            return Ok(Exit::Success);
        }
        Command::Man { folder } => return commands::man::write(folder),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(async {
        match &cli.command {
            Command::Run => commands::run::run(&cli.config, cli.verbose).await,
            other => {
                let level = match cli.verbose {
                    0 => "error",
                    1 => "info",
                    _ => "debug",
                };
                telemetry::start_logging(crate::config::LogFormat::Text, Some(level), output.colour);
                commands::one_off(other, &cli.config, output).await
            }
        }
    });
    // Nothing that still hangs on a dead network keeps the program from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    exit
}

/// An error and its causes in one line, each said once.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// `muster status | head` is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

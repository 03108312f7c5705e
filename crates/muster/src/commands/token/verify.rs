//! `muster token verify`

use muster_microsoft::entra::verify::{Expected, Verification};
use muster_model::TenantId;
use serde::Serialize;

use super::app_in_tenant::{AppInTenant, WhichApp};
use super::read::read_token;
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::Tone;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: WhichApp,
    /// The API that the token should be for; that of the tenant's first source when left out.
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
    /// The token: `@FILE`, or `-` for standard input. A new one is asked for when left out.
    token: Option<String>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let target = AppInTenant::of(context, &args.which).await?;
    let resource = target.resource(args.resource.as_ref());
    let token = match &args.token {
        Some(token) => read_token(Some(token))?,
        None => target.token(&resource).await?.secret,
    };
    let expected = Expected {
        tenant: Some(target.tenant.id),
        resource: Some(resource),
        client_id: Some(target.app.client_id.clone()),
        access: target.app.access,
        sources: target.tenant.asked().collect(),
        issuer: target.app.endpoint.clone(),
    };
    let verification = target.microsoft.verify_token(token.expose(), &expected).await;
    let passed = verification.passed();
    let verified = Verified {
        tenant: target.tenant.id,
        slug: target.tenant.slug.to_string(),
        app: target.app.name.clone(),
        passed,
        verification,
    };
    context.output.print(&verified, |output| {
        let mut table = output.table(&["check", "result", "detail", "to do"]);
        for check in &verified.verification.checks {
            let (word, tone) = match check.passed {
                Some(true) => ("good", Tone::Good),
                Some(false) => ("wrong", Tone::Bad),
                None => ("unknown", Tone::Fair),
            };
            table.add_row([
                output.text(&check.name),
                output.cell(word, tone),
                output.text(&check.detail),
                output.text(if check.remedy.is_empty() { "-" } else { &check.remedy }),
            ]);
        }
        format!("{table}\n\n{}", verdict(&verified.verification))
    })?;
    Ok(if passed { Exit::Success } else { Exit::Failure })
}

#[derive(Serialize)]
struct Verified {
    tenant: TenantId,
    slug: String,
    app: String,
    passed: bool,
    #[serde(flatten)]
    verification: Verification,
}

/// What the checks come to, in a line.
fn verdict(verification: &Verification) -> &'static str {
    match (verification.passed(), verification.signature_unchecked()) {
        (true, false) => "the token is good",
        (true, true) => "the token is good as far as can be told: its signature could not be checked",
        (false, false) => "the token will not do",
        (false, true) => "the token will not do, and its signature could not be checked",
    }
}

#[cfg(test)]
mod tests {
    use muster_microsoft::entra::verify::TokenCheck;

    use super::*;

    #[test]
    fn the_verdict_tells_that_the_signature_was_not_checked() {
        let of = |signature: Option<bool>, tenant: Option<bool>| {
            let check = |name: &str, passed| TokenCheck {
                name: name.to_owned(),
                passed,
                detail: String::new(),
                remedy: String::new(),
            };
            let checks = vec![check("signature", signature), check("tenant", tenant)];
            verdict(&Verification { checks, expires_at: None })
        };
        assert_eq!(of(Some(true), None), "the token is good");
        assert_eq!(of(Some(false), Some(true)), "the token will not do");
        for (tenant, beginning) in [(true, "the token is good "), (false, "the token will not do")] {
            let told = of(None, Some(tenant));
            assert!(
                told.starts_with(beginning) && told.ends_with("its signature could not be checked"),
                "{told}"
            );
        }
    }
}

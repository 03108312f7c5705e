//! The pages that people see: sign-in, choice of an account, consent, device code, refusals. Plain HTML that needs no
//! script, whose every variable part is escaped.

use hyper::StatusCode;
use hyper::header::HeaderName;
use url::form_urlencoded;

use crate::http::answer::Answer;

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1b1b1b;--dim:#5c5c5c;--page:#f2f2f2;--card:#fff;--line:#767676;--accent:#0067b8;\
--on-accent:#fff;--bad:#b3151b}\
@media (prefers-color-scheme:dark){:root{--text:#f3f3f3;--dim:#b8b8b8;--page:#1b1b1b;--card:#292929;--line:#8c8c8c;\
--accent:#4aa3e8;--on-accent:#06131d;--bad:#ff8a8f}}\
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;\
background:var(--page);color:var(--text);font:1rem/1.45 'Segoe UI',system-ui,sans-serif}\
main{background:var(--card);width:100%;max-width:29rem;padding:2.2rem;box-shadow:0 2px 8px #0003;overflow-wrap:anywhere}\
h1{font-size:1.5rem;line-height:1.25;margin:.4rem 0 1rem}h2{font-size:1rem;margin:1.2rem 0 .3rem}\
.brand{color:var(--dim);font-weight:600;margin:0}.who,.note{color:var(--dim);font-size:.9rem}\
label{display:block;margin:.9rem 0 .25rem;font-weight:600}label.check{font-weight:400}\
input[type=text],input[type=password],input[type=email]{width:100%;font:inherit;padding:.45rem .5rem;color:inherit;\
background:transparent;border:1px solid var(--line)}\
ul{padding-left:1.2rem;margin:.3rem 0}li{margin:.35rem 0}li small{display:block;color:var(--dim)}\
.buttons{display:flex;flex-wrap:wrap;gap:.6rem;justify-content:flex-end;margin-top:1.6rem}\
button{font:inherit;padding:.5rem 1.4rem;border:1px solid var(--line);background:transparent;color:inherit;cursor:pointer}\
button.main{background:var(--accent);border-color:var(--accent);color:var(--on-accent)}\
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}.bad{color:var(--bad);font-weight:600}\
code{font-family:ui-monospace,Consolas,monospace}.account{width:100%;text-align:left;margin:.3rem 0}";

const SUBMIT: &str = "document.forms[0].submit()";

/// Text as it may stand in HTML, also between quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}

fn page(status: StatusCode, title: &str, body: &str, script: bool) -> Answer {
    use base64::Engine;
    let scripts = if script {
        let hash = ring::digest::digest(&ring::digest::SHA256, SUBMIT.as_bytes());
        format!(" script-src 'sha256-{}';", base64::engine::general_purpose::STANDARD.encode(hash.as_ref()))
    } else {
        String::new()
    };
    let tag = if script { format!("<script>{SUBMIT}</script>") } else { String::new() };
    let title = escape(title);
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<p class=\"brand\">Emulated identity platform</p>\n<h1>{title}</h1>\n{body}\n</main>\n{tag}</body>\n\
         </html>\n"
    );
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline';{scripts} frame-ancestors 'none'; base-uri 'none'"
    );
    Answer::of_type(status, "text/html; charset=utf-8", html)
        .uncached()
        .with(HeaderName::from_static("content-security-policy"), policy)
        .with(HeaderName::from_static("x-content-type-options"), "nosniff")
        .with(HeaderName::from_static("x-frame-options"), "DENY")
        .with(HeaderName::from_static("referrer-policy"), "no-referrer")
}

fn form(action: &str, flow: &str, inside: &str) -> String {
    format!(
        "<form method=\"post\" action=\"{}\">\n<input type=\"hidden\" name=\"flowToken\" value=\"{}\">\n{inside}\n</form>",
        escape(action),
        escape(flow)
    )
}

/// Where somebody writes account and password.
pub(crate) fn sign_in(flow: &str, app: &str, account: &str, problem: Option<&str>) -> Answer {
    let (problem, described) = match problem {
        Some(problem) => (
            format!("<p class=\"bad\" id=\"problem\" role=\"alert\">{}</p>\n", escape(problem)),
            " aria-describedby=\"problem\" aria-invalid=\"true\"",
        ),
        None => (String::new(), ""),
    };
    let (first, second) = if account.is_empty() { (" autofocus", "") } else { ("", " autofocus") };
    let inside = format!(
        "{problem}<p class=\"note\">to continue to <b>{}</b></p>\n\
         <label for=\"account\">Account</label>\n\
         <input id=\"account\" name=\"loginfmt\" type=\"email\" autocomplete=\"username\" maxlength=\"113\" required{first}{described} value=\"{}\">\n\
         <label for=\"password\">Password</label>\n\
         <input id=\"password\" name=\"passwd\" type=\"password\" autocomplete=\"current-password\" maxlength=\"256\" required{second}{described}>\n\
         <div class=\"buttons\"><button class=\"main\" id=\"sign-in\" type=\"submit\">Sign in</button></div>",
        escape(app),
        escape(account)
    );
    page(StatusCode::OK, "Sign in", &form("/common/login", flow, &inside), false)
}

/// Where somebody who is signed in says with which account to go on.
pub(crate) fn pick_account(flow: &str, app: &str, account: &str) -> Answer {
    let account = escape(account);
    let inside = format!(
        "<p class=\"note\">to continue to <b>{}</b></p>\n\
         <button class=\"account main\" name=\"choice\" value=\"same\" type=\"submit\" autofocus>{account}</button>\n\
         <button class=\"account\" name=\"choice\" value=\"other\" type=\"submit\">Use another account</button>",
        escape(app)
    );
    page(StatusCode::OK, "Pick an account", &form("/common/pick", flow, &inside), false)
}

/// One line of the consent page.
pub(crate) struct Line<'a> {
    pub(crate) resource: &'a str,
    pub(crate) permission: &'a str,
    pub(crate) allows: &'a str,
}

/// What the consent page shows.
pub(crate) struct Consent<'a> {
    pub(crate) flow: &'a str,
    pub(crate) app: &'a str,
    pub(crate) publisher: &'a str,
    pub(crate) account: &'a str,
    pub(crate) organisation: &'a str,
    pub(crate) roles: Vec<Line<'a>>,
    pub(crate) scopes: Vec<Line<'a>>,
    /// Whether it is for everybody in any case.
    pub(crate) for_all: bool,
    /// Whether the person may choose it to be for everybody.
    pub(crate) may_choose: bool,
    pub(crate) redirect: &'a str,
}

/// Where somebody consents.
pub(crate) fn consent(consent: &Consent<'_>) -> Answer {
    let list = |title: &str, lines: &[Line<'_>]| {
        if lines.is_empty() {
            return String::new();
        }
        let items: String = lines
            .iter()
            .map(|line| {
                format!(
                    "<li>{}<small>{}: <code>{}</code></small></li>\n",
                    escape(line.allows),
                    escape(line.resource),
                    escape(line.permission)
                )
            })
            .collect();
        format!("<h2>{title}</h2>\n<ul>\n{items}</ul>\n")
    };
    let check = if consent.may_choose {
        "<label class=\"check\"><input type=\"checkbox\" name=\"organisation\" value=\"yes\"> Consent on behalf of your organization</label>\n"
    } else {
        ""
    };
    let for_all = if consent.for_all {
        format!(
            "<p>If you accept, this app gets access to these resources for all users in <b>{}</b>. No one else will be asked.</p>\n",
            escape(consent.organisation)
        )
    } else {
        String::new()
    };
    let inside = format!(
        "<p class=\"who\">{}</p>\n<p><b>{}</b><br><span class=\"note\">published by {}</span></p>\n\
         <p>This app would like to:</p>\n{}{}{for_all}{check}\
         <p class=\"note\">Accepting means that you allow this app to use your data as its terms say. You then go to <code>{}</code>.</p>\n\
         <div class=\"buttons\"><button name=\"decision\" value=\"cancel\" id=\"cancel\" type=\"submit\">Cancel</button>\
         <button class=\"main\" name=\"decision\" value=\"accept\" id=\"accept\" type=\"submit\">Accept</button></div>",
        escape(consent.account),
        escape(consent.app),
        escape(consent.publisher),
        list("As itself, without a signed-in user", &consent.roles),
        list("On behalf of a signed-in user", &consent.scopes),
        escape(&host_of(consent.redirect)),
    );
    let title = if consent.for_all {
        "Permissions requested: review for your organization"
    } else {
        "Permissions requested"
    };
    page(StatusCode::OK, title, &form("/common/consent", consent.flow, &inside), false)
}

fn host_of(address: &str) -> String {
    url::Url::parse(address)
        .ok()
        .and_then(|address| address.host_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Tells somebody that an administrator is needed.
pub(crate) fn needs_administrator(flow: &str, app: &str, account: &str, problem: &str) -> Answer {
    let inside = format!(
        "<p class=\"who\">{}</p>\n<p><b>{}</b> needs permission to access resources in your organization that only an \
         administrator can grant. Please ask an administrator to grant permission to this app before you can use it.</p>\n\
         <p class=\"note\" id=\"code\">{}</p>\n\
         <div class=\"buttons\"><button name=\"decision\" value=\"other\" id=\"other\" type=\"submit\">Have an admin account? Sign in with that account</button>\
         <button class=\"main\" name=\"decision\" value=\"cancel\" id=\"cancel\" type=\"submit\">Return to the application without granting consent</button></div>",
        escape(account),
        escape(app),
        escape(problem)
    );
    page(StatusCode::OK, "Need admin approval", &form("/common/consent", flow, &inside), false)
}

/// A refusal that no application hears of.
pub(crate) fn refusal(status: StatusCode, description: &str) -> Answer {
    let lines: String = description.split("\r\n").map(|line| format!("{}<br>\n", escape(line))).collect();
    let body = format!(
        "<p>Sorry, but we’re having trouble signing you in.</p>\n<p class=\"bad\" id=\"problem\" role=\"alert\">{lines}</p>"
    );
    page(status, "Sign in: trouble", &body, false)
}

/// Where the code of another device is written.
pub(crate) fn enter_code(flow: &str, code: &str, problem: Option<&str>) -> Answer {
    let problem = problem.map_or_else(String::new, |problem| {
        format!("<p class=\"bad\" id=\"problem\" role=\"alert\">{}</p>\n", escape(problem))
    });
    let inside = format!(
        "{problem}<p>Enter the code displayed on your app or device.</p>\n<label for=\"otc\">Code</label>\n\
         <input id=\"otc\" name=\"otc\" type=\"text\" autocomplete=\"off\" maxlength=\"16\" required autofocus value=\"{}\">\n\
         <div class=\"buttons\"><button class=\"main\" id=\"next\" type=\"submit\">Next</button></div>",
        escape(code)
    );
    page(StatusCode::OK, "Enter code", &form("/common/deviceauth", flow, &inside), false)
}

/// Asks whether the sign-in on the other device is wanted.
pub(crate) fn confirm_device(flow: &str, app: &str, account: &str) -> Answer {
    let inside = format!(
        "<p class=\"who\">{}</p>\n<p>Are you trying to sign in to <b>{}</b>?</p>\n\
         <p class=\"note\">Only continue if you downloaded the app from a store or website that you trust.</p>\n\
         <div class=\"buttons\"><button name=\"decision\" value=\"cancel\" id=\"cancel\" type=\"submit\">Cancel</button>\
         <button class=\"main\" name=\"decision\" value=\"accept\" id=\"accept\" type=\"submit\" autofocus>Continue</button></div>",
        escape(account),
        escape(app)
    );
    page(StatusCode::OK, "Sign in on another device", &form("/common/consent", flow, &inside), false)
}

/// Something that is just said.
pub(crate) fn note(title: &str, text: &str) -> Answer {
    page(StatusCode::OK, title, &format!("<p>{}</p>", escape(text)), false)
}

/// How an application hears of the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseMode {
    Query,
    Fragment,
    FormPost,
}

/// Sends a browser back to an application.
pub(crate) fn back(redirect: &str, mode: ResponseMode, fields: &[(&str, &str)]) -> Answer {
    if mode == ResponseMode::FormPost {
        let inputs: String = fields
            .iter()
            .map(|(name, value)| {
                format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">\n", escape(name), escape(value))
            })
            .collect();
        let body = format!(
            "<form method=\"post\" action=\"{}\">\n{inputs}<p>You are sent back to the application.</p>\n\
             <div class=\"buttons\"><button class=\"main\" type=\"submit\">Continue</button></div>\n</form>",
            escape(redirect)
        );
        return page(StatusCode::OK, "Working…", &body, true);
    }
    let mut text = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        text.append_pair(name, value);
    }
    let text = text.finish();
    let bare = redirect.split('#').next().unwrap_or(redirect);
    let location = match mode {
        ResponseMode::Fragment => format!("{bare}#{text}"),
        _ if bare.contains('?') => format!("{bare}&{text}"),
        _ if url::Url::parse(bare).is_ok_and(|address| address.path() == "/" && !bare.ends_with('/')) => {
            format!("{bare}/?{text}")
        }
        _ => format!("{bare}?{text}"),
    };
    Answer::redirect(location).uncached().with(HeaderName::from_static("referrer-policy"), "no-referrer")
}

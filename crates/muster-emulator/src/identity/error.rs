//! What the identity platform says when it refuses: its codes, and how they are written.

use hyper::StatusCode;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use crate::http::answer::Answer;
use crate::server::Call;
use crate::world::tenants::World;

/// One row: code, HTTP status, `error`, `suberror`, text.
type Code = (u32, u16, &'static str, Option<&'static str>, &'static str);

/// Every code that the emulator knows, with what goes with it. Where a text names things, the caller fills it in.
const CODES: &[Code] = &[
    (
        16_000,
        400,
        "interaction_required",
        None,
        "Either multiple user identities are available for the current request or selected account is not supported for the scenario.",
    ),
    (
        50_011,
        400,
        "invalid_request",
        None,
        "The redirect URI specified in the request does not match the redirect URIs configured for the application.",
    ),
    (
        50_013,
        400,
        "invalid_grant",
        None,
        "Assertion failed signature validation. [Reason - The key was not found.]",
    ),
    (
        50_020,
        400,
        "invalid_grant",
        None,
        "User account from identity provider does not exist in tenant and cannot access the application in that tenant.",
    ),
    (50_027, 400, "invalid_request", None, "JWT token is invalid or malformed."),
    (
        50_034,
        400,
        "invalid_grant",
        Some("bad_token"),
        "The user account does not exist in the directory. To sign into this application, the account must be added to the directory.",
    ),
    (50_049, 400, "invalid_instance", None, "Unknown or invalid instance."),
    (
        50_053,
        400,
        "invalid_grant",
        None,
        "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.",
    ),
    (50_055, 400, "invalid_grant", Some("user_password_expired"), "The password is expired."),
    (50_057, 400, "invalid_grant", None, "The user account is disabled."),
    (50_058, 400, "login_required", None, "A silent sign-in request was sent but no user is signed in."),
    (
        50_059,
        400,
        "invalid_request",
        None,
        "No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    (
        50_076,
        400,
        "interaction_required",
        Some("basic_action"),
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access the resource.",
    ),
    (
        50_079,
        400,
        "interaction_required",
        Some("basic_action"),
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access the resource.",
    ),
    (
        50_105,
        400,
        "invalid_grant",
        None,
        "Your administrator has configured the application to block users unless they are specifically granted access to the application.",
    ),
    (50_126, 400, "invalid_grant", None, "Error validating credentials due to invalid username or password."),
    (
        50_128,
        400,
        "invalid_grant",
        None,
        "Invalid domain name. No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    (
        50_158,
        400,
        "interaction_required",
        Some("basic_action"),
        "External security challenge not satisfied. User will be redirected to another page or authentication provider to satisfy additional authentication challenges.",
    ),
    (
        50_173,
        400,
        "invalid_grant",
        Some("bad_token"),
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password.",
    ),
    (
        50_194,
        400,
        "invalid_request",
        None,
        "Application is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint or configure the application to be multi-tenant.",
    ),
    (
        50_196,
        400,
        "invalid_grant",
        None,
        "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.",
    ),
    (
        53_000,
        400,
        "interaction_required",
        Some("message_only"),
        "Your device is required to be compliant to access this resource.",
    ),
    (
        53_003,
        400,
        "invalid_grant",
        Some("message_only"),
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    ),
    (
        54_005,
        400,
        "invalid_grant",
        None,
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.",
    ),
    (
        65_001,
        400,
        "invalid_grant",
        Some("consent_required"),
        "The user or administrator has not consented to use the application. Send an interactive authorization request for this user and resource.",
    ),
    (
        65_002,
        400,
        "invalid_grant",
        None,
        "Consent between first party application and first party resource must be configured via preauthorization.",
    ),
    (65_004, 400, "access_denied", None, "User declined to consent to access the app."),
    (
        65_005,
        400,
        "invalid_resource",
        None,
        "The application required resource access list does not contain applications discoverable by the resource.",
    ),
    (70_000, 400, "invalid_grant", None, "Provided grant is invalid or malformed."),
    (70_001, 400, "unauthorized_client", None, "The application was not found in the directory."),
    (70_002, 400, "invalid_client", None, "Error validating credentials."),
    (70_003, 400, "unsupported_grant_type", None, "The app requested an unsupported grant type."),
    (70_005, 400, "unsupported_response_type", None, "The app returned an unsupported response type."),
    (
        70_008,
        400,
        "invalid_grant",
        None,
        "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.",
    ),
    (70_011, 400, "invalid_scope", None, "The provided value for the input parameter 'scope' isn't valid."),
    (
        70_016,
        400,
        "authorization_pending",
        None,
        "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
    ),
    (70_018, 400, "bad_verification_code", None, "Invalid verification code."),
    (70_019, 400, "expired_token", None, "Verification code expired."),
    (70_020, 400, "authorization_declined", None, "The user declined the sign-in on the other device."),
    (
        70_021,
        400,
        "invalid_request",
        None,
        "No matching federated identity record found for presented assertion.",
    ),
    (
        70_043,
        400,
        "invalid_grant",
        Some("token_expired"),
        "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access.",
    ),
    (90_002, 400, "invalid_request", None, "Tenant not found."),
    (
        90_009,
        400,
        "invalid_request",
        None,
        "Application is requesting a token for itself. This scenario is supported only if resource is specified using the GUID based App Identifier.",
    ),
    (90_013, 400, "invalid_request", None, "Invalid input received from the user."),
    (
        90_014,
        400,
        "invalid_request",
        None,
        "The required field is missing from the credential. Ensure that you have all the necessary parameters for the login request.",
    ),
    (90_023, 400, "invalid_request", None, "The authentication service request isn't valid."),
    (90_033, 503, "temporarily_unavailable", None, "A transient error has occurred. Please try again."),
    (
        90_055,
        429,
        "temporarily_unavailable",
        None,
        "The server is temporarily too busy to handle the request.",
    ),
    (
        90_072,
        400,
        "invalid_grant",
        None,
        "User account from external identity provider does not exist in tenant and cannot access the application in that tenant.",
    ),
    (
        90_094,
        400,
        "access_denied",
        None,
        "An administrator of the tenant has set a policy that prevents you from granting the application the permissions it is requesting. Contact an administrator who can grant permissions to this application on your behalf.",
    ),
    (
        90_095,
        400,
        "access_denied",
        None,
        "Admin consent is required. The request was sent to an administrator.",
    ),
    (
        90_099,
        400,
        "invalid_grant",
        None,
        "The application has not been authorized in the tenant. Applications must be authorized to access the customer tenant before partner delegated administrators can use them.",
    ),
    (500_011, 400, "invalid_resource", None, "The resource principal was not found in the tenant."),
    (
        500_112,
        400,
        "invalid_client",
        None,
        "The reply address does not match the reply address provided when requesting Authorization code.",
    ),
    (500_113, 400, "invalid_request", None, "No reply address is registered for the application."),
    (500_133, 400, "invalid_grant", None, "Assertion is not within its valid time range."),
    (
        501_481,
        400,
        "invalid_grant",
        None,
        "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    ),
    (
        530_003,
        400,
        "interaction_required",
        Some("message_only"),
        "Your device is required to be managed to access this resource.",
    ),
    (
        650_053,
        400,
        "invalid_client",
        None,
        "The application asked for a scope that doesn't exist on the resource.",
    ),
    (
        650_057,
        400,
        "invalid_resource",
        None,
        "Invalid resource. The client has requested access to a resource which is not listed in the requested permissions in the client's application registration.",
    ),
    (
        700_003,
        400,
        "invalid_grant",
        Some("device_authentication_failed"),
        "Device object was not found in the tenant directory.",
    ),
    (
        700_005,
        400,
        "invalid_grant",
        None,
        "Provided Authorization Code is intended to use against other tenant, thus rejected.",
    ),
    (
        700_016,
        400,
        "unauthorized_client",
        None,
        "Application was not found in the directory. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
    ),
    (
        700_021,
        401,
        "invalid_client",
        None,
        "Client assertion application identifier doesn't match 'client_id' parameter.",
    ),
    (
        700_022,
        400,
        "invalid_scope",
        None,
        "The provided value for the input parameter scope is not valid because it contains more than one resource.",
    ),
    (
        700_023,
        401,
        "invalid_client",
        None,
        "Client assertion audience claim does not match Realm issuer. Review the documentation.",
    ),
    (700_024, 401, "invalid_client", None, "Client assertion is not within its valid time range."),
    (
        700_025,
        400,
        "invalid_client",
        None,
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    ),
    (
        700_027,
        401,
        "invalid_client",
        None,
        "The certificate with identifier used to sign the client assertion is not registered on application.",
    ),
    (
        700_030,
        401,
        "invalid_client",
        None,
        "Invalid certificate - subject name in certificate is not authorized.",
    ),
    (
        700_082,
        400,
        "invalid_grant",
        Some("token_expired"),
        "The refresh token has expired due to inactivity.",
    ),
    (
        700_084,
        400,
        "invalid_grant",
        None,
        "The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited lifetime of 1.00:00:00, which can't be extended. It is now expired and a new sign in request must be sent by the SPA to the sign in page.",
    ),
    (
        700_211,
        400,
        "invalid_client",
        None,
        "No matching federated identity record found for presented assertion issuer.",
    ),
    (
        700_212,
        400,
        "invalid_client",
        None,
        "No matching federated identity record found for presented assertion audience.",
    ),
    (
        700_213,
        400,
        "invalid_client",
        None,
        "No matching federated identity record found for presented assertion subject.",
    ),
    (900_144, 400, "invalid_request", None, "The request body is missing a required parameter."),
    (
        900_561,
        400,
        "invalid_request",
        None,
        "The endpoint only accepts POST requests. Received a GET request.",
    ),
    (901_002, 400, "invalid_request", None, "The 'resource' request parameter is not supported."),
    (
        1_002_016,
        400,
        "invalid_client",
        None,
        "You are using TLS version 1.0, 1.1 and/or 3DES cipher which are deprecated.",
    ),
    (7_000_112, 400, "unauthorized_client", None, "Application is disabled."),
    (
        7_000_114,
        400,
        "unauthorized_client",
        None,
        "Application is not allowed to make application on-behalf-of calls.",
    ),
    (
        7_000_215,
        401,
        "invalid_client",
        None,
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.",
    ),
    (
        7_000_216,
        401,
        "invalid_client",
        None,
        "'client_assertion', 'client_secret' or 'request' is required for the 'urn:ietf:params:oauth:grant-type:jwt-bearer' grant type.",
    ),
    (
        7_000_218,
        401,
        "invalid_client",
        None,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    (7_000_222, 401, "invalid_client", None, "The provided client secret keys are expired."),
    (
        7_000_229,
        401,
        "unauthorized_client",
        None,
        "The client application is missing service principal in the tenant. See instructions here: https://go.microsoft.com/fwlink/?linkid=2225119",
    ),
    (9_002_313, 400, "invalid_grant", None, "Invalid request. Request is malformed or invalid."),
];

/// What the person's next sign-in has to be asked for with, where a policy wants more of them.
const POLICY_CLAIMS: &str =
    r#"{"access_token":{"capolids":{"essential":true,"values":["b6a1c0de-0b1e-4c55-9d3f-2c9a1e7f5a10"]}}}"#;

/// A refusal.
#[derive(Debug)]
pub(crate) struct AadError {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) codes: Vec<u32>,
    pub(crate) text: String,
    pub(crate) suberror: Option<&'static str>,
    pub(crate) claims: Option<String>,
}

/// Whether the emulator can refuse with a code.
pub(crate) fn is_known(code: u32) -> bool {
    CODES.iter().any(|row| row.0 == code)
}

/// The refusal of a code, with its usual text. A code that is in no table is written as a plain bad request.
pub(crate) fn aad(code: u32) -> AadError {
    let &(_, status, error, suberror, text) = CODES.iter().find(|row| row.0 == code).unwrap_or(&(
        0,
        400,
        "invalid_request",
        None,
        "The request was refused.",
    ));
    AadError {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
        error,
        codes: vec![code],
        text: text.to_owned(),
        suberror,
        claims: (suberror == Some("basic_action")).then(|| POLICY_CLAIMS.to_owned()),
    }
}

/// The refusal of a request that lacks a parameter.
pub(crate) fn missing(name: &str) -> AadError {
    aad(900_144).text(format!("The request body must contain the following parameter: '{name}'."))
}

/// The refusal of a request to a tenant that does not exist.
pub(crate) fn unknown_tenant(name: &str) -> AadError {
    aad(90_002).text(format!(
        "Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the correct \
         cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for \
         the tenant."
    ))
}

/// The refusal of an app that a tenant does not have.
pub(crate) fn unknown_app(client: &str, directory: &str) -> AadError {
    aad(700_016).text(format!(
        "Application with identifier '{client}' was not found in the directory '{directory}'. This can happen if the \
         application has not been installed by the administrator of the tenant or consented to by any user in the \
         tenant. You may have sent your authentication request to the wrong tenant."
    ))
}

impl AadError {
    /// The same with a text that names things.
    #[must_use]
    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// The same with another `error`.
    #[must_use]
    pub(crate) fn error(mut self, error: &'static str) -> Self {
        self.error = error;
        self
    }

    pub(crate) fn code(&self) -> u32 {
        self.codes.last().copied().unwrap_or_default()
    }

    /// `AADSTS<code>: <text>`, as pages and redirects begin it.
    pub(crate) fn line(&self) -> String {
        format!("AADSTS{}: {}", self.codes.first().copied().unwrap_or_default(), self.text)
    }
}

/// The ids that go with a refusal.
pub(crate) struct Trace {
    pub(crate) trace: String,
    pub(crate) correlation: String,
    /// `2026-01-02 03:04:05Z`.
    pub(crate) timestamp: String,
}

impl Trace {
    pub(crate) fn of(world: &World, call: &Call<'_>, mut guid: impl FnMut() -> String) -> Self {
        let now = world.now().to_string();
        let correlation = call
            .headers
            .get("client-request-id")
            .and_then(|value| value.to_str().ok())
            .filter(|id| id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic()));
        Self {
            trace: guid(),
            correlation: correlation.map_or_else(guid, str::to_owned),
            timestamp: format!("{} {}Z", &now[..10], &now[11..19]),
        }
    }

    /// The description of a refusal, in four lines.
    pub(crate) fn describe(&self, error: &AadError) -> String {
        format!(
            "{}\r\nTrace ID: {}\r\nCorrelation ID: {}\r\nTimestamp: {}",
            error.line(),
            self.trace,
            self.correlation,
            self.timestamp
        )
    }

    /// The refusal as the token endpoint and discovery write it.
    pub(crate) fn answer(&self, call: &Call<'_>, error: &AadError) -> Answer {
        let code = error.code();
        let mut body = json!({
            "error": error.error,
            "error_description": self.describe(error),
            "error_codes": error.codes,
            "timestamp": self.timestamp,
            "trace_id": self.trace,
            "correlation_id": self.correlation,
            "error_uri": format!("{}/error?code={code}", call.base),
        });
        if let Some(suberror) = error.suberror {
            body["suberror"] = Value::from(suberror);
        }
        if let Some(claims) = &error.claims {
            body["claims"] = Value::from(claims.as_str());
        }
        super::uncached(Answer::json(error.status, body.to_string()))
            .with(HeaderName::from_static("x-ms-clitelem"), format!("1,{code},0,,"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once_in_order() {
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(CODES.iter().all(|row| (400..600).contains(&row.1) && !row.4.is_empty()));
    }
}

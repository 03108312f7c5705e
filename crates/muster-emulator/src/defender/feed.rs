//! The retired SIEM API, `GET /api/alerts` at `wdatp-alertexporter-…`: a bare list of detections, in its own parameters.
//!
//! Source: Microsoft "Pull detections from Microsoft Defender for Endpoint using REST API". It says neither whether the bounds
//! are in the span (here they are), nor in which order detections come where no `limit` asks for the newest (here likewise),
//! nor what an error looks like (here as in the other Defender APIs).

use hyper::{Method, StatusCode};
use jiff::SpanRelativeTo;
use url::form_urlencoded;

use super::devices::Devices;
use super::service::{Defender, Refusal, refusal};
use crate::faults::active::{Faults, Met};
use crate::faults::quirks::Quirks;
use crate::graph::page::{PageFailure, PageWriter};
use crate::graph::service::Caller;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::identity::claims::TokenError;
use crate::world::query::{Expression, Field, Literal, Operator, Order, Query, SkipToken};
use crate::world::tenants::World;
use crate::world::ticks::Ticks;
use crate::world::view::{ENDPOINT_SERVICE, View};

/// How far back is looked where nothing is said.
const DEFAULT_SECONDS: i64 = 2 * 3_600;
/// Parameters by which a request is known where no host name tells.
const PARAMETERS: [&str; 7] = [
    "sincetimeutc",
    "untiltimeutc",
    "ago",
    "limit",
    "machinegroups",
    "devicecreatedmachinetags",
    "cloudcreatedmachinetags",
];

/// Whether a path is the feed's; one of the old samples leaves the last letter out.
pub(crate) fn is_path(path: &str) -> bool {
    ["/api/alerts", "/api/alerts/", "/api/alert"].contains(&path)
}

/// Whether a query is in the words of the feed.
pub(crate) fn speaks(query: &str) -> bool {
    let mut names = form_urlencoded::parse(query.as_bytes());
    names.any(|(name, _)| PARAMETERS.contains(&name.to_ascii_lowercase().as_str()))
}

impl Defender {
    /// The answer of the feed, with all that the request meets but how it travels.
    pub(crate) fn feed(
        &self,
        world: &World,
        faults: &Faults,
        call: &Call<'_>,
        caller: &Caller,
        met: &Met,
    ) -> Answer {
        if let Some(answer) = self.fault_answer(world, call, caller, met.answer.as_ref()) {
            return answer;
        }
        detections(world, faults, call, caller, &met.quirks).unwrap_or_else(|refusal| self.refuse(refusal))
    }
}

fn detections(
    world: &World,
    faults: &Faults,
    call: &Call<'_>,
    caller: &Caller,
    quirks: &Quirks,
) -> Result<Answer, Refusal> {
    if call.method != Method::GET {
        let text = "The HTTP method is not supported here.";
        return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "BadRequest", text));
    }
    if caller.is_trusted() && faults.revoked(caller.tenant).is_some() {
        return Err(refusal(StatusCode::UNAUTHORIZED, "Unauthorized", TokenError::Tenant.to_string()));
    }
    let (query, devices) = read(call.query, world.now(), quirks)
        .map_err(|error| refusal(StatusCode::BAD_REQUEST, "BadRequest", error))?;
    let writer = PageWriter {
        world,
        call,
        tenant: caller.tenant,
        unknown_members_wanted: true,
        quirks,
        view: View::Siem,
    };
    writer.feed(query, &devices).map_err(|failure| match failure {
        PageFailure::NotFound(id) => refusal(StatusCode::NOT_FOUND, "NotFound", id),
        PageFailure::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            refusal(status, "InternalServerError", "The service had trouble with the request.")
        }
    })
}

/// Reads the part of an address after `?`. Names are read in any case.
fn read(raw: &str, now: Ticks, quirks: &Quirks) -> Result<(Query, Devices), String> {
    let (mut since, mut until, mut limit, mut devices) = (None, None, None, Devices::default());
    let time = |name: &str, value: &str| {
        Ticks::parse(value).ok_or_else(|| format!("The value '{value}' is not valid for {name}."))
    };
    for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
        let name = name.to_ascii_lowercase();
        if quirks.refused_words.iter().any(|word| word.eq_ignore_ascii_case(&name)) {
            return Err(format!("The parameter {name} is not supported."));
        }
        match name.as_str() {
            "sincetimeutc" => since = Some(time("sinceTimeUtc", &value)?),
            "untiltimeutc" => until = Some(time("untilTimeUtc", &value)?),
            "ago" => since = Some(before(now, &value)?),
            "limit" => {
                let most = value.parse::<usize>().ok().filter(|most| *most > 0);
                let most = most.ok_or_else(|| format!("The value '{value}' is not valid for limit."))?;
                if quirks.top_limit.is_some_and(|limit| !limit.clamp && most > limit.most) {
                    return Err(format!("The value '{value}' for limit is too large."));
                }
                let clamped = quirks.top_limit.filter(|limit| limit.clamp);
                limit = Some(clamped.map_or(most, |limit| most.min(limit.most)));
            }
            "machinegroups" => devices.groups.push(value.into_owned()),
            "devicecreatedmachinetags" => devices.tags[0].push(value.into_owned()),
            "cloudcreatedmachinetags" => devices.tags[1].push(value.into_owned()),
            _ => {}
        }
    }
    let updated =
        |operator, at| Box::new(Expression::Compare(Field::LastUpdateDateTime, operator, Literal::Time(at)));
    let since = updated(Operator::GreaterOrEqual, since.unwrap_or(now.plus_seconds(-DEFAULT_SECONDS)));
    let until = updated(Operator::LessOrEqual, until.unwrap_or(now));
    let service = Literal::Text(ENDPOINT_SERVICE.to_owned());
    let own = Box::new(Expression::Compare(Field::ServiceSource, Operator::Equal, service));
    let filter = Expression::And(own, Box::new(Expression::And(since, until)));
    let query = Query {
        filter: Some(filter),
        order: Order::Updated { descending: true },
        top: limit,
        skip: 0,
        count: false,
        expanded: true,
        clamped: false,
        token: SkipToken::default(),
    };
    Ok((query, devices))
}

/// The time so long before now, as in `PT10M`.
fn before(now: Ticks, value: &str) -> Result<Ticks, String> {
    let span = value.parse::<jiff::Span>().ok().filter(|_| value.starts_with(['P', 'p']));
    let back = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let back = back.filter(|back| !back.is_negative());
    let back = back.ok_or_else(|| format!("The value '{value}' is not valid for ago."))?;
    let at = now.timestamp().checked_sub(back).unwrap_or(jiff::Timestamp::MIN);
    Ok(Ticks::from_timestamp(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(raw: &str) -> Result<(Ticks, Ticks, Option<usize>), String> {
        let now = Ticks::parse("2026-03-02T12:00:00Z").unwrap();
        let (query, _) = read(raw, now, &Quirks::default())?;
        let (since, until) = query.filter.unwrap().update_span();
        Ok((since, until, query.top))
    }

    #[test]
    fn parameters_are_read() {
        let at = |text: &str| Ticks::parse(text).unwrap();
        let now = at("2026-03-02T12:00:00Z");
        assert_eq!(span(""), Ok((at("2026-03-02T10:00:00Z"), now, None)));
        assert_eq!(span("ago=PT10M&limit=7"), Ok((at("2026-03-02T11:50:00Z"), now, Some(7))));
        assert_eq!(
            span("sinceTimeUtc=2026-03-01T00:00:00.1234567Z&untiltimeutc=2026-03-02T00:00:00Z"),
            Ok((at("2026-03-01T00:00:00.1234567Z"), at("2026-03-02T00:00:00Z"), None))
        );
        for wrong in ["sinceTimeUtc=x", "untilTimeUtc=", "ago=10m", "ago=-PT1M", "limit=0", "limit=x"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
        assert!(speaks("SinceTimeUtc=x") && speaks("a=1&limit=2") && !speaks("$filter=limit&$top=1"));
    }

    #[test]
    fn devices_are_chosen_by_group_and_by_tag() {
        let detection =
            br#"{"MachineGroup":"UK","DeviceCreatedMachineTags":"vip, lab","CloudCreatedMachineTags":""}"#;
        let chosen = |raw: &str| {
            let (_, devices) = read(raw, Ticks(0), &Quirks::default()).unwrap();
            devices.have(detection)
        };
        assert!(chosen("") && chosen("machinegroups=FR&machinegroups=UK"));
        assert!(chosen("DeviceCreatedMachineTags=lab"));
        assert!(!chosen("machinegroups=FR") && !chosen("CloudCreatedMachineTags=lab"));
    }
}

//! The part of OData that the security lists understand: `$filter`, `$orderby`, `$top`, `$skip`, `$count`,
//! `$expand`.

use url::form_urlencoded;

use super::filter::{QueryError, Result, parse_filter, refuse};
use crate::faults::quirks::{OrderQuirk, Quirks, TopLimit};
use crate::world::query::{
    DEFAULT_ORDER, Expression, Field, List, Literal, Operator, Order, Query, SkipToken,
};
use crate::world::view::{ENDPOINT_SERVICE, View};

/// Reads the part of an address after `?`.
pub(crate) fn parse(view: View, list: List, raw: &str, quirks: &Quirks) -> Result<Query> {
    let mut query = Query {
        filter: None,
        order: DEFAULT_ORDER,
        top: None,
        skip: 0,
        count: false,
        expanded: false,
        clamped: false,
        token: SkipToken::default(),
    };
    for (key, value) in form_urlencoded::parse(raw.as_bytes()) {
        match key.as_ref() {
            "$filter" => query.filter = Some(parse_filter(view, list, &value, &quirks.refused_words)?),
            // The Defender APIs document neither of them.
            "$orderby" | "$count" if view != View::Graph => {
                return refuse(format!(
                    "The query specified in the URI is not valid. Query option '{key}' is not supported."
                ));
            }
            "$orderby" if quirks.order == Some(OrderQuirk::Refused) => {
                return refuse(
                    "The query specified in the URI is not valid. '$orderby' is not supported for this resource.",
                );
            }
            "$orderby" => query.order = parse_order(&value)?,
            "$top" => {
                let (top, clamped) = parse_top(view.page_limit(list), &value, quirks.top_limit)?;
                (query.top, query.clamped) = (Some(top), clamped);
            }
            "$skip" => query.skip = parse_skip(&value, quirks.skip_limit)?,
            "$skiptoken" => match SkipToken::read(&value) {
                Some(token) => (query.token, query.skip) = (token, token.skip),
                None => return refuse("Invalid $skiptoken."),
            },
            "$count" if quirks.refused_words.iter().any(|word| word == "count") => {
                return refuse("Query option '$count' is not allowed.");
            }
            "$count" => {
                query.count = match value.as_ref() {
                    "true" => true,
                    "false" => false,
                    _ => return refuse("Invalid value for $count: only 'true' and 'false' are allowed."),
                }
            }
            "$expand" if view == View::Graph && list == List::Incidents && value == "alerts" => {
                query.expanded = true;
            }
            "$expand" if view == View::Endpoint && value == "evidence" => query.expanded = true,
            "$expand" => {
                return refuse(format!(
                    "Parsing OData Select and Expand failed: Could not find a property named '{value}'."
                ));
            }
            other if other.starts_with('$') => {
                return refuse(format!("Query option '{other}' is not allowed."));
            }
            _ => {}
        }
    }
    if view == View::Endpoint {
        let service = Literal::Text(ENDPOINT_SERVICE.to_owned());
        let own = Expression::Compare(Field::ServiceSource, Operator::Equal, service);
        query.filter = Some(match query.filter.take() {
            Some(asked) => Expression::And(Box::new(asked), Box::new(own)),
            None => own,
        });
    }
    Ok(query)
}

fn parse_count(name: &str, value: &str) -> Result<usize> {
    value.parse().map_err(|_| {
        QueryError(format!(
            "Invalid value '{value}' for ${} query option found. It must be a non-negative integer.",
            name.to_lowercase()
        ))
    })
}

fn parse_skip(value: &str, limit: Option<usize>) -> Result<usize> {
    let skip = parse_count("Skip", value)?;
    match limit {
        Some(limit) if skip > limit => refuse(limit_exceeded("Skip", limit, skip)),
        _ => Ok(skip),
    }
}

/// How many records are wanted, and whether more were.
fn parse_top(most: usize, value: &str, limit: Option<TopLimit>) -> Result<(usize, bool)> {
    let top = parse_count("Top", value)?;
    let limit = limit.unwrap_or(TopLimit { most, clamp: false });
    match limit {
        TopLimit { most, .. } if top <= most => Ok((top, false)),
        TopLimit { most, clamp: true } => Ok((most, true)),
        TopLimit { most, clamp: false } => refuse(limit_exceeded("Top", most, top)),
    }
}

fn limit_exceeded(option: &str, limit: usize, wanted: usize) -> String {
    format!(
        "The query specified in the URI is not valid. The limit of '{limit}' for {option} query has been exceeded. The \
         value from the incoming request is '{wanted}'."
    )
}

fn parse_order(value: &str) -> Result<Order> {
    let mut words = value.split_ascii_whitespace();
    let order: fn(bool) -> Order = match words.next() {
        Some("createdDateTime") => |descending| Order::Created { descending },
        Some("lastUpdateDateTime") => |descending| Order::Updated { descending },
        other => return refuse(format!("Ordering by '{}' is not supported.", other.unwrap_or(""))),
    };
    let descending = match words.next() {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(other) => return refuse(format!("Syntax error at '{other}' in '$orderby'.")),
    };
    if words.next().is_some() {
        return refuse("Ordering by more than one property is not supported.");
    }
    Ok(order(descending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_checked() {
        let query = parse(
            View::Graph,
            List::Incidents,
            "$filter=lastUpdateDateTime%20ge%202026-01-01T00:00:00Z&$orderby=lastUpdateDateTime%20asc&$top=50&%24skip=7&$count=true&$expand=alerts",
            &Quirks::default(),
        )
        .unwrap();
        assert_eq!((query.top, query.skip, query.count, query.expanded), (Some(50), 7, true, true));
        assert_eq!(query.order, Order::Updated { descending: false });
        let refused = parse(View::Graph, List::Incidents, "$top=999", &Quirks::default()).unwrap_err();
        assert!(refused.0.contains("The limit of '50' for Top query has been exceeded"), "{refused}");
        assert!(parse(View::Graph, List::Alerts, "$top=2000", &Quirks::default()).is_ok());
        for bad in [
            "$top=-1",
            "$skip=x",
            "$expand=alerts",
            "$search=x",
            "$orderby=severity",
            "$orderby=createdDateTime up",
        ] {
            assert!(parse(View::Graph, List::Alerts, bad, &Quirks::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_defender_apis_take_less() {
        let parse = |view, list, raw| parse(view, list, raw, &Quirks::default());
        let incidents =
            "$filter=lastUpdateTime ge 2026-01-01T00:00:00Z and status eq 'Active'&$top=100&$skip=5";
        assert!(parse(View::Xdr, List::Incidents, incidents).is_ok());
        let alerts = "$filter=lastUpdateTime lt 2026-01-01T00:00:00Z and severity ne 'UnSpecified'&$top=10000&$expand=evidence";
        assert!(parse(View::Endpoint, List::Alerts, alerts).is_ok_and(|query| query.expanded));
        for bad in [
            "$top=101",
            "$orderby=lastUpdateTime desc",
            "$count=true",
            "$expand=alerts",
            "$filter=severity eq 'High'",
            "$filter=lastUpdateDateTime ge 2026-01-01T00:00:00Z",
            "$filter=status eq 'active'",
            "$filter=status eq 'Nonsense'",
        ] {
            assert!(parse(View::Xdr, List::Incidents, bad).is_err(), "{bad}");
        }
        for bad in
            ["$top=10001", "$orderby=lastUpdateTime", "$count=true", "$expand=alerts", "$filter=title eq 'x'"]
        {
            assert!(parse(View::Endpoint, List::Alerts, bad).is_err(), "{bad}");
        }
    }
}

//! The grammar of `$filter`.

use crate::defender::words;
use crate::world::query::{Expression, Field, List, Literal, Operator};
use crate::world::ticks::Ticks;
use crate::world::view::View;

/// A query that Graph refuses with 400; the message is its own.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub(crate) struct QueryError(pub(crate) String);

pub(crate) type Result<T> = std::result::Result<T, QueryError>;

pub(crate) fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(QueryError(message.into()))
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Open,
    Close,
    Comma,
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match first {
            ' ' | '\t' => rest = &rest[1..],
            '(' | ')' | ',' => {
                tokens.push(match first {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Comma,
                });
                rest = &rest[1..];
            }
            '\'' => {
                let (value, after) = quoted(rest, text)?;
                tokens.push(Token::Quoted(value));
                rest = after;
            }
            _ => {
                let end = rest.find([' ', '\t', '(', ')', ',', '\'']).unwrap_or(rest.len());
                let word = &rest[..end];
                rest = &rest[end..];
                // `microsoft.graph.security.alertSeverity'high'`: the type before the quote adds nothing.
                if !(word.contains('.') && rest.starts_with('\'')) {
                    tokens.push(Token::Word(word.to_owned()));
                }
            }
        }
    }
    Ok(tokens)
}

fn quoted<'a>(rest: &'a str, whole: &str) -> Result<(String, &'a str)> {
    let mut value = String::new();
    let mut rest = &rest[1..];
    loop {
        let Some(end) = rest.find('\'') else {
            return refuse(format!(
                "There is an unterminated string literal at position {} in '{whole}'.",
                whole.len()
            ));
        };
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Ok((value, rest)),
        }
    }
}

/// Deeper filters are refused, as a server that recurses has to.
const DEPTH_MAX: usize = 100;

struct Parser<'a> {
    view: View,
    list: List,
    /// Properties and operators that are refused.
    refused: &'a [String],
    text: &'a str,
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
}

pub(crate) fn parse_filter(view: View, list: List, text: &str, refused: &[String]) -> Result<Expression> {
    if text.contains("/any(") || text.contains("/all(") {
        return refuse("Invalid filter clause: lambda expressions over 'evidence' are not supported here.");
    }
    let mut parser =
        Parser { view, list, refused, text, tokens: tokens(text)?.into_iter().peekable(), depth: 0 };
    let expression = parser.or()?;
    match parser.tokens.next() {
        None => Ok(expression),
        Some(token) => parser.syntax_error(Some(&token)),
    }
}

impl Parser<'_> {
    fn syntax_error<T>(&self, at: Option<&Token>) -> Result<T> {
        match at {
            Some(token) => {
                refuse(format!("Invalid filter clause: Syntax error at {token:?} in '{}'.", self.text))
            }
            None => {
                refuse(format!("Invalid filter clause: Expression expected at the end of '{}'.", self.text))
            }
        }
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Word(own) if own == word)).is_some()
    }

    fn or(&mut self) -> Result<Expression> {
        let mut left = self.and()?;
        while self.take_word("or") {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression> {
        let mut left = self.unary()?;
        while self.take_word("and") {
            left = Expression::And(Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return refuse("The recursion limit has been exceeded.");
        }
        let expression = if self.take_word("not") {
            Expression::Not(Box::new(self.unary()?))
        } else if self.tokens.next_if_eq(&Token::Open).is_some() {
            let inner = self.or()?;
            match self.tokens.next() {
                Some(Token::Close) => inner,
                other => return self.syntax_error(other.as_ref()),
            }
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn comparison(&mut self) -> Result<Expression> {
        let field = match self.tokens.next() {
            Some(Token::Word(word)) if !self.refused.contains(&word) => self.field(&word)?,
            Some(Token::Word(word)) => {
                return refuse(format!("Invalid filter clause: filtering on '{word}' is not supported."));
            }
            other => return self.syntax_error(other.as_ref()),
        };
        let operator = match self.tokens.next() {
            Some(Token::Word(word)) if self.refused.contains(&word) => {
                return refuse(format!("Invalid filter clause: the operator '{word}' is not supported."));
            }
            Some(Token::Word(word)) => word,
            other => return self.syntax_error(other.as_ref()),
        };
        let operator = match operator.as_str() {
            "eq" => Operator::Equal,
            "ne" => Operator::NotEqual,
            "gt" => Operator::Greater,
            "ge" => Operator::GreaterOrEqual,
            "lt" => Operator::Less,
            "le" => Operator::LessOrEqual,
            "in" => return self.membership(field),
            other => return self.syntax_error(Some(&Token::Word(other.to_owned()))),
        };
        let literal = self.literal(field)?;
        let ordered = !matches!(operator, Operator::Equal | Operator::NotEqual);
        if ordered && !matches!(literal, Literal::Time(_)) {
            return refuse("A binary operator with incompatible types was detected.");
        }
        Ok(Expression::Compare(field, operator, literal))
    }

    fn membership(&mut self, field: Field) -> Result<Expression> {
        let mut literals = Vec::new();
        let mut token = self.tokens.next();
        if token != Some(Token::Open) {
            return self.syntax_error(token.as_ref());
        }
        loop {
            literals.push(self.literal(field)?);
            token = self.tokens.next();
            match token {
                Some(Token::Comma) => {}
                Some(Token::Close) => return Ok(Expression::In(field, literals)),
                other => return self.syntax_error(other.as_ref()),
            }
        }
    }

    fn field(&self, word: &str) -> Result<Field> {
        let found = match self.view {
            View::Graph => return self.graph_field(word),
            View::Endpoint => match word {
                "alertCreationTime" => Some(Field::CreatedDateTime),
                "lastUpdateTime" => Some(Field::LastUpdateDateTime),
                "assignedTo" => Some(Field::AssignedTo),
                "detectionSource" => Some(Field::DetectionSource),
                "severity" => Some(Field::Severity),
                "status" => Some(Field::Status),
                _ => None,
            },
            // It has parameters of its own, and no filter.
            View::Siem => None,
            View::Xdr => match word {
                "createdTime" => Some(Field::CreatedDateTime),
                "lastUpdateTime" => Some(Field::LastUpdateDateTime),
                "assignedTo" => Some(Field::AssignedTo),
                "status" => Some(Field::Status),
                _ => None,
            },
        };
        found.map_or_else(
            || {
                refuse(format!(
                    "Invalid filter clause: Property '{word}' cannot be used in the $filter query option."
                ))
            },
            Ok,
        )
    }

    fn graph_field(&self, word: &str) -> Result<Field> {
        Ok(match word {
            "assignedTo" => Field::AssignedTo,
            "classification" => Field::Classification,
            "createdDateTime" => Field::CreatedDateTime,
            "determination" => Field::Determination,
            "lastUpdateDateTime" => Field::LastUpdateDateTime,
            "severity" => Field::Severity,
            "serviceSource" if self.list == List::Alerts => Field::ServiceSource,
            "status" => Field::Status,
            other => {
                return refuse(format!(
                    "Invalid filter clause: Could not find a filterable property named '{other}' on type '{}'.",
                    self.list.type_name()
                ));
            }
        })
    }

    fn literal(&mut self, field: Field) -> Result<Literal> {
        let timely = matches!(field, Field::CreatedDateTime | Field::LastUpdateDateTime);
        match self.tokens.next() {
            Some(Token::Word(word)) if word == "null" => Ok(Literal::Null),
            Some(Token::Word(word)) if timely => match Ticks::parse(&word) {
                Some(at) => Ok(Literal::Time(at)),
                None => self.syntax_error(Some(&Token::Word(word))),
            },
            Some(Token::Quoted(_)) if timely => refuse(
                "A binary operator with incompatible types was detected. Found operand types 'Edm.DateTimeOffset' \
                 and 'Edm.String' for operator kind.",
            ),
            Some(Token::Quoted(value)) => {
                let graph = words::read(self.view, field, &value);
                // What is written in another API's words is none of this one's.
                let foreign = words::written(self.view, field, &graph) != value;
                if foreign || !is_member(self.list, field, &graph) {
                    return refuse(format!(
                        "Invalid filter clause: The string '{value}' is not a valid enumeration type constant."
                    ));
                }
                Ok(Literal::Text(newer_name(graph)))
            }
            other => self.syntax_error(other.as_ref()),
        }
    }
}

/// Names that older documentation shows and Graph still takes.
fn newer_name(value: String) -> String {
    match value.as_str() {
        "compromisedUser" => "compromisedAccount".to_owned(),
        "clean" => "notMalicious".to_owned(),
        "insufficientData" => "notEnoughDataToValidate".to_owned(),
        "confirmedUserActivity" => "confirmedActivity".to_owned(),
        _ => value,
    }
}

/// Whether the schema knows the value; free text is always known.
fn is_member(list: List, field: Field, value: &str) -> bool {
    let members: &[&str] = match field {
        Field::AssignedTo | Field::CreatedDateTime | Field::DetectionSource | Field::LastUpdateDateTime => {
            return true;
        }
        Field::Severity => &["unknown", "informational", "low", "medium", "high", "unknownFutureValue"],
        Field::Status if list == List::Alerts => {
            &["unknown", "new", "inProgress", "resolved", "unknownFutureValue"]
        }
        Field::Status => {
            &["active", "resolved", "inProgress", "redirected", "awaitingAction", "unknownFutureValue"]
        }
        Field::Classification => &[
            "unknown",
            "falsePositive",
            "truePositive",
            "informationalExpectedActivity",
            "unknownFutureValue",
        ],
        Field::Determination => &[
            "unknown",
            "apt",
            "malware",
            "securityPersonnel",
            "securityTesting",
            "unwantedSoftware",
            "other",
            "multiStagedAttack",
            "compromisedAccount",
            "phishing",
            "maliciousUserActivity",
            "notMalicious",
            "notEnoughDataToValidate",
            "confirmedActivity",
            "lineOfBusinessApplication",
            "unknownFutureValue",
            "compromisedUser",
            "clean",
            "insufficientData",
            "confirmedUserActivity",
        ],
        Field::ServiceSource => &[
            "unknown",
            "microsoftDefenderForEndpoint",
            "microsoftDefenderForIdentity",
            "microsoftDefenderForCloudApps",
            "microsoftDefenderForOffice365",
            "microsoft365Defender",
            "azureAdIdentityProtection",
            "microsoftAppGovernance",
            "dataLossPrevention",
            "unknownFutureValue",
            "microsoftDefenderForCloud",
            "microsoftSentinel",
            "microsoftInsiderRiskManagement",
            "microsoftThreatIntelligence",
            "microsoftSecurityForAI",
        ],
    };
    members.contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::query::Fields;

    struct Record;
    impl Fields for Record {
        fn time(&self, field: Field) -> Option<Ticks> {
            match field {
                Field::CreatedDateTime => Ticks::parse("2026-01-01T00:00:00Z"),
                Field::LastUpdateDateTime => Ticks::parse("2026-01-02T00:00:00.1234567Z"),
                _ => None,
            }
        }
        fn text(&self, field: Field) -> Option<&str> {
            match field {
                Field::Severity => Some("high"),
                Field::Status => Some("new"),
                Field::ServiceSource => Some("microsoft365Defender"),
                _ => None,
            }
        }
    }

    fn holds(filter: &str) -> bool {
        parse_filter(View::Graph, List::Alerts, filter, &[]).expect(filter).matches(&Record)
    }

    #[test]
    fn filters_are_evaluated() {
        for filter in [
            "severity eq 'high'",
            "severity ne 'low' and status eq 'new'",
            "severity in ('low', 'high')",
            "not (severity eq 'low' or status eq 'resolved')",
            "severity eq microsoft.graph.security.alertSeverity'high'",
            "createdDateTime lt 2026-01-01T00:00:00.0000001Z",
            "lastUpdateDateTime ge 2026-01-02T00:00:00.1234567Z and lastUpdateDateTime le 2026-01-02T00:00:00.1234567Z",
            "lastUpdateDateTime gt 2026-01-02T00:00:00.1234566Z",
            "lastUpdateDateTime ge 2026-01-02",
            "assignedTo eq null",
            "status eq 'resolved' or status eq 'new' and severity eq 'high'",
        ] {
            assert!(holds(filter), "{filter}");
        }
        assert!(!holds("lastUpdateDateTime gt 2026-01-02T00:00:00.1234567Z"));
        assert!(!holds("assignedTo eq 'O''Neil'"));
    }

    #[test]
    fn what_graph_refuses_is_refused() {
        for filter in [
            "title eq 'x'",
            "severity eq high",
            "severity eq 'huge'",
            "severity gt 'low'",
            "lastUpdateDateTime ge '2026-01-01T00:00:00Z'",
            "lastUpdateDateTime ge yesterday",
            "evidence/any(e: e/verdict eq 'malicious')",
            "severity eq 'high",
            "(severity eq 'high'",
            "severity eq 'high' status eq 'new'",
            "severity in ()",
            "",
            "and",
        ] {
            assert!(parse_filter(View::Graph, List::Alerts, filter, &[]).is_err(), "{filter}");
        }
        assert!(
            parse_filter(View::Graph, List::Incidents, "serviceSource eq 'microsoft365Defender'", &[])
                .is_err()
        );
        let deep = "(".repeat(100_000);
        assert!(parse_filter(View::Graph, List::Alerts, &deep, &[]).is_err());
    }

    #[test]
    fn a_span_of_update_times_is_found() {
        let filter = "severity eq 'high' and (lastUpdateDateTime ge 2026-01-01T00:00:00Z and lastUpdateDateTime lt 2026-01-02T00:00:00Z)";
        let (from, to) = parse_filter(View::Graph, List::Alerts, filter, &[]).unwrap().update_span();
        assert_eq!(from, Ticks::parse("2026-01-01T00:00:00Z").unwrap());
        assert_eq!(to, Ticks::parse("2026-01-02T00:00:00Z").unwrap());
        let either = parse_filter(
            View::Graph,
            List::Alerts,
            "lastUpdateDateTime ge 2026-01-01 or severity eq 'low'",
            &[],
        )
        .unwrap();
        assert_eq!(either.update_span(), (Ticks(i64::MIN), Ticks(i64::MAX)));
    }
}

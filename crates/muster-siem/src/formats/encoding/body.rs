//! A body of one's own for each record, as webhooks of chat and ticket systems want it: JSON with values of the record in it.
//!
//! Every value that a template writes is written as JSON, quoted and escaped: what an attacker put into a title stays one text,
//! wherever in the body it lands. Otherwise the template is bounded as those of custom mappings are ([`super::mapping`]).

use std::fmt;

use minijinja::Environment;
use minijinja::value::Value;
use muster_model::{Record, RecordKind, TenantLabel};

use super::mapping::{Bounded, Mapping, compile, environment, shown, to_json};

const NAME: &str = "body";

/// A compiled body.
pub(crate) struct BodyTemplate {
    environment: Environment<'static>,
}

impl fmt::Debug for BodyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyTemplate").finish_non_exhaustive()
    }
}

impl BodyTemplate {
    /// Compiles a body, or says why it cannot work on any record.
    pub(crate) fn compile(source: &str) -> Result<Self, String> {
        let mut environment = environment();
        environment.set_formatter(|out, _, value: &Value| {
            out.write_str(&to_json(value.clone())?)?;
            Ok(())
        });
        compile(&mut environment, NAME, source.to_owned())?;
        let template = Self { environment };
        let nothing = Mapping::nothing();
        // What only running can show: filters that do not exist, text that is no JSON around the values.
        template.render(&nothing)?;
        // The same where every value is a text: quotes around one would make no JSON of it.
        let mut texts = self::environment();
        texts.set_formatter(|out, _, _: &Value| Ok(out.write_str("\"text\"")?));
        compile(&mut texts, NAME, source.to_owned())?;
        Self { environment: texts }.render(&nothing).map(|_| template)
    }

    /// The body of a record, or why there is none.
    pub(crate) fn write(
        &self,
        kind: RecordKind,
        record: Record<'_>,
        tenant: &TenantLabel,
    ) -> Result<Vec<u8>, String> {
        self.render(&Mapping::context(kind, record, tenant))
    }

    fn render(&self, context: &Value) -> Result<Vec<u8>, String> {
        let mut bounded = Bounded::default();
        let template = self.environment.get_template(NAME).map_err(|error| shown(&error))?;
        template.render_captured_to(context.clone(), &mut bounded).map_err(|error| shown(&error))?;
        let body = bounded.into_bytes();
        serde_json::from_slice::<serde::de::IgnoredAny>(&body).map_err(|error| {
            format!("its result is not JSON: {error}; each {{{{ … }}}} writes its value as JSON, with its own quotes")
        })?;
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{RecordHead, TenantId};

    use super::*;

    fn rendered(source: &str, body: &str) -> Result<String, String> {
        let template = BodyTemplate::compile(source)?;
        let head = RecordHead::read(RecordKind::GraphAlert, body).expect("a record");
        let tenant = TenantLabel {
            id: TenantId::from(uuid::Uuid::from_u128(1)),
            slug: "contoso".parse().expect("a slug"),
            name: "Contoso \"AG\"".to_owned(),
        };
        let body =
            template.write(RecordKind::GraphAlert, Record { head: &head, body, replay: None }, &tenant)?;
        Ok(String::from_utf8(body).expect("text"))
    }

    #[test]
    fn every_value_is_written_as_json_whatever_an_attacker_wrote() {
        let source = r#"{"text": {{ "Alert: " ~ record.title }}, "who": {{ tenant.name }}, "score": {{ record.score }},
            "none": {{ record.missing }}, "all": [{% for one in record.evidence %}{{ one.name }},{% endfor %}0]}"#;
        let record = r#"{"id":"1","title":"x\"},\"admin\":true,{\"y\":\"\u0000\n","score":7,
            "evidence":[{"name":"a"},{"name":"\"]}"}]}"#;
        let body: serde_json::Value =
            serde_json::from_str(&rendered(source, record).expect("a body")).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "text": "Alert: x\"},\"admin\":true,{\"y\":\"\0\n", "who": "Contoso \"AG\"", "score": 7, "none": null,
                "all": ["a", "\"]}", 0],
            })
        );
        let whole =
            rendered(r#"{"event": {{ record }}}"#, r#"{"id":"1","a":[1,{"b":null}]}"#).expect("a body");
        assert_eq!(whole, r#"{"event": {"id":"1","a":[1,{"b":null}]}}"#);
    }

    #[test]
    fn what_cannot_work_is_told_and_what_is_too_long_makes_no_body() {
        for (source, words) in [
            (r#"{"a": "{{ record.title }}"}"#, "is not JSON"),
            ("{{ record.title | nosuch }}", "nosuch"),
            ("{{ nobody }}", "`nobody` is not known"),
            ("{% set x = 1 %}1", "`set` is not one of the statements"),
            ("", "is not JSON"),
        ] {
            let said = BodyTemplate::compile(source).map(drop).expect_err(source);
            assert!(said.contains(words), "{source}: {said}");
        }
        let long = format!(r#"{{"id":"1","title":"{}"}}"#, "x".repeat(100_000));
        assert!(rendered("{{ record.title }}", &long).expect_err("too long").contains("longer than"));
    }
}

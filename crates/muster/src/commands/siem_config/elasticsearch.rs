//! Elasticsearch: the role and key that a sink needs, a life cycle, and an index template for documents that go into no data
//! stream of Elastic's own. As Kibana's console takes them (Elasticsearch "Create API key", "Index lifecycle", "Index templates").

use std::collections::BTreeSet;
use std::fmt::Write as _;

use muster_siem::formats::Template;
use muster_siem::sinks::{FormatName, SinkSettings};
use serde_json::json;

use super::known::{File, Known};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::plain;

/// The data streams that ECS documents name. Elastic's templates for its integrations go before at 200, its `logs-*-*` after at 100.
pub(super) const OWN_STREAMS: [&str; 2] = ["logs-m365_defender.*-*", "logs-microsoft_defender_endpoint.*-*"];
const OWN_ABOUT: &str = "the data streams of Elastic's integrations. Where their assets\n# are installed (Kibana, Integrations, Microsoft Defender XDR, Settings), theirs goes before this one; where not, this one is needed";

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sinks = known.sinks("elasticsearch", |sink| match sink {
        SinkSettings::Elasticsearch(settings) => Some(settings),
        _ => None,
    })?;
    if sinks.is_empty() {
        let said =
            "the settings have no sink of type elasticsearch; add one, and this tells what its cluster needs";
        return Err(Failed::say(Exit::NotFound, said));
    }
    let mut text = String::from(
        "# For Kibana's console (Dev Tools), or by curl. OpenSearch has users and policies of its own (leave\n# index.lifecycle.name off), and calls the type `flattened` `flat_object`.\n\n",
    );
    put(
        &mut text,
        "How long documents are kept: say how long you want them",
        "PUT _ilm/policy/muster",
        &json!({ "policy": { "phases": {
            "hot": { "actions": { "rollover": { "max_age": "30d", "max_primary_shard_size": "50gb" } } },
            "delete": { "min_age": "365d", "actions": { "delete": {} } },
        } } }),
    );
    for (name, settings) in sinks {
        let expand = |template: &Template| {
            known.tenants.iter().map(|tenant| template.expand(&tenant.label())).collect::<BTreeSet<_>>()
        };
        let names: BTreeSet<String> = match &settings.index {
            Some(index) => expand(index),
            None => {
                let namespaces =
                    known.tenants.iter().map(|tenant| settings.ecs.namespace_of(&tenant.label()));
                let namespaces: BTreeSet<String> = namespaces.collect();
                let streams = ["m365_defender.*", "microsoft_defender_endpoint.*"];
                let of = |namespace: &String| streams.map(|stream| format!("logs-{stream}-{namespace}"));
                namespaces.iter().flat_map(of).collect()
            }
        };
        put(
            &mut text,
            &format!("What sink `{name}` may do. `encoded` of the answer is the api_key of its settings"),
            "POST _security/api_key",
            &json!({ "name": format!("muster-{name}"), "role_descriptors": { "muster": {
                "cluster": ["monitor"],
                "indices": [{ "names": names, "privileges": ["create_doc", "auto_configure"] }],
            } } }),
        );
        let (patterns, priority, about) = match &settings.index {
            Some(index) => (vec![index.pattern()], 250, plain(&index.pattern())),
            None => (OWN_STREAMS.map(str::to_owned).to_vec(), 150, OWN_ABOUT.to_owned()),
        };
        // The longest term that Lucene takes has 32,766 bytes: what is longer is kept, and not searched.
        let mut dynamic = vec![
            json!({ "texts": { "match_mapping_type": "string", "mapping": { "type": "keyword", "ignore_above": 8191 } } }),
        ];
        // What Microsoft's own objects hold has one type in one kind of evidence, and another in the next: the second would be
        // refused, with the whole document.
        let flat = |path: &str| {
            json!({ format!("own {path}"): {
                "match_mapping_type": "object", "path_match": path, "mapping": { "type": "flattened" },
            } })
        };
        match settings.format {
            FormatName::Ecs => dynamic.extend(["m365_defender.*", "microsoft.*"].map(flat)),
            FormatName::Ocsf => dynamic.extend(["*.data", "unmapped"].map(flat)),
            _ => dynamic.push(flat("*")),
        }
        let mut template = json!({
            "settings": {
                // One alert has hundreds of fields, and Microsoft adds more.
                "index.mapping.total_fields.limit": 5000,
                "index.mapping.ignore_malformed": true,
            },
            "mappings": {
                "date_detection": false,
                "dynamic_templates": dynamic,
                "properties": { "message": { "type": "text" } },
            },
        });
        let mut whole = json!({ "index_patterns": patterns, "priority": priority });
        // Only a data stream rolls over by itself; an index that is deleted at an age takes its newest documents along.
        if settings.format == FormatName::Ecs {
            whole["data_stream"] = json!({});
            template["settings"]["index.lifecycle.name"] = json!("muster");
            let unsearched = json!({ "type": "keyword", "index": false, "doc_values": false });
            template["mappings"]["properties"] = json!({
                "@timestamp": { "type": "date" },
                "message": { "type": "text" },
                "event": { "properties": { "original": unsearched } },
            });
        }
        whole["template"] = template;
        put(
            &mut text,
            &format!("What sink `{name}` writes: {}, into {about}", settings.format.as_str()),
            &format!("PUT _index_template/muster-{name}"),
            &whole,
        );
    }
    Ok(vec![File::new("elasticsearch-console.txt", text)])
}

fn put(text: &mut String, about: &str, request: &str, body: &serde_json::Value) {
    // Writing to a String cannot fail.
    writeln!(text, "# {about}\n{request}\n{body:#}\n").ok();
}

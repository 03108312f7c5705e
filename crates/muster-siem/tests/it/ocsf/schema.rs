//! Checks events against OCSF: the extract of its schema for findings and all the objects they reach, as data beside
//! the checkout, and for the classes of hunting rows `classes.json`, a table of what each requires and may hold
//! (facts of ocsf-schema, Apache-2.0). Written without a look at how events are made.

use std::collections::HashSet;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::corpus::corpus;

/// A version of the schema.
pub(crate) struct Schema {
    extract: Value,
    classes: Value,
}

impl Schema {
    /// The schema of a version; `None` where the extract is not there.
    pub(crate) fn read(version: &str) -> Option<Self> {
        let path = corpus(&format!("ocsf-schema/findings-{version}.json"))?;
        let text = std::fs::read_to_string(path).expect("the extract is text");
        let mut extract: Value = serde_json::from_str(&text).expect("the extract is JSON");
        // The extension for Windows, which the extract leaves out.
        let evidences = &mut extract["objects"]["evidences"];
        let windows = json!({ "type": "object", "object": "reg_key", "requirement": "recommended" });
        evidences["attributes"]["reg_key"] = windows;
        evidences["attributes"]["reg_value"] = json!({ "type": "object", "object": "reg_value" });
        for key in ["reg_key", "reg_value"] {
            evidences["constraints"]["at_least_one"].as_array_mut().expect("a list").push(json!(key));
        }
        let text = |requirement| json!({ "type": "string_t", "requirement": requirement });
        extract["objects"]["reg_key"] =
            json!({ "required": ["path"], "constraints": {}, "attributes": { "path": text("required") } });
        extract["objects"]["reg_value"] = json!({ "required": ["path", "name"], "constraints": {}, "attributes": {
            "path": text("required"), "name": text("required"), "data": text("optional"), "type": text("optional"),
        } });
        extract["objects"]["module"] = json!({ "required": [], "constraints": {}, "attributes": {
            "file": { "type": "object", "object": "file", "requirement": "recommended" },
        } });
        let classes = serde_json::from_str(include_str!("classes.json")).expect("the table is JSON");
        Some(Self { extract, classes })
    }

    /// All that is wrong with an event.
    pub(crate) fn problems(&self, event: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        let version = self.extract["version"].as_str().expect("a version");
        if event["metadata"]["version"] != version {
            problems.push(format!("metadata.version is {}, not {version}", event["metadata"]["version"]));
        }
        let class = &event["class_uid"];
        let findings = self.extract["classes"].as_object().expect("classes");
        let found = findings.values().find(|finding| finding["uid"] == *class);
        let class = found.cloned().or_else(|| self.hunting_class(class));
        let Some(class) = class else {
            problems.push(format!("no class {}", event["class_uid"]));
            return problems;
        };
        let profiles: HashSet<&str> = event["metadata"]["profiles"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let check = Check { schema: self, profiles };
        check.object("", event, &class, &mut problems);
        if profiles_of(&class)
            .is_some_and(|known| check.profiles.iter().any(|profile| !known.contains(profile)))
        {
            problems.push(format!("profiles {:?} are not all of the class", check.profiles));
        }
        let uid = |key: &str| event[key].as_i64().unwrap_or(-1);
        if uid("type_uid") != uid("class_uid") * 100 + uid("activity_id") {
            problems.push("type_uid is not class and activity".to_owned());
        }
        problems
    }

    /// A class of a hunting row, put together from the table and what all events share.
    fn hunting_class(&self, uid: &Value) -> Option<Value> {
        let classes = self.classes.as_object().expect("classes");
        let class = classes.values().find(|class| class["uid"] == *uid)?;
        let finding = &self.extract["classes"]["detection_finding"];
        let shared = [
            "activity_id",
            "activity_name",
            "category_uid",
            "category_name",
            "class_uid",
            "class_name",
            "cloud",
            "message",
            "metadata",
            "observables",
            "raw_data",
            "severity",
            "severity_id",
            "status",
            "status_code",
            "status_detail",
            "status_id",
            "time",
            "type_name",
            "type_uid",
            "unmapped",
        ];
        let mut attributes = Map::new();
        for name in shared {
            attributes.insert(name.to_owned(), finding["attributes"][name].clone());
        }
        let plain = |requirement: &str| json!({ "type": "integer_t", "requirement": requirement });
        for name in ["activity_id", "category_uid", "class_uid", "type_uid"] {
            attributes.insert(name.to_owned(), plain("required"));
        }
        let activities: Map<String, Value> = class["activities"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|id| (id.as_str().expect("a number").to_owned(), Value::Null))
            .collect();
        attributes["activity_id"]["enum"] = Value::Object(activities);
        attributes["status_id"]["enum"] =
            json!({ "0": "Unknown", "1": "Success", "2": "Failure", "99": "Other" });
        let objects = [
            ("actor", "actor"),
            ("api", "api"),
            ("connection_info", "network_connection_info"),
            ("device", "device"),
            ("dst_endpoint", "network_endpoint"),
            ("email", "email"),
            ("file", "file"),
            ("file_result", "file"),
            ("http_request", "http_request"),
            ("module", "module"),
            ("prev_reg_key", "reg_key"),
            ("prev_reg_value", "reg_value"),
            ("process", "process"),
            ("reg_key", "reg_key"),
            ("reg_value", "reg_value"),
            ("script", "script"),
            ("service", "service"),
            ("session", "session"),
            ("src_endpoint", "network_endpoint"),
            ("url", "url"),
            ("user", "user"),
        ];
        let mut required: Vec<&str> =
            vec!["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"];
        let listed = |key: &str| {
            class[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>()
        };
        required.extend(listed("required"));
        for name in listed("required").into_iter().chain(listed("allowed")) {
            let attribute = match objects.iter().find(|(key, _)| *key == name) {
                Some((_, object)) => json!({ "type": "object", "object": object }),
                None if name == "resources" => {
                    json!({ "type": "object", "object": "resource_details", "array": true })
                }
                None if name.starts_with("is_") => json!({ "type": "boolean_t" }),
                None if name.ends_with("_id") => json!({ "type": "integer_t" }),
                None => json!({ "type": "string_t" }),
            };
            attributes.insert(name.to_owned(), attribute);
        }
        let constraints = match listed("at_least_one") {
            any if any.is_empty() => json!({}),
            any => json!({ "at_least_one": any }),
        };
        Some(json!({ "required": required, "constraints": constraints, "attributes": attributes }))
    }
}

fn profiles_of(class: &Value) -> Option<HashSet<&str>> {
    Some(class["profiles"].as_array()?.iter().filter_map(Value::as_str).collect())
}

struct Check<'s> {
    schema: &'s Schema,
    profiles: HashSet<&'s str>,
}

impl Check<'_> {
    fn object(&self, path: &str, value: &Value, definition: &Value, problems: &mut Vec<String>) {
        let Some(fields) = value.as_object() else {
            problems.push(format!("{path} is no object"));
            return;
        };
        let attributes = definition["attributes"].as_object().expect("attributes");
        for required in definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(required) {
                problems.push(format!("{path} lacks {required}"));
            }
        }
        if let Some(any) = definition["constraints"]["at_least_one"].as_array()
            && !any.iter().filter_map(Value::as_str).any(|name| fields.contains_key(name))
        {
            problems.push(format!("{path} has none of {any:?}"));
        }
        if fields.is_empty() {
            problems.push(format!("{path} is empty"));
        }
        for (name, value) in fields {
            let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let Some(attribute) = attributes.get(name) else {
                problems.push(format!("{place} is not in the schema"));
                continue;
            };
            if attribute["deprecated_since"].is_string() {
                problems.push(format!("{place} is deprecated"));
            }
            if let Some(profile) = attribute["profile"].as_str()
                && !self.profiles.contains(profile)
            {
                problems.push(format!("{place} needs the profile {profile}"));
            }
            if attribute["array"] == true {
                match value.as_array() {
                    None => problems.push(format!("{place} is no list")),
                    Some(items) if items.is_empty() => problems.push(format!("{place} is an empty list")),
                    Some(items) => {
                        for (position, item) in items.iter().enumerate() {
                            self.value(&format!("{place}[{position}]"), item, attribute, problems);
                        }
                    }
                }
            } else {
                self.value(&place, value, attribute, problems);
                self.caption(&place, fields, name, value, attribute, problems);
            }
        }
    }

    /// The text beside an enum's number is the caption of that number, unless it is 99, "other".
    fn caption(
        &self,
        place: &str,
        fields: &Map<String, Value>,
        name: &str,
        value: &Value,
        attribute: &Value,
        problems: &mut Vec<String>,
    ) {
        let Some(id) = value.as_i64().filter(|id| *id != 99) else { return };
        let caption = &attribute["enum"][id.to_string()];
        let sibling = attribute["sibling"].as_str().or(name.strip_suffix("_id")).unwrap_or_default();
        let told = fields.get(sibling).unwrap_or(&Value::Null);
        // Observables have types beyond the enum of the extract.
        if caption.is_string() && told.is_string() && told != caption {
            problems.push(format!("{place} is {id}, {caption}, but {sibling} says {told}"));
        }
    }

    fn value(&self, place: &str, value: &Value, attribute: &Value, problems: &mut Vec<String>) {
        let kind = attribute["type"].as_str().expect("a type");
        if let Some(name) = attribute["object"].as_str() {
            if name == "object" {
                if !value.is_object() {
                    problems.push(format!("{place} is no object"));
                }
                return;
            }
            let definition = &self.schema.extract["objects"][name];
            assert!(definition.is_object(), "{place}: no object {name} in the extract");
            return self.object(place, value, definition, problems);
        }
        if let (Some(known), Some(id)) = (attribute["enum"].as_object(), value.as_i64()) {
            let observable = place.starts_with("observables") && place.ends_with("type_id");
            let fits = known.contains_key(&id.to_string()) || observable && (1..=13).contains(&id);
            if !fits {
                problems.push(format!("{place}: {id} is not in the enum"));
            }
        }
        if let Err(problem) = self.scalar(kind, value) {
            problems.push(format!("{place}: {problem}: {value}"));
        }
    }

    fn scalar(&self, kind: &str, value: &Value) -> Result<(), String> {
        let text = || value.as_str().ok_or_else(|| "not a text".to_owned());
        let number = || value.as_i64().ok_or_else(|| "not a whole number".to_owned());
        match kind {
            "json_t" => Ok(()),
            "boolean_t" => value.as_bool().map(|_| ()).ok_or_else(|| "not a boolean".to_owned()),
            "integer_t" => i32::try_from(number()?).map(|_| ()).or_else(|_| {
                // Process numbers and class numbers of extensions are longer than 31 bits in some, so is the schema's
                // own range: none.
                u32::try_from(number()?).map(|_| ()).map_err(|_| "too large".to_owned())
            }),
            "long_t" | "timestamp_t" => number().map(|_| ()),
            "float_t" => value.as_f64().map(|_| ()).ok_or_else(|| "not a number".to_owned()),
            "port_t" => u16::try_from(number()?).map(|_| ()).map_err(|_| "not a port".to_owned()),
            "ip_t" => match text()? {
                ip if ip.len() <= 40 && ip.parse::<IpAddr>().is_ok() => Ok(()),
                _ => Err("not an address".to_owned()),
            },
            "mac_t" => {
                let parts: Vec<&str> = text()?.split([':', '-']).collect();
                let fits = parts.len() == 6
                    && parts.iter().all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok());
                if fits { Ok(()) } else { Err("not a MAC address".to_owned()) }
            }
            "email_t" => match text()?.split_once('@') {
                Some((local, domain))
                    if !local.is_empty()
                        && domain.split_once('.').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
                        && !text()?.contains([' ', '<', '>', '"']) =>
                {
                    Ok(())
                }
                _ => Err("not a mail address".to_owned()),
            },
            _ if self.schema.extract["types"][kind].is_object() => match text()? {
                "" => Err("empty".to_owned()),
                _ => Ok(()),
            },
            other => Err(format!("no type {other}")),
        }
    }
}

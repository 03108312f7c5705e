//! The attributes of each class as columns: what an event of this format can hold, with its types, for files that want
//! to know that beforehand. What is not here, or of another type, is no mistake: whoever writes columns keeps it as
//! JSON.

/// An attribute of a class or object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) is_list: bool,
}

/// What an attribute is, or each of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// OCSF's `integer_t`.
    Integer,
    /// OCSF's `long_t`, and its times, in milliseconds since 1970.
    Long,
    Float,
    Boolean,
    /// Anything, as JSON in a text.
    Json,
    Object(&'static [Attribute]),
}

const fn one(name: &'static str, kind: Kind) -> Attribute {
    Attribute { name, kind, is_list: false }
}

const fn text(name: &'static str) -> Attribute {
    one(name, Kind::Text)
}

const fn integer(name: &'static str) -> Attribute {
    one(name, Kind::Integer)
}

const fn long(name: &'static str) -> Attribute {
    one(name, Kind::Long)
}

const fn boolean(name: &'static str) -> Attribute {
    one(name, Kind::Boolean)
}

const fn object(name: &'static str, attributes: &'static [Attribute]) -> Attribute {
    one(name, Kind::Object(attributes))
}

const fn texts(name: &'static str) -> Attribute {
    Attribute { name, kind: Kind::Text, is_list: true }
}

const fn objects(name: &'static str, attributes: &'static [Attribute]) -> Attribute {
    Attribute { name, kind: Kind::Object(attributes), is_list: true }
}

/// The attributes of a class, in groups; of a class that is not known those that all have.
pub(crate) const fn attributes(class: i64) -> &'static [&'static [Attribute]] {
    match class {
        1001 => const { &[BASE, HOST, &[object("file", FILE), object("file_result", FILE)]] },
        1005 => const { &[BASE, HOST, &[object("module", MODULE)]] },
        1007 => const { &[BASE, HOST, &[object("process", PROCESS)]] },
        1009 => const { &[BASE, HOST, &[object("script", SCRIPT)]] },
        2004 => &[BASE, FINDING, DETECTION],
        2005 => &[BASE, FINDING, INCIDENT],
        3002 => &[BASE, HOST, AUTHENTICATION],
        4001 => &[BASE, HOST, NETWORK],
        4009 => &[BASE, MAIL],
        4012 => const { &[BASE, &[text("email_uid"), object("url", URL)]] },
        5001 => const { &[BASE, &[object("device", DEVICE)]] },
        5003 => const { &[BASE, &[object("user", USER)]] },
        6003 => &[BASE, API],
        201_001 => {
            const { &[BASE, HOST, &[object("reg_key", REGISTRY_KEY), object("prev_reg_key", REGISTRY_KEY)]] }
        }
        201_002 => {
            const {
                &[
                    BASE,
                    HOST,
                    &[object("reg_value", REGISTRY_VALUE), object("prev_reg_value", REGISTRY_VALUE)],
                ]
            }
        }
        0 => &[BASE, HOST],
        _ => &[BASE],
    }
}

const BASE: &[Attribute] = &[
    long("time"),
    integer("category_uid"),
    text("category_name"),
    integer("class_uid"),
    text("class_name"),
    integer("activity_id"),
    text("activity_name"),
    long("type_uid"),
    text("type_name"),
    integer("severity_id"),
    text("severity"),
    object("metadata", METADATA),
    object("cloud", CLOUD),
    objects("observables", &[text("name"), integer("type_id"), text("type"), text("value")]),
    text("raw_data"),
    one("unmapped", Kind::Json),
];

const METADATA: &[Attribute] = &[
    text("version"),
    object("product", &[text("vendor_name"), text("name"), object("feature", &[text("name")])]),
    text("uid"),
    text("original_event_uid"),
    integer("sequence"),
    text("log_name"),
    text("log_provider"),
    text("tenant_uid"),
    text("original_time"),
    long("modified_time"),
    text("event_code"),
    text("correlation_uid"),
    texts("labels"),
    texts("profiles"),
    objects("extensions", &[text("name"), text("uid"), text("version")]),
];

const CLOUD: &[Attribute] = &[
    text("provider"),
    object("account", &[text("uid"), text("name"), integer("type_id"), text("type"), texts("labels")]),
];

/// Of rows: what did it, and where.
const HOST: &[Attribute] = &[object("actor", ACTOR), object("device", DEVICE)];

const ACTOR: &[Attribute] = &[object("process", PROCESS), object("user", USER), object("session", SESSION)];

const MODULE: &[Attribute] = &[object("file", FILE)];
const SESSION: &[Attribute] = &[text("uid"), long("created_time")];

const USER: &[Attribute] = &[
    text("name"),
    text("domain"),
    text("uid"),
    text("uid_alt"),
    text("full_name"),
    text("email_addr"),
    integer("type_id"),
    text("type"),
];

const PROCESS: &[Attribute] = &[
    long("pid"),
    text("uid"),
    text("name"),
    text("cmd_line"),
    long("created_time"),
    object("file", FILE),
    object("user", USER),
    integer("integrity_id"),
    text("integrity"),
    text("working_directory"),
    object("session", SESSION),
    object(
        "parent_process",
        &[long("pid"), text("name"), text("cmd_line"), long("created_time"), object("file", FILE)],
    ),
];

const HASHES: Attribute = objects("hashes", &[integer("algorithm_id"), text("algorithm"), text("value")]);

const FILE: &[Attribute] = &[
    text("name"),
    integer("type_id"),
    text("type"),
    text("path"),
    text("parent_folder"),
    long("size"),
    text("company_name"),
    HASHES,
    object("url", URL),
];

const URL: &[Attribute] = &[text("url_string"), text("scheme"), text("hostname"), integer("port")];

const DEVICE: &[Attribute] = &[
    text("hostname"),
    text("domain"),
    text("name"),
    text("uid"),
    text("uid_alt"),
    integer("type_id"),
    text("type"),
    text("ip"),
    text("mac"),
    objects(
        "network_interfaces",
        &[text("ip"), text("mac"), text("hostname"), text("name"), integer("type_id"), text("type")],
    ),
    object("os", &[text("name"), integer("type_id"), text("type"), text("version"), text("build")]),
    text("instance_uid"),
    integer("risk_level_id"),
    text("risk_level"),
    objects("groups", &[text("name"), text("uid")]),
    long("first_seen_time"),
    boolean("is_managed"),
];

const ENDPOINT: &[Attribute] = &[
    text("ip"),
    text("hostname"),
    text("uid"),
    integer("port"),
    text("mac"),
    text("svc_name"),
    object(
        "location",
        &[text("city"), text("region"), text("country"), one("lat", Kind::Float), one("long", Kind::Float)],
    ),
];

const CONNECTION: &[Attribute] = &[integer("direction_id"), text("direction"), text("protocol_name")];
const HTTP_REQUEST: &[Attribute] = &[text("uid"), text("user_agent")];
const REGISTRY_KEY: &[Attribute] = &[text("path")];
const REGISTRY_VALUE: &[Attribute] = &[text("path"), text("name"), text("data"), text("type")];
const SCRIPT: &[Attribute] = &[integer("type_id"), text("type"), object("script_content", &[text("value")])];

const EMAIL: &[Attribute] = &[
    text("from"),
    texts("to"),
    text("subject"),
    text("message_uid"),
    text("uid"),
    texts("x_originating_ip"),
    text("return_path"),
    objects("urls", &[text("url_string")]),
    objects("files", &[text("name"), integer("type_id"), text("type"), long("size"), HASHES]),
];

const RESOURCE: &[Attribute] = &[
    text("uid"),
    text("name"),
    text("type"),
    text("region"),
    text("namespace"),
    text("version"),
    texts("labels"),
    text("provider"),
    integer("role_id"),
    text("role"),
    object("owner", USER),
    object("group", &[text("uid"), text("name"), text("desc")]),
];

/// Of alerts and incidents.
const FINDING: &[Attribute] = &[
    long("start_time"),
    long("end_time"),
    integer("status_id"),
    text("status"),
    text("status_code"),
    text("status_detail"),
    text("message"),
    text("comment"),
    text("src_url"),
    integer("verdict_id"),
    text("verdict"),
    object("assignee", USER),
    object("vendor_attributes", &[text("severity")]),
    objects(
        "attacks",
        &[
            object("tactic", &[text("uid"), text("name")]),
            object("technique", &[text("uid"), text("name")]),
            object("sub_technique", &[text("uid"), text("name")]),
        ],
    ),
];

const TAGS: Attribute = objects("tags", &[text("name"), text("value")]);

const FINDING_INFO: &[Attribute] = &[
    text("uid"),
    text("uid_alt"),
    text("title"),
    text("desc"),
    texts("types"),
    long("created_time"),
    long("modified_time"),
    long("first_seen_time"),
    long("last_seen_time"),
    text("src_url"),
    object("analytic", &[text("uid"), integer("type_id"), text("type")]),
    object("product", &[text("vendor_name"), text("name"), text("uid"), object("feature", &[text("name")])]),
    texts("data_sources"),
    objects("related_events", &[text("uid"), text("type"), TAGS]),
    integer("related_events_count"),
    TAGS,
];

const DETECTION: &[Attribute] = &[
    object("finding_info", FINDING_INFO),
    boolean("is_alert"),
    objects("evidences", EVIDENCE),
    objects("resources", RESOURCE),
    objects(
        "malware",
        &[
            text("name"),
            Attribute { name: "classification_ids", kind: Kind::Integer, is_list: true },
            texts("classifications"),
        ],
    ),
    object("device", DEVICE),
    object("remediation", &[text("desc")]),
    object("policy", &[text("uid")]),
    integer("action_id"),
    text("action"),
    integer("disposition_id"),
    text("disposition"),
];

const EVIDENCE: &[Attribute] = &[
    text("name"),
    integer("verdict_id"),
    text("verdict"),
    one("data", Kind::Json),
    object("actor", &[object("user", USER), object("session", SESSION)]),
    object("device", DEVICE),
    object("user", USER),
    object("file", FILE),
    object("process", PROCESS),
    object("src_endpoint", ENDPOINT),
    object("dst_endpoint", ENDPOINT),
    object("connection_info", CONNECTION),
    object("query", &[text("hostname")]),
    object("url", URL),
    object("http_request", HTTP_REQUEST),
    object("email", EMAIL),
    object("reg_key", REGISTRY_KEY),
    object("reg_value", REGISTRY_VALUE),
    object("container", &[text("uid"), text("name"), object("image", &[text("uid"), text("name")])]),
    object("databucket", &[text("name"), text("uid"), integer("type_id"), text("type")]),
    objects("resources", RESOURCE),
];

const INCIDENT: &[Attribute] = &[
    text("desc"),
    objects("finding_info_list", FINDING_INFO),
    integer("priority_id"),
    text("priority"),
    integer("risk_score"),
];

const AUTHENTICATION: &[Attribute] = &[
    object("user", USER),
    integer("status_id"),
    text("status"),
    text("status_code"),
    text("status_detail"),
    integer("logon_type_id"),
    text("logon_type"),
    integer("auth_protocol_id"),
    text("auth_protocol"),
    boolean("is_remote"),
    object("service", &[text("name"), text("uid")]),
    object("src_endpoint", ENDPOINT),
    object("dst_endpoint", ENDPOINT),
    object("session", SESSION),
    object("http_request", HTTP_REQUEST),
];

const NETWORK: &[Attribute] = &[
    object("src_endpoint", ENDPOINT),
    object("dst_endpoint", ENDPOINT),
    object("connection_info", CONNECTION),
    object("url", URL),
];

const MAIL: &[Attribute] = &[integer("direction_id"), text("direction"), object("email", EMAIL)];

const API: &[Attribute] = &[
    object("api", &[text("operation"), object("service", &[text("name"), text("uid")])]),
    object("actor", &[object("user", USER)]),
    object("src_endpoint", ENDPOINT),
    object("http_request", HTTP_REQUEST),
    objects("resources", RESOURCE),
];

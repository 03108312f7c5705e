//! The differences that are meant.

use std::collections::BTreeSet;

use muster_model::TenantId;
use serde_json::Value;

use super::compare::{Fields, IN_ORDER, TENANT, canonical};

/// A difference that is meant.
pub(super) struct Difference {
    /// The beginning of the set's name.
    pub(super) set: &'static str,
    /// The field, or its beginning with a `*` at the end.
    pub(super) field: &'static str,
    /// How often it occurs. Where it occurs more often, something else has changed.
    pub(super) count: usize,
    /// What must hold of the values, so that a value that is lost or wrong is no deliberate difference.
    pub(super) when: fn(&Case<'_>) -> bool,
    pub(super) reason: &'static str,
}

/// A field whose values differ.
pub(super) struct Case<'a> {
    pub(super) field: &'a str,
    pub(super) expected: &'a BTreeSet<String>,
    pub(super) written: Option<&'a BTreeSet<String>>,
    /// All that is written for the record.
    pub(super) ours: &'a Fields,
    /// The columns of a hunting row, or the record.
    pub(super) record: &'a Value,
    pub(super) table: &'a str,
}

impl Case<'_> {
    pub(super) fn expected(&self) -> impl Iterator<Item = &str> {
        self.expected.iter().map(String::as_str)
    }

    pub(super) fn written(&self) -> impl Iterator<Item = &str> {
        self.written.into_iter().flatten().map(String::as_str)
    }

    /// What is expected and not written.
    pub(super) fn missing(&self) -> impl Iterator<Item = &str> {
        self.expected().filter(|value| !self.written.is_some_and(|written| written.contains(*value)))
    }

    pub(super) fn nothing(&self) -> bool {
        self.written.is_none()
    }

    /// Whether exactly this is expected; in the order of the alphabet.
    pub(super) fn is(&self, values: &[&str]) -> bool {
        self.expected().eq(values.iter().copied())
    }

    /// Whether exactly this is written; in the order of the alphabet.
    pub(super) fn writes(&self, values: &[&str]) -> bool {
        self.written().eq(values.iter().copied())
    }

    /// Whether one of these fields of ours has the value.
    pub(super) fn has(&self, fields: &[&str], value: &str) -> bool {
        fields.iter().any(|field| self.ours.get(*field).is_some_and(|ours| ours.contains(value)))
    }

    /// Whether all that is expected is in these fields of ours.
    pub(super) fn elsewhere(&self, fields: &[&str]) -> bool {
        self.expected().all(|value| self.has(fields, value))
    }

    /// Whether what is written is what is expected in another spelling.
    pub(super) fn spelled(&self, spelling: impl Fn(&str) -> String) -> bool {
        let spelled: BTreeSet<String> = self.expected().map(spelling).collect();
        self.written.is_some_and(|written| *written == spelled)
    }

    /// Whether each expected folder goes on with a file in what is written, and nothing else is written.
    pub(super) fn goes_on(&self) -> bool {
        let below = |path: &str, folder: &str| {
            path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(['\\', '/']) && rest.len() > 1)
        };
        self.written.is_some()
            && self.expected().all(|folder| self.written().any(|path| below(path, folder)))
            && self.written().all(|path| self.expected().any(|folder| below(path, folder)))
    }

    /// Whether each expected folder is one that this path of ours lies in.
    pub(super) fn folder_of(&self, field: &str) -> bool {
        self.expected().all(|folder| {
            let below =
                |path: &String| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(['\\', '/']));
            self.ours.get(field).is_some_and(|paths| paths.iter().any(below))
        })
    }

    pub(super) fn numbers_within(&self, distance: f64) -> bool {
        let number = |text: &str| text.parse::<f64>().ok();
        match (self.expected().next().and_then(number), self.written().next().and_then(number)) {
            (Some(expected), Some(written)) => (expected - written).abs() < distance,
            _ => false,
        }
    }

    /// Whether the words that are expected are in the list that is written, whatever their order and quotes.
    pub(super) fn same_words(&self) -> bool {
        let bare = |text: &str| text.replace('"', "").trim().to_owned();
        let ours = bare(&self.written().collect::<Vec<_>>().join(" ").replace(IN_ORDER, " "));
        self.written.is_some()
            && self.expected().flat_map(|list| list.split(IN_ORDER)).all(|word| ours.contains(&bare(word)))
    }

    /// Whether the column has exactly what is expected.
    pub(super) fn column(&self, name: &str) -> bool {
        let value = &self.record[name];
        !value.is_null() && self.is(&[&canonical(value, false)])
    }

    pub(super) fn table(&self, end: &str) -> bool {
        self.table.ends_with(end)
    }

    /// Whether the list of ours begins with the word.
    pub(super) fn begins(&self, field: &str, word: &str) -> bool {
        self.ours
            .get(field)
            .is_some_and(|lists| lists.iter().any(|list| list.split(IN_ORDER).next() == Some(word)))
    }

    pub(super) fn category(&self, name: &str) -> bool {
        self.has(&["event.category"], name)
    }

    pub(super) fn inbound(&self) -> bool {
        self.record["ActionType"].as_str().is_some_and(|action| action.starts_with("Inbound"))
    }

    /// Whether what is expected of one end of a connection is written of the other.
    pub(super) fn turned(&self) -> bool {
        let other = match self.field.split_once('.') {
            Some(("source", rest)) => format!("destination.{rest}"),
            Some(("destination", rest)) => format!("source.{rest}"),
            _ => return false,
        };
        self.elsewhere(&[&other])
    }

    /// A MAC address of the packet, in the notation of ECS.
    pub(super) fn packet(&self, key: &str) -> Option<String> {
        let more: Value = serde_json::from_str(self.record["AdditionalFields"].as_str()?).ok()?;
        Some(more[key].as_str()?.to_uppercase().replace(':', "-"))
    }
}

/// The address of `Name <address>`.
fn bare(text: &str) -> String {
    text.rsplit('<').next().unwrap_or_default().trim_end_matches('>').to_owned()
}

pub(super) const DELIBERATE: &[Difference] = &[
    Difference {
        set: "elastic",
        field: "file.path",
        count: 8,
        when: |case| case.elsewhere(&["file.directory"]) && case.goes_on(),
        reason: "ECS wants the whole path with the file's name; Elastic writes the folder, which is our file.directory",
    },
    Difference {
        set: "elastic",
        field: "threat.technique.name",
        count: 11,
        when: |case| {
            case.nothing() && case.elsewhere(&["event.action", "rule.category", "threat.tactic.name"])
        },
        reason: "Elastic writes the alert's category, which is a tactic or a class such as Malware, never a technique; ours is event.action",
    },
    Difference {
        set: "elastic incident",
        field: "email.from.address",
        count: 1,
        when: |case| case.spelled(bare),
        reason: "Elastic writes the name before the address; ECS wants the address",
    },
    Difference {
        set: "elastic incident",
        field: "related.user",
        count: 1,
        when: |case| {
            case.written().count() > 0
                && case.missing().all(|user| user.contains('<') && case.has(&["related.user"], &bare(user)))
        },
        reason: "Elastic writes the name before a mail address; ours is the address",
    },
    Difference {
        set: "elastic incident",
        field: "threat.group.name",
        count: 4,
        when: |case| case.nothing() && case.elsewhere(&["threat.software.name"]),
        reason: "Elastic writes the family of the malware; ECS wants the group of attackers. The family is our threat.software.name",
    },
    Difference {
        set: "elastic incident",
        field: "threat.tactic.name",
        count: 2,
        when: |case| case.nothing() && case.is(&["Malware"]),
        reason: "the category is Malware, which is no tactic of MITRE ATT&CK",
    },
    Difference {
        set: "elastic incident",
        field: "source.user.name",
        count: 3,
        when: |case| case.nothing() && case.elsewhere(&["related.user"]),
        reason: "Elastic writes the analyst to whom the incident is assigned, who is not the source of anything; ours is in related.user",
    },
    Difference {
        set: "elastic incident",
        field: "registry.hive",
        count: 3,
        when: |case| case.is(&["HKEY_LOCAL_MACHINE"]) && case.writes(&["HKLM"]),
        reason: "ECS wants the abbreviated name (HKLM)",
    },
    Difference {
        set: "elastic incident",
        field: "user.id",
        count: 1,
        when: |case| case.elsewhere(&["user.email"]) && case.written().all(|id| !id.contains('@')),
        reason: "Elastic writes the principal name, which is our user.email; ours are the SID and the directory's id",
    },
    Difference {
        set: "elastic alert",
        field: "event.duration",
        count: 2,
        when: |case| case.numbers_within(1_000_000.0),
        reason: "Elastic subtracts times that it has cut to milliseconds; ours is exact",
    },
    Difference {
        set: "elastic alert",
        field: "related.hosts",
        count: 2,
        when: |case| case.missing().all(|name| case.has(&["host.os.name", "host.os.version"], name)),
        reason: "Elastic lists the name and version of the operating system as hosts; all real hosts are there",
    },
    Difference {
        set: "elastic endpoint",
        field: "cloud.account.id",
        count: 3,
        when: |case| case.expected().all(|id| id.parse::<TenantId>().is_err()) && case.writes(&[TENANT]),
        reason: "the record's tenant id is no GUID, so it is of no tenant that can be read; ours is the tenant that was read",
    },
    Difference {
        set: "elastic endpoint",
        field: "event.type",
        count: 1,
        when: |case| case.written().count() > 0 && case.missing().eq(["access"]) && case.category("iam"),
        reason: "Elastic adds `access` where the evidence is a user, whatever happened",
    },
    Difference {
        set: "elastic event",
        field: "email.message_id",
        count: 5,
        when: |case| case.elsewhere(&["email.local_id"]),
        reason: "Elastic writes Microsoft's network message id; ECS wants the Message-ID of the mail's header, and the other is our email.local_id",
    },
    Difference {
        set: "elastic event",
        field: "email.local_id",
        count: 2,
        when: |case| case.elsewhere(&["email.message_id"]),
        reason: "Elastic writes the header's Message-ID, which is our email.message_id",
    },
    Difference {
        set: "elastic event",
        field: "email.direction",
        count: 1,
        when: |case| case.spelled(str::to_lowercase),
        reason: "ours is in lower case, as the directions of all other records",
    },
    Difference {
        set: "elastic event",
        field: "network.direction",
        count: 4,
        when: |case| {
            case.is(&["unknown"]) && case.writes(&[if case.inbound() { "inbound" } else { "outbound" }])
        },
        reason: "Elastic writes `unknown`; a connection that the device asked for is outbound, one that it accepted inbound",
    },
    Difference {
        set: "elastic event",
        field: "process.parent.group_leader.*",
        count: 2,
        when: |case| {
            case.nothing()
                && case.elsewhere(&[
                    "labels.grandparent_name",
                    "labels.grandparent_pid",
                    "labels.grandparent_start",
                ])
        },
        reason: "Elastic writes the parent's parent as leader of its group, which Microsoft does not say; ours is labels.grandparent_name, _pid and _start",
    },
    Difference {
        set: "elastic event",
        field: "process.group_leader.*",
        count: 10,
        when: |case| {
            case.nothing()
                && case.elsewhere(&[
                    "process.parent.name",
                    "process.parent.executable",
                    "process.parent.pid",
                    "process.parent.start",
                ])
        },
        reason: "Elastic writes the parent as leader of the group, which Microsoft does not say; ours is process.parent",
    },
    Difference {
        set: "elastic event",
        field: "host.ip",
        count: 1,
        when: |case| case.nothing() && case.elsewhere(&["source.ip"]) && case.category("web"),
        reason: "of an app in the cloud the address is the client's; ours is source.ip",
    },
    Difference {
        set: "elastic event",
        field: "destination.*",
        count: 6,
        when: |case| case.inbound() && case.turned(),
        reason: "of an inbound connection the device is the destination: ECS says the source begins it",
    },
    Difference {
        set: "elastic event",
        field: "source.*",
        count: 4,
        when: |case| case.inbound() && case.turned(),
        reason: "of an inbound connection the far side is the source: ECS says the source begins it",
    },
    Difference {
        set: "elastic event",
        field: "dns.answers",
        count: 2,
        when: |case| case.nothing() && case.elsewhere(&["dns.answers.data"]),
        reason: "ECS wants objects; ours is dns.answers.data",
    },
    Difference {
        set: "elastic event",
        field: "process.executable",
        count: 1,
        when: |case| {
            case.nothing()
                && case.expected().all(|name| !name.contains('\\') && case.begins("process.args", name))
        },
        reason: "a bare word of the command line is no path of a program; ours is the first of process.args",
    },
    Difference {
        set: "elastic event",
        field: "process.executable",
        count: 1,
        when: |case| case.goes_on(),
        reason: "Elastic writes the folder; ours is the whole path",
    },
    Difference {
        set: "elastic event",
        field: "process.pid",
        count: 2,
        when: |case| case.elsewhere(&["Target.process.pid"]) && case.written().count() == 1,
        reason: "Elastic mixes the id of the process that is acted on into the process that acts; ours is Target.process.pid",
    },
    Difference {
        set: "elastic event",
        field: "process.start",
        count: 3,
        when: |case| case.elsewhere(&["Target.process.start"]) && case.written().count() == 1,
        reason: "Elastic mixes the start of the process that is acted on into the process that acts; ours is Target.process.start",
    },
    Difference {
        set: "elastic event",
        field: "process.command_line",
        count: 1,
        when: |case| case.elsewhere(&["Target.process.command_line"]) && case.written().count() == 1,
        reason: "Elastic mixes the command line of the process that is acted on into the process that acts; ours is Target.process.command_line",
    },
    Difference {
        set: "elastic event",
        field: "process.args",
        count: 1,
        when: |case| case.elsewhere(&["Target.process.command_line"]) && case.written().count() == 1,
        reason: "Elastic mixes the command line of the process that is acted on into the process that acts; ours is Target.process.command_line",
    },
    Difference {
        set: "elastic event",
        field: "process.args_count",
        count: 1,
        when: |case| {
            case.table("DeviceEvents") && case.is(&["1"]) && case.record["ProcessCommandLine"] == "lsass.exe"
        },
        reason: "Elastic counts the words of the process that is acted on",
    },
    Difference {
        set: "elastic event",
        field: "process.Ext.token.integrity_level_name",
        count: 1,
        when: |case| {
            case.elsewhere(&["process.parent.Ext.token.integrity_level_name"])
                && case.written().eq(case.record["ProcessIntegrityLevel"].as_str())
        },
        reason: "of a process that was created Elastic writes its parent's, which is our process.parent.Ext; ours is its own",
    },
    Difference {
        set: "elastic event",
        field: "process.parent.name",
        count: 1,
        when: |case| case.spelled(|path| path.rsplit('\\').next().unwrap_or_default().to_owned()),
        reason: "ours is the program's name without the path before it",
    },
    Difference {
        set: "elastic event",
        field: "host.os.full",
        count: 1,
        when: |case| case.nothing() && case.elsewhere(&["host.os.name"]),
        reason: "Elastic writes the platform, which is our host.os.name",
    },
    Difference {
        set: "elastic event",
        field: "registry.data.strings",
        count: 1,
        when: |case| {
            case.written().all(|data| case.record["RegistryValueData"] == *data)
                && case.missing().count() == 1
                && case.missing().all(|data| case.has(&["labels.previous_registry_data"], data))
        },
        reason: "Elastic adds the data before the change; ours is the data now, and the former is labels.previous_registry_data",
    },
    Difference {
        set: "elastic event",
        field: "threat.technique.subtechnique.*",
        count: 2,
        when: |case| {
            case.written().count() > 0
                && case
                    .missing()
                    .all(|technique| case.has(&["threat.technique.id", "threat.technique.name"], technique))
        },
        reason: "Elastic lists techniques as sub-techniques; ours are in threat.technique",
    },
    Difference {
        set: "elastic event",
        field: "url.extension",
        count: 1,
        when: |case| {
            case.nothing()
                && case.expected().all(|end| {
                    case.record["RemoteUrl"]
                        .as_str()
                        .is_some_and(|url| !url.contains('/') && url.ends_with(end))
                })
        },
        reason: "Elastic takes a bare host name for a path",
    },
    Difference {
        set: "elastic event",
        field: "url.path",
        count: 1,
        when: |case| case.nothing() && case.elsewhere(&["url.domain"]),
        reason: "Elastic takes a bare host name for a path; ours is url.domain",
    },
    Difference {
        set: "elastic event",
        field: "event.type",
        count: 1,
        when: |case| {
            case.is(&["denied"])
                && case.writes(&["connection", "info"])
                && case.record["ActionType"] == "ConnectionFailed"
        },
        reason: "Elastic writes `denied` for a connection that failed; nobody denied it",
    },
    Difference {
        set: "sekoia",
        field: "agent.id",
        count: 28,
        when: |case| case.nothing() && case.elsewhere(&["host.id"]),
        reason: "the agent of an ECS document is what ships it; the device is our host.id",
    },
    Difference {
        set: "sekoia",
        field: "agent.version",
        count: 1,
        when: |case| case.nothing() && case.elsewhere(&["observer.version"]),
        reason: "the agent of an ECS document is what ships it; the sensor's version is our observer.version",
    },
    Difference {
        set: "sekoia",
        field: "process.working_directory",
        count: 19,
        when: |case| case.nothing() && case.folder_of("process.executable"),
        reason: "Sekoia writes the folder of the program, which is not where it works",
    },
    Difference {
        set: "sekoia",
        field: "process.parent.working_directory",
        count: 2,
        when: |case| case.nothing() && case.folder_of("process.parent.executable"),
        reason: "Sekoia writes the folder of the program, which is not where it works",
    },
    Difference {
        set: "sekoia",
        field: "process.args",
        count: 20,
        when: |case| case.same_words(),
        reason: "Sekoia leaves the program out, sorts the words and cuts quoted ones; ours are in order, as ECS and Elastic have them",
    },
    Difference {
        set: "sekoia",
        field: "process.parent.args",
        count: 1,
        when: |case| case.same_words(),
        reason: "Sekoia leaves the program out, sorts the words and cuts quoted ones; ours are in order, as ECS and Elastic have them",
    },
    Difference {
        set: "sekoia",
        field: "process.parent.code_signature.status",
        count: 1,
        when: |case| case.is(&["Valid"]) && case.writes(&["trusted"]),
        reason: "ours is Elastic's word",
    },
    Difference {
        set: "sekoia",
        field: "process.parent.code_signature.*",
        count: 4,
        when: |case| case.is(&["Unknown"]) && case.nothing(),
        reason: "`Unknown` says nothing",
    },
    Difference {
        set: "sekoia",
        field: "process.executable",
        count: 1,
        when: |case| case.goes_on(),
        reason: "Sekoia writes the folder; ours is the whole path",
    },
    Difference {
        set: "sekoia",
        field: "event.type",
        count: 9,
        when: |case| {
            case.is(&["info"])
                && case.written().count() > 0
                && case
                    .written()
                    .all(|kind| ["connection", "creation", "deletion", "indicator", "start"].contains(&kind))
        },
        reason: "Sekoia writes `info` for everything; ours tells creation, deletion, start, connection, and that an alert is an indicator",
    },
    Difference {
        set: "sekoia",
        field: "event.type",
        count: 1,
        when: |case| {
            case.missing().eq(["denied"])
                && case.writes(&["info"])
                && case.table("EmailEvents")
                && case.record["DeliveryAction"].is_null()
        },
        reason: "Sekoia writes `denied` for every mail that is not called delivered; the row does not say what became of it",
    },
    Difference {
        set: "sekoia",
        field: "event.kind",
        count: 9,
        when: |case| case.is(&["enrichment"]) && case.writes(&["alert"]) && case.table("AlertEvidence"),
        reason: "Sekoia calls evidence of an alert an enrichment; Elastic's integration and we an alert",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        count: 3,
        when: |case| case.table("CloudAppEvents") && case.writes(&["web"]),
        reason: "Sekoia writes the network or an intrusion for each use of an app in the cloud; Elastic's integration and we the web",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        count: 1,
        when: |case| {
            case.is(&["network"]) && case.table("CloudAuditEvents") && case.writes(&["configuration"])
        },
        reason: "Sekoia writes the network for the audit of a cloud's control plane, which is configuration",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        count: 2,
        when: |case| case.is(&["host"]) && case.table("DeviceEvents") && case.writes(&["api"]),
        reason: "ours is Elastic's for calls of an API",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        count: 2,
        when: |case| {
            case.is(&["process"])
                && (case.table("DeviceImageLoadEvents") && case.writes(&["library"])
                    || case.table("DeviceRegistryEvents") && case.writes(&["registry"]))
        },
        reason: "ours is Elastic's for this table: library, registry",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        count: 1,
        when: |case| case.is(&["host"]) && case.table("DeviceNetworkInfo") && case.writes(&["network"]),
        reason: "ours is Elastic's for this table",
    },
    Difference {
        set: "sekoia",
        field: "event.category",
        count: 1,
        when: |case| case.is(&["connection", "email"]) && case.writes(&["email"]),
        reason: "ECS has no category `connection`",
    },
    Difference {
        set: "sekoia",
        field: "event.action",
        count: 2,
        when: |case| {
            case.elsewhere(&["labels.action"])
                && case.record["ActionType"]
                    .as_str()
                    .is_some_and(|action| case.writes(&[&action.to_lowercase().replace(' ', "-")]))
        },
        reason: "Sekoia writes what was done to the mail; ours is the row's action, as Elastic has it, and the other is labels.action",
    },
    Difference {
        set: "sekoia",
        field: "user.id",
        count: 3,
        when: |case| {
            case.column("AccountObjectId")
                && case.elsewhere(&["related.user"])
                && case.written().eq(case.record["AccountSid"].as_str())
        },
        reason: "Sekoia writes the directory's id; ours is the SID, as Elastic has it, and the other is in related.user",
    },
    Difference {
        set: "sekoia",
        field: "event.outcome",
        count: 2,
        when: |case| case.elsewhere(&["event.reason"]) && case.writes(&["failure"]),
        reason: "Sekoia writes the reason of the failure; ECS allows success, failure and unknown, and the reason is our event.reason",
    },
    Difference {
        set: "sekoia",
        field: "event.outcome",
        count: 1,
        when: |case| {
            case.nothing()
                && case.is(&["failure"])
                && case.table("IdentityLogonEvents")
                && case.record["ActionType"] != "LogonFailed"
        },
        reason: "Sekoia calls every row of this table that is no success a failure; the row does not say so",
    },
    Difference {
        set: "sekoia",
        field: "network.protocol",
        count: 4,
        when: |case| {
            case.nothing()
                && case.expected().all(|name| {
                    case.ours.get("network.transport").is_some_and(|ours| {
                        ours.iter().all(|ours| name.to_lowercase().starts_with(ours.as_str()))
                    })
                })
        },
        reason: "Sekoia writes the transport with its address family; ours is network.transport",
    },
    Difference {
        set: "sekoia",
        field: "network.protocol",
        count: 4,
        when: |case| case.spelled(str::to_lowercase),
        reason: "ECS wants lower case",
    },
    Difference {
        set: "sekoia",
        field: "network.protocol",
        count: 1,
        when: |case| case.nothing() && case.is(&["Local"]) && case.column("RequestProtocol"),
        reason: "`Local` is no protocol of a network; Elastic leaves it out too",
    },
    Difference {
        set: "sekoia",
        field: "file.directory",
        count: 6,
        when: |case| {
            case.elsewhere(&["file.path", "process.executable"])
                && case.written().all(|ours| case.expected().all(|path| path.starts_with(ours)))
        },
        reason: "Sekoia writes the whole path; ours is the folder",
    },
    Difference {
        set: "sekoia",
        field: "file.name",
        count: 4,
        when: |case| {
            case.nothing()
                && case.table("ProcessEvents")
                && case.elsewhere(&["process.name", "process.executable"])
        },
        reason: "of a row about a process the file is the process's own; ours is process.name and process.executable",
    },
    Difference {
        set: "sekoia",
        field: "file.hash.md5",
        count: 3,
        when: |case| {
            case.nothing() && case.table("DeviceProcessEvents") && case.elsewhere(&["process.hash.md5"])
        },
        reason: "of a row about a process the file is the process's own; ours is process.hash",
    },
    Difference {
        set: "sekoia",
        field: "file.hash.sha1",
        count: 3,
        when: |case| {
            case.nothing() && case.table("DeviceProcessEvents") && case.elsewhere(&["process.hash.sha1"])
        },
        reason: "of a row about a process the file is the process's own; ours is process.hash",
    },
    Difference {
        set: "sekoia",
        field: "file.hash.sha256",
        count: 3,
        when: |case| {
            case.nothing() && case.table("DeviceProcessEvents") && case.elsewhere(&["process.hash.sha256"])
        },
        reason: "of a row about a process the file is the process's own; ours is process.hash",
    },
    Difference {
        set: "sekoia",
        field: "file.size",
        count: 3,
        when: |case| case.nothing() && case.elsewhere(&["labels.process_size"]),
        reason: "of a row about a process the file is the process's own; ECS has no size of a process's image, and ours is labels.process_size",
    },
    Difference {
        set: "sekoia",
        field: "url.port",
        count: 5,
        when: |case| {
            case.nothing()
                && case.is(&["443"])
                && case.has(&["url.scheme"], "https")
                && !case
                    .ours
                    .get("url.original")
                    .is_some_and(|urls| urls.iter().any(|url| url.contains(":443")))
        },
        reason: "the URL names no port",
    },
    Difference {
        set: "sekoia",
        field: "host.mac",
        count: 1,
        when: |case| case.spelled(|mac| mac.to_uppercase().replace(':', "-")),
        reason: "ECS wants the notation of RFC 7042 (00-00-5E-00-53-23)",
    },
    Difference {
        set: "sekoia",
        field: "source.mac",
        count: 1,
        when: |case| !case.inbound() && case.spelled(|mac| mac.to_uppercase().replace(':', "-")),
        reason: "ECS wants the notation of RFC 7042 (00-00-5E-00-53-23)",
    },
    Difference {
        set: "sekoia",
        field: "source.mac",
        count: 2,
        when: |case| case.inbound() && case.written().eq(case.packet("Source Mac").as_deref()),
        reason: "Sekoia gives each end the other's: Microsoft names them by the packet, and of an inbound one the far side is the source",
    },
    Difference {
        set: "sekoia",
        field: "destination.mac",
        count: 1,
        when: |case| !case.inbound() && case.spelled(|mac| mac.to_uppercase().replace(':', "-")),
        reason: "ECS wants the notation of RFC 7042 (00-00-5E-00-53-23)",
    },
    Difference {
        set: "sekoia",
        field: "destination.mac",
        count: 2,
        when: |case| case.inbound() && case.written().eq(case.packet("Destination Mac").as_deref()),
        reason: "Sekoia gives each end the other's: Microsoft names them by the packet, and of an inbound one the far side is the source",
    },
    Difference {
        set: "sekoia",
        field: "destination.*",
        count: 5,
        when: |case| case.table("LogonEvents") && case.turned(),
        reason: "of a logon the far side is the source, as Elastic has it",
    },
    Difference {
        set: "sekoia",
        field: "source.*",
        count: 2,
        when: |case| case.table("LogonEvents") && case.turned(),
        reason: "of a logon the far side is the source, as Elastic has it",
    },
    Difference {
        set: "sekoia",
        field: "source.*",
        count: 2,
        when: |case| case.nothing() && case.table("DeviceInfo") && case.elsewhere(&["host.ip"]),
        reason: "the public address of a device is its own; ours is host.ip",
    },
    Difference {
        set: "sekoia",
        field: "host.os.type",
        count: 2,
        when: |case| case.nothing() && case.is(&["linux"]) && case.record["OSPlatform"].is_null(),
        reason: "Sekoia takes a path with slashes for Linux; macOS has them too",
    },
    Difference {
        set: "sekoia",
        field: "host.os.full",
        count: 1,
        when: |case| case.nothing() && case.is(&["Unknown"]),
        reason: "Sekoia writes `Unknown`, which says nothing",
    },
    Difference {
        set: "tenzir",
        field: "end_time",
        count: 2,
        when: |case| {
            case.nothing()
                && case.elsewhere(&["metadata.modified_time"])
                && case.record["lastActivityDateTime"].is_null()
        },
        reason: "Tenzir writes when the record was last changed, which is our metadata.modified_time; end_time is the last activity, which these records lack",
    },
    Difference {
        set: "tenzir",
        field: "finding_info.product.name",
        count: 1,
        when: |case| {
            case.is(&["microsoftDefenderForEndpoint"]) && case.writes(&["Microsoft Defender for Endpoint"])
        },
        reason: "Tenzir writes the enum value; ours is the product's name",
    },
];

//! One piece of evidence, of any type and API.

use muster_model::json::{Text, Value};

use super::tables::EvidenceKind;

/// One piece of evidence of any type: a thin handle on Microsoft's object, read when it is asked.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Evidence<'a> {
    pub(crate) kind: EvidenceKind,
    pub(crate) dialect: Dialect,
    /// Microsoft's object. For the device of a Defender for Endpoint alert, and for all evidence of the retired SIEM
    /// API, that is the alert itself.
    pub(crate) fields: Value<'a>,
}

/// Whose names the fields of a piece of evidence have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Dialect {
    /// Graph: `@odata.type`, objects in objects.
    #[default]
    Graph,
    /// Defender for Endpoint and XDR: `entityType`, flat.
    Entity,
    /// A device of a Defender XDR alert.
    XdrDevice,
    /// The alert of Defender for Endpoint itself (its device), or its `relatedUser`.
    EndpointAlert,
    /// The detection of the retired SIEM API itself.
    Siem,
}

impl<'a> Evidence<'a> {
    /// Evidence of a Graph alert.
    pub(crate) fn graph(fields: Value<'a>) -> Self {
        let name = fields.text_of("@odata.type").after_last('.');
        Self { kind: EvidenceKind::of_graph(name.as_written()), dialect: Dialect::Graph, fields }
    }

    /// Evidence of Defender for Endpoint, or an entity of Defender XDR.
    pub(crate) fn entity(fields: Value<'a>) -> Self {
        let name = fields.text_of("entityType");
        Self { kind: EvidenceKind::of_entity(name.as_written()), dialect: Dialect::Entity, fields }
    }

    /// A device of a Defender XDR alert.
    pub(crate) fn xdr_device(fields: Value<'a>) -> Self {
        Self { kind: EvidenceKind::Device, dialect: Dialect::XdrDevice, fields }
    }

    /// The type as Graph names it; for a type that is not known as Microsoft wrote it.
    pub(crate) fn type_name(&self) -> Text<'a> {
        match self.kind {
            EvidenceKind::Unknown => {
                self.fields.text_of("@odata.type").after_last('.').or(self.fields.text_of("entityType"))
            }
            known => Text::as_in_json(known.graph_name()),
        }
    }

    /// `verdict`; blank where the API has none.
    pub(crate) fn verdict(&self) -> Text<'a> {
        self.own("verdict")
    }

    /// `remediationStatus`; blank where the API has none.
    pub(crate) fn remediation_status(&self) -> Text<'a> {
        self.own("remediationStatus")
    }

    /// `detectionStatus` of a file or process.
    pub(crate) fn detection_status(&self) -> Text<'a> {
        self.own("detectionStatus")
    }

    /// `roles` and `detailedRoles`.
    pub(crate) fn roles(&self) -> Vec<Text<'a>> {
        let mut roles = self.fields.texts_of("roles");
        roles.extend(self.fields.texts_of("detailedRoles"));
        roles
    }

    /// `tags`; of the device of a detection of the retired SIEM API those of device and cloud.
    pub(crate) fn tags(&self) -> Vec<Text<'a>> {
        match self.dialect {
            Dialect::Siem if self.kind == EvidenceKind::Device => {
                ["DeviceCreatedMachineTags", "CloudCreatedMachineTags"]
                    .iter()
                    .flat_map(|key| self.fields.text_of(key).split(&[',', ';']))
                    .collect()
            }
            Dialect::Siem | Dialect::EndpointAlert => Vec::new(),
            Dialect::Graph | Dialect::Entity | Dialect::XdrDevice => self.fields.texts_of("tags"),
        }
    }

    /// A field of evidence that is an object of its own.
    fn own(&self, key: &str) -> Text<'a> {
        match self.dialect {
            Dialect::Graph | Dialect::Entity => self.fields.text_of(key),
            Dialect::XdrDevice | Dialect::EndpointAlert | Dialect::Siem => Text::default(),
        }
    }
}

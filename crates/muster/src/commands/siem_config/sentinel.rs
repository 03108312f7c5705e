//! Microsoft Sentinel: table, data collection rule and role as an ARM template, with exactly the columns that the sink writes,
//! and the KQL function that takes the newest row of each version.
//!
//! Source: Microsoft "Tutorial: Send data to Azure Monitor Logs with Logs ingestion API (Resource Manager templates)",
//! "Structure of a data collection rule".

use muster_siem::sinks::{SENTINEL_COLUMNS, SentinelSettings, SinkSettings};
use serde_json::{Value, json};

use super::known::{File, Known};
use crate::exit_code::{Exit, Failed};

/// Azure's id of the role `Monitoring Metrics Publisher`.
const ROLE: &str = "3913510d-42f4-4e42-8a64-420c390055eb";

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sinks = known.sinks("sentinel", |sink| match sink {
        SinkSettings::Sentinel(settings) => Some(settings),
        _ => None,
    })?;
    if sinks.is_empty() {
        let said = "the settings have no sink of type sentinel; add one (its endpoint and rule may be anything at first), and this \
                    tells what its workspace needs";
        return Err(Failed::say(Exit::NotFound, said));
    }
    let files = sinks.into_iter().flat_map(|(name, settings)| {
        let table = table(settings);
        [
            File::new(format!("sentinel-{name}.json"), format!("{:#}\n", template(name, settings, &table))),
            File::new(format!("sentinel-{name}.kql"), function(&table)),
        ]
    });
    Ok(files.collect())
}

/// The table that a stream's rows go into: a custom one ends with `_CL`.
fn table(settings: &SentinelSettings) -> String {
    let name = settings.stream.trim_start_matches("Custom-").replace('-', "_");
    if name.ends_with("_CL") { name } else { format!("{name}_CL") }
}

fn template(name: &str, settings: &SentinelSettings, table: &str) -> Value {
    let columns: Vec<Value> = SENTINEL_COLUMNS
        .iter()
        .map(|column| json!({ "name": column.name, "type": column.holds.as_str() }))
        .collect();
    let described: Vec<Value> = SENTINEL_COLUMNS
        .iter()
        .map(|column| json!({ "name": column.name, "type": column.holds.as_str(), "description": column.about }))
        .collect();
    let (rule, stream) = (format!("muster-{}", name.replace('_', "-")), &settings.stream);
    let workspace = "[resourceId('Microsoft.OperationalInsights/workspaces', parameters('workspace'))]";
    let rule_id = format!("resourceId('Microsoft.Insights/dataCollectionRules', '{rule}')");
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {
            "workspace": {
                "type": "string",
                "metadata": { "description": "The name of the Log Analytics workspace, in this resource group" },
            },
            "location": {
                "type": "string",
                "defaultValue": "[resourceGroup().location]",
                "metadata": { "description": "The workspace's region" },
            },
            "principal": {
                "type": "string",
                "metadata": { "description": format!(
                    "The object id of the service principal of app `{}` (Entra, Enterprise applications)", settings.app
                ) },
            },
        },
        "resources": [
            {
                "type": "Microsoft.OperationalInsights/workspaces/tables",
                "apiVersion": "2022-10-01",
                "name": format!("[concat(parameters('workspace'), '/{table}')]"),
                "properties": { "schema": { "name": table, "columns": described } },
            },
            {
                "type": "Microsoft.Insights/dataCollectionRules",
                "apiVersion": "2023-03-11",
                "name": rule,
                "location": "[parameters('location')]",
                "kind": "Direct",
                "dependsOn": [
                    format!("[resourceId('Microsoft.OperationalInsights/workspaces/tables', parameters('workspace'), '{table}')]"),
                ],
                "properties": {
                    "streamDeclarations": { stream: { "columns": columns } },
                    "destinations": {
                        "logAnalytics": [{ "workspaceResourceId": workspace, "name": "workspace" }],
                    },
                    "dataFlows": [{
                        "streams": [stream],
                        "destinations": ["workspace"],
                        // A record without a time is found under that of its arrival.
                        "transformKql": "source | extend TimeGenerated = iff(isnull(TimeGenerated), now(), TimeGenerated)",
                        "outputStream": format!("Custom-{table}"),
                    }],
                },
            },
            {
                "type": "Microsoft.Authorization/roleAssignments",
                "apiVersion": "2022-04-01",
                "name": format!("[guid({rule_id}, parameters('principal'))]"),
                "scope": format!("[{rule_id}]"),
                "dependsOn": [format!("[{rule_id}]")],
                "properties": {
                    "roleDefinitionId": format!(
                        "[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{ROLE}')]"
                    ),
                    "principalId": "[parameters('principal')]",
                    "principalType": "ServicePrincipal",
                },
            },
        ],
        "outputs": {
            "endpoint": { "type": "string", "value": format!("[reference({rule_id}, '2023-03-11').endpoints.logsIngestion]") },
            "rule": { "type": "string", "value": format!("[reference({rule_id}, '2023-03-11').immutableId]") },
        },
    })
}

fn function(table: &str) -> String {
    let name = table.trim_end_matches("_CL");
    format!(
        "// {name}: the newest row of each part of each version. Save it as a function `{name}` (Logs, Save, Save as function): a row\n\
         // whose answer was lost is sent again, and stands twice in {table}.\n\
         {table}\n\
         | extend IngestedAt = ingestion_time()\n\
         | summarize arg_max(IngestedAt, *) by CustomerId, RecordSource, RecordId, RecordVersion, Part, Parts\n\
         \n\
         // How many rows stand there more than once:\n\
         {table}\n\
         | summarize Rows = count() by CustomerId, RecordSource, RecordId, RecordVersion, Part, Parts\n\
         | summarize Rows = sum(Rows), Doubled = sum(Rows - 1)\n\
         \n\
         // The newest version of each record, in all of its parts: first which it is, and then its rows. An older one may have\n\
         // had more parts.\n\
         {name}\n\
         | join kind=leftsemi (\n    \
             {name}\n    \
             | summarize arg_max(RecordUpdated, RecordVersion) by CustomerId, RecordSource, RecordId\n\
         ) on CustomerId, RecordSource, RecordId, RecordVersion\n"
    )
}

//! Object stores: what a sink must be allowed, and no more (Amazon S3 "Actions, resources, and condition keys", Azure
//! "Built-in roles for Storage", Google "IAM roles for Cloud Storage"); for Parquet the custom sources of Amazon
//! Security Lake ("Collecting data from custom sources").

use std::fmt::Write as _;

use muster_siem::sinks::{ObjectKind, ObjectStoreSettings, ObjectUrl, SinkSettings};
use serde_json::json;

use super::known::{File, Known};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::plain;

/// The classes of OCSF that records become.
const CLASSES: [(i64, &str, &str); 16] = [
    (0, "BASE_EVENT", "rows of hunting that have no class"),
    (1001, "FILE_SYSTEM_ACTIVITY", "rows of hunting"),
    (1005, "MODULE_ACTIVITY", "rows of hunting"),
    (1007, "PROCESS_ACTIVITY", "rows of hunting"),
    (1009, "SCRIPT_ACTIVITY", "rows of hunting"),
    (2004, "DETECTION_FINDING", "alerts, and those inside incidents"),
    (2005, "INCIDENT_FINDING", "incidents"),
    (3002, "AUTHENTICATION", "rows of hunting"),
    (4001, "NETWORK_ACTIVITY", "rows of hunting"),
    (4009, "EMAIL_ACTIVITY", "rows of hunting"),
    (4012, "EMAIL_URL_ACTIVITY", "rows of hunting"),
    (5001, "INVENTORY_INFO", "rows of hunting"),
    (5003, "USER_INVENTORY_INFO", "rows of hunting"),
    (6003, "API_ACTIVITY", "rows of hunting"),
    (201_001, "REGISTRY_KEY_ACTIVITY", "rows of hunting"),
    (201_002, "REGISTRY_VALUE_ACTIVITY", "rows of hunting"),
];

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sinks = known.sinks("object_store", |sink| match sink {
        SinkSettings::ObjectStore(settings) => Some(settings),
        _ => None,
    })?;
    if sinks.is_empty() {
        let said = "the settings have no sink of type object_store; add one, and this tells what its bucket must allow";
        return Err(Failed::say(Exit::NotFound, said));
    }
    let mut text = String::new();
    for (name, settings) in sinks {
        let about = format!("# Sink `{name}`: {}\n\n{}\n", plain(&settings.url.to_string()), needs(settings));
        text.push_str(&about);
        if settings.objects == ObjectKind::Parquet {
            text.push_str(&security_lake(known, settings));
        }
    }
    Ok(vec![File::new("object-store.txt", text)])
}

/// What the store must allow.
fn needs(settings: &ObjectStoreSettings) -> String {
    let prefix = settings.url.prefix();
    let objects = if prefix.is_empty() { "*".to_owned() } else { format!("{prefix}/*") };
    match &settings.url {
        ObjectUrl::S3 { bucket, .. } => {
            let arn = format!("arn:aws:s3:::{bucket}");
            let policy = json!({ "Version": "2012-10-17", "Statement": [
                {
                    "Sid": "MusterMakesObjectsAndLooksAtThem", "Effect": "Allow",
                    "Action": ["s3:PutObject", "s3:GetObject"], "Resource": format!("{arn}/{objects}"),
                },
                {
                    "Sid": "WhatIsNotThereIsToldFromWhatIsNotAllowed", "Effect": "Allow",
                    "Action": "s3:ListBucket", "Resource": arn,
                },
                {
                    "Sid": "MusterSinkTestRemovesItsProbe", "Effect": "Allow",
                    "Action": "s3:DeleteObject",
                    "Resource": format!("{arn}/{}", objects.replace('*', "muster-sink-test/*")),
                },
            ] });
            format!(
                "# The policy of the user or role whose access key the sink has: it overwrites and removes nothing of its own.\n{policy:#}\n"
            )
        }
        ObjectUrl::Azure { container, .. } => {
            let account = plain(settings.account.as_deref().unwrap_or("<ACCOUNT>"));
            format!(
                "# For an app (entra_tenant, client_id, client_secret):\n\
                 az role assignment create --assignee <CLIENT_ID> --role \"Storage Blob Data Contributor\" \\\n  \
                 --scope /subscriptions/<SUBSCRIPTION>/resourceGroups/<GROUP>/providers/Microsoft.Storage/storageAccounts/{account}/blobServices/default/containers/{container}\n\
                 # Or a shared access signature (sas) of the container, to read, create and write:\n\
                 az storage container generate-sas --account-name {account} --name {container} --permissions rcw --expiry <DATE> --https-only --output tsv\n"
            )
        }
        ObjectUrl::Google { bucket, .. } => format!(
            "# For the service account whose key the sink has:\n\
             gcloud storage buckets add-iam-policy-binding gs://{bucket} --member serviceAccount:<ACCOUNT> --role roles/storage.objectCreator\n\
             gcloud storage buckets add-iam-policy-binding gs://{bucket} --member serviceAccount:<ACCOUNT> --role roles/storage.objectViewer\n"
        ),
        ObjectUrl::Folder(folder) => {
            let folder = plain(&folder.display().to_string());
            format!(
                "# The folder is not made by Muster, since a disk may be missing. Its file system must have hard links.\n\
                 install -d -o muster -g muster -m 0750 '{}'\n",
                folder.replace('\'', "'\\''")
            )
        }
    }
}

/// A custom source for each class, as its folder is called in the path of the settings.
fn security_lake(known: &Known<'_>, settings: &ObjectStoreSettings) -> String {
    let path = settings.path();
    let mut text = String::from(
        "\n# Amazon Security Lake: a custom source for each class that you have, 50 at most. Its name is what stands behind `ext/`.\n\
         # The role that it makes may be assumed by the account and with the external id that are named; use its temporary key.\n",
    );
    let source = path.as_str().split('/').nth(1).unwrap_or("muster_{class}");
    for (class, name, about) in CLASSES {
        let source = plain(&source.replace("{class}", &class.to_string()));
        // Writing to a String cannot fail.
        writeln!(
            text,
            "\n# {about}\naws securitylake create-custom-log-source --source-name {source} --event-classes {name} \\\n  \
             --configuration 'crawlerConfiguration={{roleArn=<GLUE_ROLE_ARN>}},providerIdentity={{principal=<ACCOUNT_ID>,externalId=<EXTERNAL_ID>}}'"
        )
        .ok();
    }
    text.push_str("\n# The partition of each tenant:\n");
    for tenant in &known.tenants {
        let account = path.as_str().split('/').find(|folder| folder.starts_with("accountId="));
        let account = account.unwrap_or("accountId=?");
        let label = tenant.label();
        let account = account
            .replace("{{ tenant.id }}", &label.id.to_string())
            .replace("{{ tenant.slug }}", label.slug.as_str());
        writeln!(text, "#   {}: {}", plain(label.slug.as_str()), plain(&account)).ok();
    }
    text
}

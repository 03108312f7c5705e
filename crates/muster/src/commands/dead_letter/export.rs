//! Dead letters, written out.

use std::io::Write;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use muster_model::{Source, Tenant, TenantId};
use muster_store::{DeadLetter, DeadLetterOrigin, StoreError};
use serde::Serialize;
use serde_json::value::RawValue;

use super::bulk::{Which, is_not_there, of_sink};
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};
use crate::new_file::NewFile;
use crate::shown::note::note;
use crate::shown::output::number;
use crate::shown::progress::Progress;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Into this file, which must not be there yet and only its owner can read; else to standard output.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    number: u64,
    at: Timestamp,
    tenant: &'a str,
    tenant_id: TenantId,
    source: Source,
    /// The sink that refused it; none where it could not be read.
    sink: Option<&'a str>,
    record_id: Option<&'a str>,
    reason: &'a str,
    /// The original, where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Box<RawValue>>,
    /// The original, where it is text and no JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The original, where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let tenants = context.store.tenants().await?;
    let mut file = args.file.as_deref().map(NewFile::begin).transpose()?;
    let (mut written, mut gone, mut progress) = (0_u64, 0_u64, Progress::of(context.output));
    args.which
        .each(context, "the others are written", async |letter| {
            // Another may have removed it, or tried it again, since it was listed.
            let body = match context.store.dead_letter_body(letter.number).await {
                Ok(body) => body,
                Err(error) if is_not_there(&error) || matches!(error, StoreError::Sealing { .. }) => {
                    gone += 1;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let line = line(&letter, body, &tenants)?;
            match &mut file {
                Some(file) => file.write_all(&line)?,
                None => std::io::stdout().lock().write_all(&line)?,
            }
            written += 1;
            progress.show(context.clock.now(), || format!("{} dead letters written", number(written)));
            Ok(())
        })
        .await?;
    progress.wipe();
    if let Some(file) = file {
        file.finish()?;
        note!("{} dead letters written", number(written));
    }
    if gone > 0 {
        note!(
            "muster: {} dead letters are not written: they were removed or tried again meanwhile, or cannot be opened",
            number(gone)
        );
    }
    Ok(if gone == 0 { Exit::Success } else { Exit::Partly })
}

fn line(letter: &DeadLetter, body: Vec<u8>, tenants: &[Tenant]) -> Result<Vec<u8>, Failed> {
    let slug = tenants.iter().find(|tenant| tenant.id == letter.tenant).map(|tenant| tenant.slug.as_str());
    let source = match &letter.origin {
        DeadLetterOrigin::Source(source) | DeadLetterOrigin::Sink { source, .. } => *source,
    };
    let (mut record, mut text, mut base64) = (None, None, None);
    match String::from_utf8(body) {
        Err(error) => base64 = Some(STANDARD.encode(error.as_bytes())),
        Ok(body) => {
            // In JSON, a line ends between tokens only, where a blank means the same.
            match RawValue::from_string(body.replace(['\n', '\r'], " ")) {
                Ok(json) => record = Some(json),
                Err(_) => text = Some(body),
            }
        }
    }
    let line = Line {
        number: letter.number.0,
        at: letter.at,
        tenant: slug.unwrap_or_default(),
        tenant_id: letter.tenant,
        source,
        sink: of_sink(letter).map(String::as_str),
        record_id: letter.record_id.as_deref(),
        reason: &letter.reason,
        record,
        text,
        base64,
    };
    let mut line = serde_json::to_vec(&line).map_err(std::io::Error::other)?;
    line.push(b'\n');
    Ok(line)
}

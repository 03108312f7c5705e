//! Streaming: what Defender writes into a storage account, as blobs in a folder. The rows are those of the hunting tables,
//! of every alert as it was first made, whether the APIs show it already or not.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::graph::api::GraphApi;
use crate::receivers::RecordKind;

/// A folder, and how far the log of truth was written there.
#[derive(Debug)]
pub struct StreamFolder {
    folder: PathBuf,
    written: usize,
}

/// A row that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamedRow {
    /// The tenant's GUID.
    pub tenant: String,
    /// The table, such as `AlertInfo`.
    pub table: &'static str,
    /// The id of the alert.
    pub alert: String,
    /// The row, as it stands in its line.
    pub line: String,
}

impl StreamFolder {
    /// Nothing has been written there yet.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), written: 0 }
    }

    /// Appends what was made since the last time, in Azure's layout; gives the rows.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write(&mut self, graph: &GraphApi) -> io::Result<Vec<StreamedRow>> {
        if graph.truth_len() == self.written {
            return Ok(Vec::new());
        }
        let truth = graph.truth();
        let mut rows = Vec::new();
        for (place, version) in truth.iter().enumerate().skip(self.written) {
            if version.kind != RecordKind::Alert || version.version != 1 {
                continue;
            }
            for (table, row) in graph.truth_streamed(place) {
                let line = json!({
                    "time": version.made_at.to_string(),
                    "tenantId": version.tenant,
                    "operationName": "Publish",
                    "category": format!("AdvancedHunting-{table}"),
                    "_TimeReceivedBySvc": version.made_at.to_string(),
                    "properties": row,
                });
                let (tenant, alert) = (version.tenant.clone(), version.id.clone());
                rows.push(StreamedRow { tenant, table, alert, line: line.to_string() });
                self.append(rows.last().expect("one was pushed"), version.made_at)?;
            }
        }
        self.written = truth.len();
        Ok(rows)
    }

    fn append(&self, row: &StreamedRow, at: Timestamp) -> io::Result<()> {
        let hours = at.strftime("y=%Y/m=%m/d=%d/h=%H/m=00");
        let container = format!("insights-logs-advancedhunting-{}", row.table.to_lowercase());
        let folder = self.folder.join(format!("{container}/tenantId={}/{hours}", row.tenant));
        fs::create_dir_all(&folder)?;
        let mut file = OpenOptions::new().append(true).create(true).open(folder.join("PT1H.json"))?;
        file.write_all(format!("{}\n", row.line).as_bytes())
    }
}

impl GraphApi {
    /// The rows that an alert's version makes in the streamed tables, by its place in [`GraphApi::truth`]: the table and the
    /// row.
    pub fn truth_streamed(&self, place: usize) -> Vec<(&'static str, Value)> {
        let Some(info) = self.truth_row(place) else { return Vec::new() };
        let info = serde_json::from_slice(&info).expect("a row is JSON");
        let evidence = self.truth_evidence_rows(place).into_iter().map(|row| ("AlertEvidence", row));
        std::iter::once(("AlertInfo", info)).chain(evidence).collect()
    }
}

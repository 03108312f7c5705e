//! Bodies of right answers: pages of a list, and single records, as the API shows them that is asked.
//!
//! A page is put together from bodies that are already text. Nothing is parsed or built as a tree per request: in a
//! benchmark the emulator runs beside the program that is measured.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::WARNING;
use serde_json::json;

use crate::defender::devices::Devices;
use crate::faults::quirks::{LinkQuirk, OrderQuirk, Quirks};
use crate::faults::spoil::first_title;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::receivers::RecordKind;
use crate::world::dice::derive;
use crate::world::hostile::nested_record;
use crate::world::query::{DEFAULT_ORDER, Field, Fields, List, Order, Query, SkipToken};
use crate::world::table::{Page, Row};
use crate::world::tenants::World;
use crate::world::view::View;

/// Writes the bodies of right answers.
pub(crate) struct PageWriter<'a> {
    pub(crate) world: &'a World,
    pub(crate) call: &'a Call<'a>,
    pub(crate) tenant: u32,
    pub(crate) unknown_members_wanted: bool,
    pub(crate) quirks: &'a Quirks,
    pub(crate) view: View,
}

/// Why there is no body.
pub(crate) enum PageFailure {
    NotFound(String),
    Status(u16),
}

/// A body in the making, and whether all that was asked for is in it.
struct Body {
    text: Vec<u8>,
    partial: bool,
}

impl PageWriter<'_> {
    pub(crate) fn list(&self, list: List, mut query: Query) -> Result<Answer, PageFailure> {
        match self.quirks.order {
            Some(OrderQuirk::Ignored) => query.order = DEFAULT_ORDER,
            Some(OrderQuirk::Shuffled { ascending_pages }) => {
                let seed = derive(&[self.world.seed(), u64::from(self.tenant)]);
                query.order = Order::Shuffled { seed, ascending_pages };
            }
            _ => {}
        }
        let size = self.page_size(list, &query);
        let before_page = size > 0 && query.token.empty_pages < self.quirks.empty_pages;
        let page = if before_page {
            Page { rows: Vec::new(), more: true, total: None }
        } else {
            self.world.select(self.tenant, list, &query, size)
        };
        self.check_poison(page.rows.iter().map(|row| &row.1))?;
        let mut body = Body { text: Vec::with_capacity(page.rows.len() * 7500 + 512), partial: false };
        body.text.extend_from_slice(self.context(list, query.expanded).as_bytes());
        if let Some(total) = page.total {
            let said = match &self.quirks.lying_count {
                Some((_, Some(json))) => json.clone(),
                Some((by, None)) => {
                    (i64::try_from(total).unwrap_or(i64::MAX).saturating_add(*by)).to_string()
                }
                None => total.to_string(),
            };
            body.text.extend_from_slice(format!(",\"@odata.count\":{said}").as_bytes());
        }
        if let Some(link) = self.next_link(&query, size, &page, before_page) {
            body.text.extend_from_slice(b",\"@odata.nextLink\":");
            body.text.extend_from_slice(json!(link).to_string().as_bytes());
        }
        body.text.extend_from_slice(b",\"value\":[");
        if let Some(depth) = self.quirks.nested_record {
            body.text.extend_from_slice(nested_record(depth, self.world.now()).as_bytes());
        }
        for (place, (index, row)) in page.rows.iter().enumerate() {
            if self.is_missing(row) {
                continue;
            }
            separate(&mut body.text);
            if self.quirks.unreadable_record == Some(place) {
                body.text.extend_from_slice(b"{\"id\":\"unreadable\",,}");
            } else {
                self.record(&mut body, list, *index, row, query.expanded)?;
            }
        }
        self.junk(&mut body.text);
        body.text.extend_from_slice(b"]}");
        if self.quirks.updates_while_paged > 0 && !page.rows.is_empty() {
            self.world.update_some(self.tenant, self.quirks.updates_while_paged);
        }
        Ok(self.finished(body))
    }

    /// The detections of the retired SIEM API: a bare list, which names no next page.
    pub(crate) fn feed(&self, mut query: Query, devices: &Devices) -> Result<Answer, PageFailure> {
        if let Some(OrderQuirk::Shuffled { ascending_pages }) = self.quirks.order {
            let seed = derive(&[self.world.seed(), u64::from(self.tenant)]);
            query.order = Order::Shuffled { seed, ascending_pages };
        }
        let most = query.top.unwrap_or(usize::MAX);
        let facts = self.world.facts(self.tenant);
        let wanted = if devices.are_all() { most } else { usize::MAX };
        let mut rows = self.world.select(self.tenant, List::Alerts, &query, wanted).rows;
        rows.retain(|(_, row)| {
            devices.are_all() || row.siem(facts).is_some_and(|detection| devices.have(detection))
        });
        rows.truncate(most);
        self.check_poison(rows.iter().map(|row| &row.1))?;
        let mut body = Body { text: b"[".to_vec(), partial: false };
        if let Some(depth) = self.quirks.nested_record {
            body.text.extend_from_slice(nested_record(depth, self.world.now()).as_bytes());
        }
        for (place, (index, row)) in rows.iter().enumerate() {
            if self.is_missing(row) {
                continue;
            }
            separate(&mut body.text);
            if self.quirks.unreadable_record == Some(place) {
                body.text.extend_from_slice(b"{\"FullId\":\"unreadable\",,}");
            } else {
                self.record(&mut body, List::Alerts, *index, row, true)?;
            }
        }
        self.junk(&mut body.text);
        body.text.push(b']');
        if self.quirks.updates_while_paged > 0 && !rows.is_empty() {
            self.world.update_some(self.tenant, self.quirks.updates_while_paged);
        }
        Ok(self.finished(body))
    }

    /// Pieces that are no records.
    fn junk(&self, text: &mut Vec<u8>) {
        let (junk, different) = self.quirks.junk_items;
        for piece in 0..junk {
            separate(text);
            match different {
                true => text.extend_from_slice(piece.to_string().as_bytes()),
                false => text.extend_from_slice([&b"{}"[..], b"7", b"null", b"\"junk\""][piece as usize % 4]),
            }
        }
    }

    pub(crate) fn one(&self, list: List, id: &str, query: &Query) -> Result<Answer, PageFailure> {
        let (index, row) = self.found(list, id)?;
        self.check_poison([&row])?;
        let mut record = Body { text: Vec::with_capacity(8192), partial: false };
        // One alert of Defender for Endpoint by its id has its evidence, whatever is the matter with `$expand`.
        let by_itself = row.endpoint(self.world.facts(self.tenant));
        match by_itself.filter(|_| self.view == View::Endpoint && !query.expanded) {
            Some(alert) => record.text.extend_from_slice(&alert.whole),
            None => self.record(&mut record, list, index, &row, query.expanded)?,
        }
        let mut text = Vec::with_capacity(record.text.len() + 128);
        let context = self.context(list, false);
        text.extend_from_slice(context.strip_suffix('"').unwrap_or(&context).as_bytes());
        text.extend_from_slice(b"/$entity\",");
        text.extend_from_slice(record.text.strip_prefix(b"{").unwrap_or(&record.text));
        Ok(self.finished(Body { text, ..record }))
    }

    pub(crate) fn alerts_of(&self, id: &str) -> Result<Answer, PageFailure> {
        let (index, _) = self.found(List::Incidents, id)?;
        let members = self.world.members(self.tenant, index);
        self.check_poison(&members)?;
        let mut text = b"{\"@odata.context\":\"https://graph.microsoft.com/v1.0/$metadata#Collection(microsoft.graph.security.alert)\",\"value\":[".to_vec();
        self.members(&mut text, &members);
        text.extend_from_slice(b"]}");
        Ok(self.finished(Body { text, partial: false }))
    }

    /// How an answer begins: `{"@odata.context":"…"`.
    fn context(&self, list: List, expanded: bool) -> String {
        let (base, name) = match (self.view, list) {
            (View::Graph, List::Alerts) => ("https://graph.microsoft.com/v1.0", "security/alerts_v2"),
            (View::Graph, List::Incidents) if expanded => {
                ("https://graph.microsoft.com/v1.0", "security/incidents(alerts())")
            }
            (View::Graph, List::Incidents) => ("https://graph.microsoft.com/v1.0", "security/incidents"),
            // The old SIEM API's lists are bare.
            (View::Endpoint | View::Siem, _) => ("https://api.securitycenter.microsoft.com/api", "Alerts"),
            (View::Xdr, _) => ("https://api.security.microsoft.com/api", "Incidents"),
        };
        format!("{{\"@odata.context\":\"{base}/$metadata#{name}\"")
    }

    fn found(&self, list: List, id: &str) -> Result<(u32, Arc<Row>), PageFailure> {
        self.world.find_row(self.tenant, list, id).ok_or_else(|| PageFailure::NotFound(id.to_owned()))
    }

    /// How many records the page may hold.
    fn page_size(&self, list: List, query: &Query) -> usize {
        let asked = query.top.unwrap_or_else(|| self.view.page_default(list));
        let Some(small) = self.quirks.small_pages else { return asked };
        let most = asked.min(small.most.max(1));
        if !small.ragged || most == 0 {
            return most;
        }
        let chance = derive(&[self.world.seed(), u64::from(self.tenant), query.skip as u64]);
        1 + usize::try_from(chance % most as u64).unwrap_or(0)
    }

    fn check_poison<'r>(&self, rows: impl IntoIterator<Item = &'r Arc<Row>>) -> Result<(), PageFailure> {
        let Some(poison) = &self.quirks.poison else { return Ok(()) };
        let strikes = |row: &Arc<Row>| match &poison.id {
            Some(id) => row.id == *id,
            None if poison.one_record_in == 0 => false,
            None => {
                let letters: Vec<u64> = row.id.bytes().map(u64::from).collect();
                derive(&letters).is_multiple_of(u64::from(poison.one_record_in))
            }
        };
        if rows.into_iter().any(strikes) { Err(PageFailure::Status(500)) } else { Ok(()) }
    }

    /// Whether a record is of the product that does not answer.
    fn is_missing(&self, row: &Row) -> bool {
        self.quirks.missing_provider.as_deref().is_some_and(|own| row.text(Field::ServiceSource) == Some(own))
    }

    fn record(
        &self,
        body: &mut Body,
        list: List,
        index: u32,
        row: &Row,
        expand: bool,
    ) -> Result<(), PageFailure> {
        let begin = body.text.len();
        match self.view {
            View::Graph => self.graph_record(body, list, index, row, expand)?,
            View::Endpoint => self.endpoint_alert(body, row, expand)?,
            View::Xdr => self.xdr_incident(body, index, row),
            View::Siem => match row.siem(self.world.facts(self.tenant)) {
                Some(detection) => body.text.extend_from_slice(detection),
                None => self.body_of(&mut body.text, row),
            },
        }
        if self.quirks.rewritten && row.is_made() {
            rewrite(&mut body.text, begin);
        }
        Ok(())
    }

    fn endpoint_alert(&self, body: &mut Body, row: &Row, expand: bool) -> Result<(), PageFailure> {
        let Some(alert) = row.endpoint(self.world.facts(self.tenant)) else {
            self.body_of(&mut body.text, row);
            return Ok(());
        };
        let refused = self.quirks.refused_expand.filter(|refused| expand && alert.evidence > refused.above);
        match refused {
            Some(refused) if refused.status != 206 => return Err(PageFailure::Status(refused.status)),
            None if expand => body.text.extend_from_slice(&alert.whole),
            _ => alert.push_bare(&mut body.text),
        }
        body.partial |= refused.is_some();
        Ok(())
    }

    /// An incident of Defender XDR always has its alerts.
    fn xdr_incident(&self, body: &mut Body, index: u32, row: &Row) {
        let facts = self.world.facts(self.tenant);
        let made = row.incident_plan().is_some();
        let whole = if made { self.world.incident_with_members(self.tenant, index) } else { None };
        let (own, members) = match &whole {
            Some((row, members)) => (row.as_ref(), members.as_slice()),
            None => (row, &[][..]),
        };
        body.text.extend_from_slice(&own.text_as(RecordKind::XdrIncident, facts));
        if whole.is_some() {
            body.text.pop();
            body.text.extend_from_slice(b",\"alerts\":[");
            for alert in members.iter().filter(|alert| !self.is_missing(alert)) {
                separate(&mut body.text);
                match alert.xdr(RecordKind::Alert, facts) {
                    Some(text) => body.text.extend_from_slice(text),
                    None => self.body_of(&mut body.text, alert),
                }
            }
            body.text.extend_from_slice(b"]}");
        }
    }

    fn graph_record(
        &self,
        body: &mut Body,
        list: List,
        index: u32,
        row: &Row,
        expand: bool,
    ) -> Result<(), PageFailure> {
        let expanded = list == List::Incidents && expand && row.incident_plan().is_some();
        let whole = if expanded { self.world.incident_with_members(self.tenant, index) } else { None };
        match whole {
            None => self.body_of(&mut body.text, row),
            Some((row, mut members)) => {
                if let Some(refused) = self.quirks.refused_expand
                    && members.len() > refused.above
                {
                    if refused.status != 206 {
                        return Err(PageFailure::Status(refused.status));
                    }
                    body.partial = true;
                    members.clear();
                }
                self.body_of(&mut body.text, &row);
                body.text.pop();
                body.text.extend_from_slice(b",\"alerts\":[");
                self.members(&mut body.text, &members);
                body.text.extend_from_slice(b"]}");
            }
        }
        Ok(())
    }

    fn body_of(&self, text: &mut Vec<u8>, row: &Row) {
        row.body(self.world.facts(self.tenant)).append_to(text, self.unknown_members_wanted);
    }

    fn members(&self, text: &mut Vec<u8>, members: &[Arc<Row>]) {
        for alert in members.iter().filter(|alert| !self.is_missing(alert)) {
            separate(text);
            self.body_of(text, alert);
        }
    }

    /// The whole address of the next page: this one's, with another `$skip` or a `$skiptoken`.
    fn next_link(&self, query: &Query, size: usize, page: &Page, before_page: bool) -> Option<String> {
        let next = SkipToken { skip: query.skip + size, empty_pages: 0 };
        let token = match &self.quirks.link {
            _ if before_page => SkipToken { skip: query.skip, empty_pages: query.token.empty_pages + 1 },
            Some(LinkQuirk::Loop) => SkipToken { skip: query.skip, empty_pages: query.token.empty_pages },
            Some(LinkQuirk::Missing) => return None,
            Some(LinkQuirk::Elsewhere(_)) => next,
            _ if query.clamped => return None,
            // The Defender APIs name no next page, save where they are made to.
            None if self.view != View::Graph && !self.names_next() => return None,
            _ if page.more && size > 0 => next,
            Some(LinkQuirk::OnLastPage) if !page.rows.is_empty() => next,
            _ => return None,
        };
        let mut address = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in url::form_urlencoded::parse(self.call.query.as_bytes()) {
            if key != "$skip" && key != "$skiptoken" {
                address.append_pair(&key, &value);
            }
        }
        if self.quirks.skip_token || self.quirks.empty_pages > 0 {
            address.append_pair("$skiptoken", &token.write());
        } else {
            address.append_pair("$skip", &token.skip.to_string());
        }
        // Graph writes the dollar sign of its options as it is.
        let query = address.finish().replace("%24", "$");
        let base = match &self.quirks.link {
            Some(LinkQuirk::Elsewhere(origin)) => origin.as_str(),
            _ => self.call.base,
        };
        Some(format!("{base}{}?{query}", self.call.path))
    }

    /// Whether quirks are in force that make no sense without links.
    fn names_next(&self) -> bool {
        self.quirks.skip_token || self.quirks.small_pages.is_some() || self.quirks.empty_pages > 0
    }

    /// The answer, with what its quirks add to any body.
    fn finished(&self, body: Body) -> Answer {
        let mut text = body.text;
        if self.quirks.control_character
            && let Some(place) = first_title(&text)
        {
            text.insert(place, 1);
        }
        if self.quirks.byte_order_mark {
            text.splice(0..0, [0xef, 0xbb, 0xbf]);
        }
        let provider =
            self.quirks.missing_provider.as_deref().or(body.partial.then_some("microsoft365Defender"));
        let status = if provider.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let mut answer = Answer::json(status, text);
        if let Some(provider) = provider {
            answer = answer.with(WARNING, format!("199 - \"Microsoft/{provider}/504/10000\""));
        }
        for (code, text) in &self.quirks.warnings {
            answer = answer.with(WARNING, format!("{code} - \"{text}\""));
        }
        answer
    }
}

/// The comma before a further element.
fn separate(text: &mut Vec<u8>) {
    if text.last() != Some(&b'[') {
        text.push(b',');
    }
}

/// Writes a record anew as a gateway does: keys in another order, with blanks between them.
fn rewrite(text: &mut Vec<u8>, begin: usize) {
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&text[begin..]) {
        text.truncate(begin);
        text.extend_from_slice(format!("{value:#}").as_bytes());
    }
}

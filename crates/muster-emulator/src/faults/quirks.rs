//! How one request's service is: all quirks that it meets.

use crate::faults::kind::FaultKind;

/// The quirks of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quirks {
    pub(crate) order: Option<OrderQuirk>,
    pub(crate) skip_limit: Option<usize>,
    pub(crate) top_limit: Option<TopLimit>,
    pub(crate) refused_words: Vec<String>,
    pub(crate) skip_token: bool,
    pub(crate) small_pages: Option<SmallPages>,
    pub(crate) empty_pages: u32,
    pub(crate) link: Option<LinkQuirk>,
    pub(crate) refused_expand: Option<RefusedExpand>,
    pub(crate) poison: Option<Poison>,
    pub(crate) missing_provider: Option<String>,
    pub(crate) warnings: Vec<(u16, String)>,
    pub(crate) date: Option<DateQuirk>,
    pub(crate) rewritten: bool,
    pub(crate) updates_while_paged: u32,
    pub(crate) without_length: bool,
    /// What `$count` is wrong by, or what stands in its place.
    pub(crate) lying_count: Option<(i64, Option<String>)>,
    pub(crate) byte_order_mark: bool,
    pub(crate) control_character: bool,
    pub(crate) unreadable_record: Option<usize>,
    pub(crate) nested_record: Option<u32>,
    pub(crate) junk_items: (u32, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderQuirk {
    Ignored,
    Refused,
    Shuffled { ascending_pages: usize },
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct TopLimit {
    pub(crate) most: usize,
    pub(crate) clamp: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct SmallPages {
    pub(crate) most: usize,
    pub(crate) ragged: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum LinkQuirk {
    Missing,
    Loop,
    Elsewhere(String),
    OnLastPage,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RefusedExpand {
    pub(crate) status: u16,
    pub(crate) above: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Poison {
    pub(crate) id: Option<String>,
    pub(crate) one_record_in: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum DateQuirk {
    Shifted(i64),
    Text(String),
    Absent,
}

impl Quirks {
    /// Adds a quirk; where two say the same thing, the newer one counts.
    pub(crate) fn add(&mut self, kind: FaultKind) {
        match kind {
            FaultKind::IgnoreOrderby => self.order = Some(OrderQuirk::Ignored),
            FaultKind::RefuseOrderby => self.order = Some(OrderQuirk::Refused),
            FaultKind::ShuffledOrder { ascending_pages } => {
                self.order = Some(OrderQuirk::Shuffled { ascending_pages: ascending_pages as usize });
            }
            FaultKind::SkipLimit { most } => self.skip_limit = Some(most as usize),
            FaultKind::TopLimit { most, clamp } => {
                self.top_limit = Some(TopLimit { most: most as usize, clamp });
            }
            FaultKind::RefuseFilter { word } => self.refused_words.push(word),
            FaultKind::SkipToken => self.skip_token = true,
            FaultKind::SmallPages { most, ragged } => {
                self.small_pages = Some(SmallPages { most: most as usize, ragged });
            }
            FaultKind::EmptyPages { pages } => self.empty_pages = pages,
            FaultKind::LinkOnLastPage => self.link = Some(LinkQuirk::OnLastPage),
            FaultKind::MissingNextLink => self.link = Some(LinkQuirk::Missing),
            FaultKind::NextLinkLoop => self.link = Some(LinkQuirk::Loop),
            FaultKind::NextLinkElsewhere { origin } => self.link = Some(LinkQuirk::Elsewhere(origin)),
            FaultKind::RefuseExpand { status, above } => {
                self.refused_expand = Some(RefusedExpand { status, above: above as usize });
            }
            FaultKind::Poisoned { id, one_record_in } => self.poison = Some(Poison { id, one_record_in }),
            FaultKind::Partial { provider } => self.missing_provider = Some(provider),
            FaultKind::Warning { code, text } => self.warnings.push((code, text)),
            FaultKind::DateHeader { text: Some(text), .. } => self.date = Some(DateQuirk::Text(text)),
            FaultKind::DateHeader { seconds: 0, text: None } => self.date = Some(DateQuirk::Absent),
            FaultKind::DateHeader { seconds, text: None } => self.date = Some(DateQuirk::Shifted(seconds)),
            FaultKind::Rewritten => self.rewritten = true,
            FaultKind::UpdateWhilePaged { alerts } => self.updates_while_paged = alerts,
            FaultKind::LyingCount { by, json } => self.lying_count = Some((by, json)),
            FaultKind::WithoutLength => self.without_length = true,
            FaultKind::ByteOrderMark => self.byte_order_mark = true,
            FaultKind::ControlCharacter => self.control_character = true,
            FaultKind::UnreadableRecord { place } => self.unreadable_record = Some(place as usize),
            FaultKind::DeepNesting { depth } => self.nested_record = Some(depth),
            FaultKind::JunkItems { items, different } => self.junk_items = (items, different),
            _ => {}
        }
    }
}

//! Which tenants a command is about: one way to say it, wherever tenants are chosen.
//!
//! `contoso`, an id or a domain is one tenant; `tag:gold` is every tenant with that tag; `all` is every tenant. What is
//! excepted is named in the same way.

use std::collections::BTreeSet;

use muster_model::{Tag, Tenant, TenantId, TenantState};
use muster_store::StoreError;

/// Every tenant that was not offboarded.
pub(crate) const ALL: &str = "all";
pub(crate) const TAG: &str = "tag:";

/// Why no tenants could be chosen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChoosingError {
    #[error(transparent)]
    Tenant(StoreError),
    #[error("no tenant has the tag `{tag}`{meant}; {there}")]
    Tag { tag: String, meant: String, there: String },
    #[error(transparent)]
    NoTag(muster_model::ParseTagError),
    #[error("what is excepted leaves no tenant")]
    Nobody,
}

/// The tenants that are named, once each and by slug; all where none is. Of those that were offboarded nothing is left:
/// they are in no group, and to name one is an error. A group has those in it that `in_group` takes.
pub(crate) fn choose(
    tenants: Vec<Tenant>,
    names: &[String],
    except: &[String],
    in_group: &dyn Fn(&Tenant) -> bool,
) -> Result<Vec<Tenant>, ChoosingError> {
    let all = [ALL.to_owned()];
    let mut chosen = BTreeSet::new();
    for name in if names.is_empty() { &all[..] } else { names } {
        chosen.extend(named(&tenants, name, in_group)?);
    }
    let any = !chosen.is_empty();
    for name in except {
        for id in named(&tenants, name, &|_| true)? {
            chosen.remove(&id);
        }
    }
    match any && chosen.is_empty() {
        true => Err(ChoosingError::Nobody),
        false => Ok(tenants.into_iter().filter(|tenant| chosen.contains(&tenant.id)).collect()),
    }
}

fn named(
    tenants: &[Tenant],
    name: &str,
    in_group: &dyn Fn(&Tenant) -> bool,
) -> Result<Vec<TenantId>, ChoosingError> {
    let name = name.trim();
    let living = || tenants.iter().filter(|tenant| tenant.state != TenantState::Offboarded);
    if name == ALL {
        return Ok(living().filter(|tenant| in_group(tenant)).map(|tenant| tenant.id).collect());
    }
    if let Some(text) = name.strip_prefix(TAG) {
        let tag: Tag = text.parse().map_err(ChoosingError::NoTag)?;
        let tagged: Vec<&Tenant> = living().filter(|tenant| tenant.tags.contains(&tag)).collect();
        if tagged.is_empty() {
            return Err(no_such_tag(&tag, living()));
        }
        return Ok(tagged.into_iter().filter(|tenant| in_group(tenant)).map(|tenant| tenant.id).collect());
    }
    let id = name.parse::<TenantId>().ok();
    let domain = |tenant: &&Tenant| {
        tenant.domain.as_ref().is_some_and(|domain| domain.as_str().eq_ignore_ascii_case(name))
    };
    // As the store does: a slug is unique, a domain need not be.
    let found = tenants
        .iter()
        .find(|tenant| Some(tenant.id) == id)
        .or_else(|| tenants.iter().find(|tenant| tenant.slug.as_str() == name))
        .or_else(|| tenants.iter().find(domain));
    match found {
        Some(tenant) if tenant.state == TenantState::Offboarded => {
            Err(ChoosingError::Tenant(StoreError::Offboarded(tenant.slug.to_string())))
        }
        Some(tenant) => Ok(vec![tenant.id]),
        None => Err(ChoosingError::Tenant(StoreError::NoTenant(muster_model::text::shown(name, 128)))),
    }
}

fn no_such_tag<'a>(tag: &Tag, living: impl Iterator<Item = &'a Tenant>) -> ChoosingError {
    let known: BTreeSet<&str> = living.flat_map(|tenant| &tenant.tags).map(Tag::as_str).collect();
    let meant = muster_model::text::did_you_mean(tag.as_str(), known.iter().copied());
    let there = match known.is_empty() {
        true => "`muster tenant tag add TENANT TAG` gives tags".to_owned(),
        false => format!("there are {}", known.into_iter().take(20).collect::<Vec<_>>().join(", ")),
    };
    ChoosingError::Tag { tag: tag.to_string(), meant, there }
}

#[cfg(test)]
mod tests {
    use muster_model::Source;

    use super::*;

    fn tenant(number: u128, slug: &str, tags: &[&str], state: TenantState) -> Tenant {
        Tenant {
            id: uuid::Uuid::from_u128(number).to_string().parse().expect("an id"),
            slug: slug.parse().expect("a slug"),
            name: slug.to_owned(),
            domain: format!("{slug}.example").parse().ok(),
            app: "main".to_owned(),
            sources: Source::DEFAULT.into(),
            tags: tags.iter().map(|tag| tag.parse().expect("a tag")).collect(),
            since: jiff::Timestamp::UNIX_EPOCH,
            added_at: jiff::Timestamp::UNIX_EPOCH,
            state,
        }
    }

    fn chosen(names: &[&str], except: &[&str]) -> Result<Vec<String>, String> {
        let tenants = vec![
            tenant(1, "adatum", &["gold"], TenantState::Active),
            tenant(2, "contoso", &["gold", "region:emea"], TenantState::Paused),
            tenant(3, "fabrikam", &[], TenantState::Active),
            tenant(4, "gone", &["gold"], TenantState::Offboarded),
        ];
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        choose(tenants, &owned(names), &owned(except), &|_| true)
            .map(|tenants| tenants.iter().map(|tenant| tenant.slug.to_string()).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn tenants_are_chosen_by_name_tag_and_exception() {
        let of = |names: &[&str], except: &[&str]| chosen(names, except).expect("tenants").join(" ");
        assert_eq!(of(&[], &[]), "adatum contoso fabrikam");
        assert_eq!(of(&["all"], &["contoso"]), "adatum fabrikam");
        assert_eq!(of(&["tag:gold"], &[]), "adatum contoso");
        assert_eq!(
            of(&["tag:gold", "fabrikam", "fabrikam.example"], &["tag:region:emea"]),
            "adatum fabrikam"
        );
        assert_eq!(of(&["00000000-0000-0000-0000-000000000002"], &[]), "contoso");
    }

    #[test]
    fn a_group_of_nobody_is_no_group() {
        let why = |names: &[&str], except: &[&str]| chosen(names, except).expect_err("nobody");
        assert_eq!(
            why(&["tag:godl"], &[]),
            "no tenant has the tag `godl` (did you mean `gold`?); there are gold, region:emea"
        );
        assert!(why(&["tag:Not A Tag"], &[]).contains("Not A Tag"));
        assert!(why(&["contso"], &[]).contains("there is no tenant `contso`"));
        assert!(why(&["gone"], &[]).contains("was offboarded"));
        // A misspelled exception would be asked all the same.
        assert!(why(&["all"], &["contso"]).contains("there is no tenant `contso`"));
        assert_eq!(why(&["contoso"], &["tag:gold"]), "what is excepted leaves no tenant");
    }
}

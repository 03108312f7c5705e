//! The link of an invitation: `<id>.<end>.<tag>`. It holds nothing of the tenant, and nobody else can make one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use muster_store::SigningKey;
use uuid::Uuid;

const PURPOSE: &str = "invitation";

/// The part of the link that names an invitation until its end.
pub fn seal(key: &SigningKey, invitation: Uuid, until: Timestamp) -> String {
    let named = format!("{}.{}", invitation.simple(), until.as_second());
    let tag = URL_SAFE_NO_PAD.encode(key.sign(PURPOSE, named.as_bytes()));
    format!("{named}.{tag}")
}

/// The invitation and its end that a link names; `None` when the link was not made with this key. One spelling only: a
/// link that was changed in any way is none.
pub fn open(key: &SigningKey, link: &str) -> Option<(Uuid, Timestamp)> {
    // Far longer than any link; what follows looks at each byte.
    if link.len() > 128 {
        return None;
    }
    let (named, tag) = link.rsplit_once('.')?;
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    if !key.verify(PURPOSE, named.as_bytes(), &tag) {
        return None;
    }
    let (id, until) = named.split_once('.')?;
    Some((Uuid::try_parse(id).ok()?, Timestamp::from_second(until.parse().ok()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_as_it_was_made_and_in_no_other_way() {
        let (key, id) = (SigningKey::generate(), Uuid::from_u128(7));
        let until = Timestamp::from_second(1_800_000_000).expect("a time");
        let link = seal(&key, id, until);
        assert_eq!(open(&key, &link), Some((id, until)));
        assert_eq!(open(&SigningKey::generate(), &link), None);
        for index in 0..link.len() {
            for other in ["A", "0", ".", "-", "%"] {
                let changed = format!("{}{other}{}", &link[..index], &link[index + 1..]);
                if changed != link {
                    assert_eq!(open(&key, &changed), None, "{changed}");
                }
            }
            assert_eq!(open(&key, &link[..index]), None);
        }
        for wrong in
            ["", ".", "..", "...", "a.b.c", &format!("{link}="), &format!("{link}."), &link.to_uppercase()]
        {
            assert_eq!(open(&key, wrong), None, "{wrong}");
        }
        assert_eq!(open(&key, &"a.".repeat(100_000)), None);
    }

    #[test]
    fn a_link_with_a_later_end_is_forged() {
        let (key, id) = (SigningKey::generate(), Uuid::from_u128(7));
        let link = seal(&key, id, Timestamp::from_second(1_800_000_000).expect("a time"));
        assert_eq!(open(&key, &link.replace(".1800000000.", ".1900000000.")), None);
    }
}

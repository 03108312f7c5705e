//! Who takes part: tenants, and the hosts, users, files and attackers of one incident.
//!
//! Hosts and users belong to the tenant and come back in later incidents; the attacker belongs to the incident.

use crate::world::dice::{Dice, derive};

/// What alerts need to know about their tenant.
#[derive(Debug, Clone)]
pub(crate) struct TenantFacts {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) domain: String,
    pub(crate) netbios: String,
    pub(crate) seed: u64,
}

const FIRST: &[&str] = &[
    "Contoso",
    "Fabrikam",
    "Northwind",
    "Tailspin",
    "Woodgrove",
    "Alder",
    "Brightwater",
    "Cobalt",
    "Drummond",
    "Eastgate",
    "Fernhill",
    "Granite",
    "Harborlight",
    "Ironbridge",
    "Juniper",
    "Kestrel",
    "Lakeshore",
    "Meridian",
    "Norrland",
    "Oakhurst",
    "Pinecrest",
    "Quayside",
    "Riverbend",
    "Silverline",
    "Thornbury",
    "Umbra",
    "Valemont",
    "Westmark",
    "Yarrow",
    "Zephyr",
    "Alpenblick",
    "Birkenfeld",
    "Cedarwood",
    "Delacroix",
    "Elmstead",
    "Falkenberg",
    "Goldleaf",
    "Hallström",
    "Isarwerk",
    "Jadestone",
    "Kronborg",
    "Lindqvist",
    "Marlowe",
    "Nightingale",
    "Ostermann",
    "Polaris",
    "Rosendal",
    "Stellan",
    "Trident",
    "Wolfram",
];
const TRADE: &[&str] = &[
    "Health",
    "Logistics",
    "Bank",
    "Energy",
    "Foods",
    "Insurance",
    "Legal",
    "Media",
    "Motors",
    "Pharma",
    "Properties",
    "Retail",
    "Robotics",
    "Schools",
    "Shipping",
    "Steel",
    "Telecom",
    "Textiles",
    "Travel",
    "Water",
    "Aerospace",
    "Biotech",
    "Chemicals",
    "Consulting",
    "Dairy",
    "Engineering",
    "Farms",
    "Gaming",
    "Hotels",
    "Instruments",
    "Mining",
    "Optics",
    "Paper",
    "Rail",
    "Solar",
    "Studios",
    "Timber",
    "Tools",
    "Ventures",
    "Works",
];
const REGION: &[&str] =
    &["Nordic", "Iberia", "Asia", "Americas", "Africa", "Benelux", "Baltic", "Pacific", "Alpine", "Gulf"];

/// The tenant of that number; no two numbers share a name, domain or id.
pub(crate) fn tenant(world_seed: u64, number: u64) -> TenantFacts {
    let (firsts, trades) = (FIRST.len() as u64, TRADE.len() as u64);
    let shifted = number.wrapping_add(world_seed % 1009 * 37);
    let round = shifted / (firsts * trades);
    let first = shifted % firsts;
    let trade = (shifted / firsts + first * 7) % trades;
    let at = |list: &[&'static str], index: u64| list[usize::try_from(index).unwrap_or(0)];
    let mut name = format!("{} {}", at(FIRST, first), at(TRADE, trade));
    if let Some(round) = round.checked_sub(1) {
        name.push(' ');
        name.push_str(at(REGION, round % REGION.len() as u64));
        if round >= REGION.len() as u64 {
            name.push_str(&format!(" {}", round / REGION.len() as u64 + 1));
        }
    }
    let slug = ascii(&name);
    let seed = derive(&[world_seed, 0x7e4a_4e75, number]);
    TenantFacts {
        id: Dice::new(seed).guid(),
        netbios: slug.replace('-', "").to_uppercase().chars().take(15).collect(),
        domain: format!("{slug}.example"),
        name,
        seed,
    }
}

/// The facts of the provider's own tenant.
pub(crate) fn provider(world_seed: u64) -> TenantFacts {
    let seed = derive(&[world_seed, 0x7e4a_4e75, u64::MAX]);
    TenantFacts {
        id: Dice::new(seed).guid(),
        name: "Muster Security Services".to_owned(),
        domain: "provider.example".to_owned(),
        netbios: "PROVIDER".to_owned(),
        seed,
    }
}

fn ascii(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .map(|letter| match letter {
            'ä' | 'å' => 'a',
            'ö' => 'o',
            'ü' => 'u',
            letter if letter.is_ascii_alphanumeric() => letter,
            _ => '-',
        })
        .collect()
}

/// A computer of a tenant.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) device_id: String,
    pub(crate) entra_id: Option<String>,
    pub(crate) address: String,
    pub(crate) platform: &'static str,
    pub(crate) build: i64,
    pub(crate) version: &'static str,
    pub(crate) group: (i64, &'static str),
}

/// A person of a tenant.
pub(crate) struct User {
    pub(crate) account: String,
    pub(crate) display: String,
    pub(crate) sid: String,
    pub(crate) entra_id: String,
}

/// The parts of one incident.
pub(crate) struct Cast<'a> {
    pub(crate) tenant: &'a TenantFacts,
    pub(crate) hosts: [Host; 3],
    pub(crate) users: [User; 3],
    pub(crate) attacker_address: String,
    pub(crate) attacker_domain: String,
    pub(crate) malware: &'static (&'static str, &'static str, &'static str),
    pub(crate) file: String,
    pub(crate) sha1: String,
    pub(crate) sha256: String,
    pub(crate) mail_subject: &'static str,
}

const GIVEN: &[&str] = &[
    "Amara", "Björn", "Chen", "Daniela", "Elif", "Farid", "Greta", "Hiro", "Ines", "Jonas", "Katarina",
    "Liam", "Mei", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Sven", "Tomasz", "Ulla", "Victor", "Wendy",
    "Xavier", "Yusuf", "Zoë",
];
const FAMILY: &[&str] = &[
    "Andersson",
    "Becker",
    "Castillo",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Haddad",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Lindgren",
    "Müller",
    "Nakamura",
    "Okafor",
    "Patel",
    "Rossi",
    "Schneider",
    "Tanaka",
    "Virtanen",
    "Wang",
    "Yilmaz",
    "Zimmermann",
];
/// Display name, family, short detection name.
const MALWARE: &[(&str, &str, &str)] = &[
    ("Trojan:Win32/Emotet!ml", "Emotet", "Emotet"),
    ("Trojan:Win64/CobaltStrike.AMZ", "CobaltStrike", "CobaltStrike"),
    ("Ransom:Win32/LockBit.HA!MTB", "LockBit", "LockBit"),
    ("HackTool:Win32/Mimikatz.D", "Mimikatz", "Mimikatz"),
    ("Trojan:Script/Wacatac.H!ml", "Wacatac", "Wacatac"),
    ("Backdoor:Win32/Qakbot.PA!MTB", "Qakbot", "Qakbot"),
    ("Behavior:Win32/Raspberryrobin.B", "RaspberryRobin", "Raspberryrobin"),
    ("TrojanDownloader:O97M/Dridex.AL", "Dridex", "Dridex"),
];
const FILES: &[&str] = &[
    "invoice_2281.docm",
    "update.dll",
    "svchost32.exe",
    "payroll-q3.xlsm",
    "7zG.exe",
    "stage2.ps1",
    "rclone.exe",
    "procdump64.exe",
    "remit advice.pdf.exe",
    "winlogon.scr",
    "libcurl.so",
    "AnyDesk.exe",
];
const SUBJECTS: &[&str] = &[
    "Overdue invoice 88-20417",
    "Your mailbox is almost full",
    "Payroll change request",
    "Réf. commande n° 4471",
    "Shared with you: Budget 2027.xlsx",
    "Ihre Sendung wartet auf Sie",
    "Voicemail from +46 8 555 010 22",
    "Action required: password expires today",
];

impl<'a> Cast<'a> {
    pub(crate) fn of_incident(tenant: &'a TenantFacts, incident: u64) -> Self {
        let mut dice = Dice::derived(&[tenant.seed, 0xca57, incident]);
        let mut host = || host(tenant, dice.below(60));
        let hosts = [host(), host(), host()];
        let mut user = || user(tenant, dice.below(200));
        let users = [user(), user(), user()];
        Self {
            tenant,
            hosts,
            users,
            attacker_address: public_address(&mut dice),
            attacker_domain: format!(
                "{}-{}.{}",
                dice.pick(&["cdn", "update", "secure", "login", "files", "mail"]),
                dice.hex(5),
                dice.pick(&["test", "invalid", "example"])
            ),
            malware: dice.pick(MALWARE),
            file: (dice.choose(FILES)).to_owned(),
            sha1: dice.hex(40),
            sha256: dice.hex(64),
            mail_subject: dice.choose(SUBJECTS),
        }
    }
}

/// An address of a block set aside for documentation: the world never names a real machine.
pub(crate) fn public_address(dice: &mut Dice) -> String {
    let block = dice.pick(&["192.0.2", "198.51.100", "203.0.113"]);
    format!("{block}.{}", dice.between(1, 254))
}

fn host(tenant: &TenantFacts, number: u64) -> Host {
    let mut dice = Dice::derived(&[tenant.seed, 0x4057, number]);
    let (platform, build, version) = dice.choose(&[
        ("Windows11", 26100, "24H2"),
        ("Windows11", 22631, "23H2"),
        ("Windows10", 19045, "22H2"),
        ("WindowsServer2022", 20348, "21H2"),
        ("WindowsServer2019", 17763, "1809"),
        ("Linux", 0, "Ubuntu 24.04"),
        ("macOS", 0, "15.1"),
    ]);
    let role = match platform {
        "WindowsServer2022" | "WindowsServer2019" => dice.choose(&["dc", "sql", "file", "web", "app"]),
        "Linux" => dice.choose(&["k8s", "web", "build"]),
        _ => dice.choose(&["lt", "ws", "pc", "kiosk"]),
    };
    Host {
        name: format!("{}-{role}{number:03}", tenant.netbios.to_lowercase().get(..4).unwrap_or("host")),
        device_id: dice.hex(40),
        entra_id: dice.chance(0.8).then(|| dice.guid()),
        address: format!("10.{}.{}.{}", dice.between(0, 40), dice.between(0, 255), dice.between(2, 254)),
        platform,
        build,
        version,
        group: dice.choose(&[
            (12, "Servers"),
            (75, "Clients"),
            (31, "Privileged access"),
            (8, "UnassignedGroup"),
        ]),
    }
}

fn user(tenant: &TenantFacts, number: u64) -> User {
    let mut dice = Dice::derived(&[tenant.seed, 0x05e4, number]);
    let (given, family) = (dice.choose(GIVEN), dice.choose(FAMILY));
    let domain_sid = Dice::derived(&[tenant.seed, 0x51d]).below(4_000_000_000);
    User {
        account: format!("{}.{}{number}", ascii_letters(given), ascii_letters(family)),
        display: format!("{given} {family}"),
        sid: format!("S-1-5-21-{domain_sid}-{}-{}", tenant.seed % 3_000_000_019, 1100 + number),
        entra_id: dice.guid(),
    }
}

fn ascii_letters(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .map(|letter| match letter {
            'ö' => 'o',
            'ü' => 'u',
            'í' => 'i',
            'ë' => 'e',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ten_thousand_tenants_have_ten_thousand_names() {
        let all: Vec<_> = (0..10_000).map(|number| tenant(7, number)).collect();
        assert_eq!(all.iter().map(|t| &t.name).collect::<HashSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(|t| &t.domain).collect::<HashSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(|t| &t.id).collect::<HashSet<_>>().len(), all.len());
        assert!(all.iter().all(|t| t.domain.is_ascii()));
    }
}

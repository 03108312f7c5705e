//! The objects that OCSF events are made of: device, user, file, process and the like, out of the typed view.
//!
//! An object that OCSF would not accept, for want of what it requires, is left out; its facts are then in
//! `observables`, and in Microsoft's own words in `evidences[].data` or `unmapped`.

use std::net::IpAddr;

use muster_model::json::Text;
use muster_model::json::Value;

use crate::formats::view::tables::same;
use crate::formats::view::{Device, File, Process, User, bare_url};

use super::writer::{Json, time};

/// The device's own fields, and its addresses. Left out when it has neither name, id nor address.
pub(super) fn device(json: &mut Json<'_>, key: &str, device: &Device<'_>, interfaces: &[Text<'_>]) {
    let interfaces: Vec<_> = interfaces.iter().copied().filter(|text| is_address(*text)).collect();
    let address = if is_address(device.last_address) {
        device.last_address
    } else {
        interfaces.first().copied().unwrap_or_default()
    };
    let known = [device.id, device.entra_id, device.dns_name, device.host_name, device.vm_id, address];
    if known.iter().all(|text| text.is_blank()) {
        return;
    }
    json.object(key, |json| {
        let platform = device.os_platform;
        json.choice(
            "type",
            if contains(platform, "server") || same(device.kind.as_written(), "server") {
                (1, "Server")
            } else if ["workstation", "desktop"].iter().any(|kind| same(device.kind.as_written(), kind)) {
                (2, "Desktop")
            } else if same(device.kind.as_written(), "mobile") {
                (5, "Mobile")
            } else if !device.vm_id.is_blank() {
                (6, "Virtual")
            } else {
                (0, "Unknown")
            },
        );
        let id = device.id.or(device.entra_id);
        json.text("uid", id);
        if device.entra_id != id {
            json.text("uid_alt", device.entra_id);
        }
        json.text("hostname", device.name());
        if !device.dns_name.is_blank() {
            json.text("name", device.host_name);
        }
        json.text("domain", device.domain());
        json.text("ip", address);
        mac(json, device.mac);
        json.list("network_interfaces", |json| {
            for address in interfaces {
                json.item(|json| {
                    json.text("ip", address);
                    json.choice("type", (0, "Unknown"));
                });
            }
        });
        operating_system(json, device);
        json.text("instance_uid", device.vm_id);
        if let Some(level) = risk_level(device.risk_score) {
            json.choice("risk_level", level);
        }
        json.list("groups", |json| {
            json.item(|json| {
                json.text("name", device.group);
                json.text("uid", device.group_id);
            });
        });
        json.time("first_seen_time", time(device.first_seen_at));
        match device.onboarding_status.as_written() {
            status if same(status, "onboarded") => json.boolean("is_managed", true),
            status if same(status, "canBeOnboarded") => json.boolean("is_managed", false),
            _ => {}
        }
    });
}

fn operating_system(json: &mut Json<'_>, device: &Device<'_>) {
    if device.os_platform.is_blank() {
        return;
    }
    json.object("os", |json| {
        json.text("name", device.os_platform);
        let named = |word| contains(device.os_platform, word);
        let linux = [
            "linux", "ubuntu", "debian", "centos", "redhat", "rhel", "suse", "fedora", "oracle", "alma",
            "rocky",
        ];
        json.choice(
            "type",
            if named("windows") {
                (100, "Windows")
            } else if named("macos") || named("mac os") {
                (300, "macOS")
            } else if named("ios") {
                (301, "iOS")
            } else if named("android") {
                (201, "Android")
            } else if linux.iter().any(|word| named(word)) {
                (200, "Linux")
            } else {
                (0, "Unknown")
            },
        );
        json.text("version", device.os_version);
        json.text("build", device.os_build);
    });
}

/// A risk score in words.
fn risk_level(score: Text<'_>) -> Option<(i64, &'static str)> {
    let levels = [
        ("none", (0, "Info")),
        ("informational", (0, "Info")),
        ("low", (1, "Low")),
        ("medium", (2, "Medium")),
        ("high", (3, "High")),
    ];
    levels.into_iter().find(|(word, _)| same(score.as_written(), word)).map(|(_, level)| level)
}

/// An account. Left out when it has neither a name nor an id.
pub(super) fn user(json: &mut Json<'_>, key: &str, user: &User<'_>) {
    if !user.name().is_blank() {
        json.object(key, |json| user_fields(json, user));
    }
}

/// What [`user`] writes into the object.
pub(super) fn user_fields(json: &mut Json<'_>, user: &User<'_>) {
    json.text("name", user.account.or(user.principal).or(user.display_name));
    json.text("domain", user.domain);
    let id = user.sid.or(user.entra_id);
    json.text("uid", id);
    if user.entra_id != id {
        json.text("uid_alt", user.entra_id);
    }
    json.text("full_name", user.display_name);
    mail_address(json, "email_addr", user.principal);
    let system = matches!(user.sid.as_written(), "S-1-5-18" | "S-1-5-19" | "S-1-5-20");
    json.choice("type", if system { (3, "System") } else { (1, "User") });
}

/// An account of which one text is known, such as the one an incident is assigned to.
pub(super) fn person(json: &mut Json<'_>, key: &str, who: Text<'_>) {
    json.object(key, |json| match who.as_written().split_once('@') {
        Some((name, domain)) if is_mail_address(who) => {
            json.text("name", Text::as_in_json(name));
            json.text("domain", Text::as_in_json(domain));
            json.text("email_addr", who);
            json.choice("type", (1, "User"));
        }
        _ if who.is_blank() || same(who.as_written(), "Unassigned") => {
            json.word("name", "Unassigned");
            json.choice("type", (0, "Unknown"));
        }
        _ => {
            json.text("name", who);
            json.choice("type", (1, "User"));
        }
    });
}

/// A file. One without a name is called by its path, and one without either by a hash.
pub(super) fn file(json: &mut Json<'_>, key: &str, file: &File<'_>) {
    file_with(json, key, file, Value::default(), Text::default());
}

/// A file with the hashes of `hashes` (Graph's `fileHash` objects) besides its own, found at `url`.
pub(super) fn file_with(json: &mut Json<'_>, key: &str, file: &File<'_>, hashes: Value<'_>, url: Text<'_>) {
    let [sha1, sha256, md5, sha256_ac] = file.hashes();
    let first = hashes.items().map(|hash| hash.text_of("value")).find(|text| !text.is_blank());
    let name =
        file.name.or(file.path).or(sha256).or(sha1).or(md5).or(sha256_ac).or(first.unwrap_or_default());
    if name.is_blank() {
        return;
    }
    json.object(key, |json| {
        json.text("name", name);
        json.choice("type", (1, "Regular File"));
        let (folder, whole) = folder_of(file);
        if whole {
            json.text("path", file.path);
        } else if !folder.is_blank() {
            json.joined("path", &[folder, file.name], separator_of(folder));
        }
        json.text("parent_folder", folder);
        json.integer("size", file.size);
        json.text("company_name", file.publisher);
        json.list("hashes", |json| {
            for (value, algorithm) in [
                (sha256, (3, "SHA-256")),
                (sha1, (2, "SHA-1")),
                (md5, (1, "MD5")),
                (sha256_ac, (99, "SHA-256 of Authenticode")),
            ] {
                hash(json, value, algorithm);
            }
            for item in hashes.items() {
                let name = item.text_of("algorithm");
                let known = [("md5", (1, "MD5")), ("sha1", (2, "SHA-1")), ("sha256", (3, "SHA-256"))];
                let algorithm = known
                    .into_iter()
                    .find(|(word, _)| same(name.as_written(), word))
                    .map_or((0, "Unknown"), |(_, algorithm)| algorithm);
                hash(json, item.text_of("value"), algorithm);
            }
        });
        url_object(json, "url", url);
    });
}

/// A URL, with the host it leads to where that is beyond doubt.
pub(super) fn url_object(json: &mut Json<'_>, key: &str, text: Text<'_>) {
    let text = bare_url(text);
    json.object(key, |json| {
        json.text("url_string", text);
        if let Some((scheme, rest)) = text.as_written().split_once("://") {
            let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
            let (host, port) = match rest[..end].rsplit_once(':') {
                Some((host, port)) if port.parse::<u16>().is_ok() => (host, port),
                _ => (&rest[..end], ""),
            };
            let plain = |text: &str, more: &[u8]| {
                !text.is_empty()
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
            };
            if plain(scheme, b"+-.") && plain(host, b"-._") {
                json.text("scheme", Text::as_in_json(scheme));
                json.text("hostname", Text::as_in_json(host));
                json.port("port", Text::as_in_json(port));
            }
        }
    });
}

/// A hash in a list, unless it is blank.
pub(super) fn hash(json: &mut Json<'_>, value: Text<'_>, algorithm: (i64, &str)) {
    if !value.is_blank() {
        json.item(|json| {
            json.choice("algorithm", algorithm);
            json.text("value", value);
        });
    }
}

/// The folder of a file, and whether its path is the whole path already, as in hunting rows.
fn folder_of<'a>(file: &File<'a>) -> (Text<'a>, bool) {
    let (path, name) = (file.path.as_written(), file.name.as_written());
    let Some(start) = path.len().checked_sub(name.len()).filter(|_| !name.is_empty()) else {
        return (file.path, false);
    };
    let ends = path.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(name));
    match path.get(..start) {
        Some(folder) if ends && (folder.is_empty() || folder.ends_with(['\\', '/'])) => {
            let folder = folder.strip_suffix("\\\\").or_else(|| folder.strip_suffix('/')).unwrap_or(folder);
            (Text::as_in_json(folder), true)
        }
        _ if file.path_is_of_another() => {
            let at =
                path.rfind(['/', '\\']).map_or(0, |at| if path[..at].ends_with('\\') { at - 1 } else { at });
            (Text::as_in_json(&path[..at]), true)
        }
        _ => (file.path, false),
    }
}

fn separator_of(folder: Text<'_>) -> char {
    if folder.as_written().contains('/') && !folder.as_written().contains('\\') { '/' } else { '\\' }
}

/// What is known of a process besides the typed view.
#[derive(Default)]
pub(super) struct ProcessMore<'a> {
    /// The account that it runs as.
    pub(super) user: User<'a>,
    /// Windows' integrity level.
    pub(super) integrity: Text<'a>,
    /// What stands for the process where nobody tells its number: OCSF wants something that identifies it.
    pub(super) uid: Text<'a>,
    pub(super) working_directory: Text<'a>,
    /// The logon session that it runs in.
    pub(super) session: Text<'a>,
}

/// A process with its parent. Left out when neither its number nor `more.uid` is known.
pub(super) fn process(json: &mut Json<'_>, key: &str, process: &Process<'_>, more: &ProcessMore<'_>) {
    let number = process_number(process.id);
    if number.is_none() && (more.uid.is_blank() || process.is_blank()) {
        return;
    }
    json.object(key, |json| {
        match number {
            Some(number) => json.number("pid", number),
            None => json.text("uid", more.uid),
        }
        json.text("name", process.image.name);
        json.text("cmd_line", process.command_line);
        json.time("created_time", time(process.created_at));
        file(json, "file", &process.image);
        user(json, "user", &more.user);
        if let Some(level) = integrity_level(more.integrity) {
            json.choice("integrity", level);
        }
        json.text("working_directory", more.working_directory);
        json.object("session", |json| json.text("uid", more.session));
        if let Some(parent) = process_number(process.parent_id) {
            json.object("parent_process", |json| {
                json.number("pid", parent);
                json.text("name", process.parent_image.name);
                json.text("cmd_line", process.parent_command_line);
                json.time("created_time", time(process.parent_created_at));
                file(json, "file", &process.parent_image);
            });
        }
    });
}

/// The number of a process, if it is one. Windows writes 0 where it knows none, and for its idle process.
pub(super) fn process_number(text: Text<'_>) -> Option<i64> {
    text.as_written().parse::<u32>().ok().filter(|number| *number > 0).map(i64::from)
}

fn integrity_level(text: Text<'_>) -> Option<(i64, &'static str)> {
    let levels = [
        ("Untrusted", (1, "Untrusted")),
        ("Low", (2, "Low")),
        ("Medium", (3, "Medium")),
        ("High", (4, "High")),
        ("System", (5, "System")),
        ("Protected", (6, "Protected")),
    ];
    levels.into_iter().find(|(word, _)| same(text.as_written(), word)).map(|(_, level)| level)
}

/// One end of a connection. Left out when nothing tells which it is.
pub(super) fn endpoint(json: &mut Json<'_>, key: &str, end: &Endpoint<'_>) {
    let address = is_address(end.address);
    let name = if address { end.name } else { end.name.or(end.address) };
    // What stands where there is none.
    let name = if name.as_written() == "-" { Text::default() } else { name };
    if !address && name.is_blank() && end.uid.is_blank() {
        return;
    }
    json.object(key, |json| {
        if address {
            json.text("ip", end.address);
        }
        json.text("hostname", name);
        json.text("uid", end.uid);
        json.port("port", end.port);
        mac(json, end.mac);
        json.text("svc_name", end.service);
        location(json, end.country, end.location);
    });
}

/// What is known of one end of a connection.
#[derive(Default)]
pub(super) struct Endpoint<'a> {
    pub(super) address: Text<'a>,
    pub(super) port: Text<'a>,
    pub(super) name: Text<'a>,
    pub(super) uid: Text<'a>,
    pub(super) mac: Text<'a>,
    pub(super) service: Text<'a>,
    pub(super) country: Text<'a>,
    /// Where it is: Graph's `geoLocation`, or an object with its keys.
    pub(super) location: Location<'a>,
}

/// Where something is.
#[derive(Default, Clone, Copy)]
pub(super) struct Location<'a> {
    pub(super) city: Text<'a>,
    pub(super) region: Text<'a>,
    pub(super) country: Text<'a>,
    pub(super) latitude: Text<'a>,
    pub(super) longitude: Text<'a>,
}

fn location(json: &mut Json<'_>, country: Text<'_>, place: Location<'_>) {
    let country = country.or(place.country);
    if [place.city, place.region, country].iter().all(|text| text.is_blank()) {
        return;
    }
    json.object("location", |json| {
        json.text("city", place.city);
        json.text("region", place.region);
        json.text("country", country);
        json.float("lat", place.latitude);
        json.float("long", place.longitude);
    });
}

/// A MAC address, whichever way its bytes are kept apart.
fn mac(json: &mut Json<'_>, text: Text<'_>) {
    let digits: Vec<char> =
        text.as_written().chars().filter(|character| !matches!(character, ':' | '-' | '.')).collect();
    if digits.len() == 12 && digits.iter().all(char::is_ascii_hexdigit) {
        let pairs: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
        json.plain("mac", &pairs.join(":"));
    }
}

/// Whether a text is an IP address that OCSF takes.
pub(super) fn is_address(text: Text<'_>) -> bool {
    text.as_written().len() <= 40 && text.as_written().parse::<IpAddr>().is_ok()
}

/// Whether a text is a mail address that OCSF takes.
pub(super) fn is_mail_address(text: Text<'_>) -> bool {
    let Some((local, domain)) = text.as_written().split_once('@') else { return false };
    let local_fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+,-./=?^_`{|}~".contains(&byte);
    let domain_fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let (first, rest) = domain.split_once('.').unwrap_or_default();
    !local.is_empty()
        && local.bytes().all(local_fits)
        && !first.is_empty()
        && !rest.is_empty()
        && domain.bytes().all(domain_fits)
}

/// A mail address, unless it is none.
pub(super) fn mail_address(json: &mut Json<'_>, key: &str, text: Text<'_>) {
    if is_mail_address(text) {
        json.text(key, text);
    }
}

/// Whether an ASCII word is in a text, in upper or lower case.
pub(super) fn contains(text: Text<'_>, word: &str) -> bool {
    text.as_written()
        .as_bytes()
        .windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{File, Text, folder_of, is_address, is_mail_address};

    #[test]
    fn only_what_ocsf_takes_is_an_address() {
        for (text, mail) in [
            ("a@b.example", true),
            ("a.b+c_d'e@b-c.d.example", true),
            ("a@b", false),
            ("@b.example", false),
            ("a b@c.example", false),
            ("<x@y.example>", false),
            ("a@.example", false),
            ("å@b.example", false),
        ] {
            assert_eq!(is_mail_address(Text::as_in_json(text)), mail, "{text}");
        }
        assert!(is_address(Text::as_in_json("fe80::1")));
        assert!(!is_address(Text::as_in_json("10.0.0.0/8")));
    }

    #[test]
    fn folders_are_told_from_whole_paths() {
        let folder = |path, name| {
            let (path, name) = (Text::as_in_json(path), Text::as_in_json(name));
            let (folder, whole) = folder_of(&File { path, name, ..File::default() });
            (folder.as_written(), whole)
        };
        assert_eq!(folder("C:\\\\a", "b.exe"), ("C:\\\\a", false));
        assert_eq!(folder("C:\\\\a\\\\B.exe", "b.exe"), ("C:\\\\a", true));
        assert_eq!(folder("/a/b", "b"), ("/a", true));
        assert_eq!(folder("c:\\\\app\\\\launcher.EXE", "worker.exe"), ("c:\\\\app", true));
        assert_eq!(folder("/opt/lib/a.so", "b"), ("/opt/lib", true));
        assert_eq!(folder("a.exe", "b.exe"), ("", true));
        assert_eq!(folder("C:\\\\v1.0", "powershell.exe"), ("C:\\\\v1.0", false));
        assert_eq!(folder("C:\\\\ab", "b"), ("C:\\\\ab", false));
        assert_eq!(folder("", "b"), ("", false));
        assert_eq!(folder("C:\\\\a", ""), ("C:\\\\a", false));
    }
}

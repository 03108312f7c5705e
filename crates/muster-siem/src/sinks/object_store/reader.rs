//! Reads what others have put into a bucket, a container or a folder. Nothing is ever changed there.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use muster_http::Client;
use muster_model::{ListedBlob, Trouble};

use super::address::ObjectUrl;
use super::bucket::{Bucket, UsedBy};
use super::found::{Piece, ReadTrouble};
use super::place::ObjectPlace;
use crate::sinks::http::{self, Connection};
use crate::sinks::settings::Surroundings;

/// More blobs than this are not looked through every minute.
const BLOBS_MAX: usize = 200_000;
/// And not for longer.
const LISTING_MAX: Duration = Duration::from_secs(300);
/// Requests that are on their way at once, of all tenants of a stream.
const REQUESTS_MAX: usize = 16;
/// How deep folders are looked through.
const FOLDERS_DEEP_MAX: usize = 32;

/// What lies in a place.
#[derive(Debug)]
pub struct ObjectReader {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Bucket(Bucket),
    Folder(PathBuf),
}

/// What lies there now.
#[derive(Debug, Default)]
pub struct Listing {
    /// All of it, in no order.
    pub blobs: Vec<ListedBlob>,
    /// What is left alone, as far as it can be shown: files whose names are no text, links, what is no file, and folders that
    /// are too deep.
    pub odd: Vec<String>,
}

impl ObjectReader {
    /// The client by which places are read.
    ///
    /// # Errors
    /// What is wrong with the CA file or the proxy, in words for the operator.
    pub fn client(place: &ObjectPlace, around: &Surroundings<'_>) -> Result<Client, String> {
        let ca_file = around.path(place.ca_file.as_ref());
        let connection = Connection { large_answers: true, ..Connection::default() };
        let headers = reqwest::header::HeaderMap::new();
        let (proxy, timeout) = (around.proxy.clone()?, place.timeout.0);
        http::client_with(headers, timeout, ca_file.as_deref(), proxy, REQUESTS_MAX, connection)
    }

    /// A place that is read by `client`. Nothing is asked yet.
    ///
    /// # Errors
    /// What is wrong with its settings, or which secret cannot be had, in words for the operator.
    pub fn open(place: &ObjectPlace, around: &Surroundings<'_>, client: Client) -> Result<Self, String> {
        if let Some(mistake) = place.mistakes().into_iter().next() {
            return Err(mistake);
        }
        let place = match &place.url {
            ObjectUrl::Folder(folder) => Place::Folder(folder.clone()),
            _ => Place::Bucket(Bucket::build(place, around, client, UsedBy::Stream)?),
        };
        Ok(Self { place })
    }

    /// All that lies there.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub async fn list(&self) -> Result<Listing, Trouble> {
        let listed = tokio::time::timeout(LISTING_MAX, self.list_all()).await;
        listed.unwrap_or_else(|_| Err(too_many("it takes longer than five minutes to list them")))
    }

    async fn list_all(&self) -> Result<Listing, Trouble> {
        let bucket = match &self.place {
            Place::Folder(folder) => {
                let folder = folder.clone();
                return on_disk(move || list_folder(&folder)).await;
            }
            Place::Bucket(bucket) => bucket,
        };
        let (mut listing, mut token) = (Listing::default(), None);
        loop {
            let (page, next) = bucket.list(token).await?;
            listing.blobs.extend(page);
            if listing.blobs.len() > BLOBS_MAX {
                return Err(too_many("there are more than 200,000"));
            }
            match next {
                Some(next) => token = Some(next),
                None => return Ok(listing),
            }
        }
    }

    /// Some bytes of a blob as it is now.
    ///
    /// # Errors
    /// See [`ReadTrouble`].
    pub async fn read(&self, name: &str, range: Range<u64>) -> Result<Piece, ReadTrouble> {
        match &self.place {
            Place::Bucket(bucket) => bucket.read(name, range).await,
            Place::Folder(folder) => {
                let path = folder.join(name);
                let read = tokio::task::spawn_blocking(move || read_file(&path, range)).await;
                let lost = |error: tokio::task::JoinError| ReadTrouble::Down(trouble(error.to_string()));
                read.map_err(lost)?
            }
        }
    }
}

fn trouble(reason: String) -> Trouble {
    Trouble { reason, after: None }
}

fn too_many(why: &str) -> Trouble {
    trouble(format!(
        "too many blobs lie there ({why}): let a lifecycle rule delete old ones, or set a deeper url"
    ))
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(trouble(error.to_string())))
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Trouble {
    let what = match error.kind() {
        io::ErrorKind::NotFound => ": make it, mount what belongs there, or mend the stream's url",
        io::ErrorKind::PermissionDenied => ": give the user that Muster runs as the right to read there",
        _ => "",
    };
    trouble(format!("cannot {doing} {}: {error}{what}", path.display()))
}

/// All files below a folder. Links are not followed, but told; what begins with a dot is under way or not for us.
fn list_folder(root: &Path) -> Result<Listing, Trouble> {
    let (mut listing, mut folders) = (Listing::default(), vec![(root.to_owned(), 0)]);
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // It went meanwhile.
            Err(error) if depth > 0 && error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("list", &folder, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| failed("list", &folder, &error))?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("look at", &path, &error)),
            };
            let name = path.strip_prefix(root).ok().and_then(Path::to_str);
            match name.filter(|_| metadata.is_file()) {
                _ if metadata.is_dir() && depth < FOLDERS_DEEP_MAX => folders.push((path, depth + 1)),
                Some(name) => listing.blobs.push(of_file(name, &metadata)),
                // What may lie behind it, nobody has read.
                None => listing.odd.push(path.display().to_string()),
            }
        }
        if listing.blobs.len() > BLOBS_MAX {
            return Err(too_many("there are more than 200,000"));
        }
    }
    Ok(listing)
}

fn of_file(name: &str, metadata: &fs::Metadata) -> ListedBlob {
    // Copies keep the time of the content; when the file itself changed last, nobody can set.
    let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
    let modified = Timestamp::from_nanosecond(changed).unwrap_or(Timestamp::UNIX_EPOCH);
    ListedBlob { name: name.to_owned(), etag: tag(metadata), size: metadata.len(), modified }
}

fn tag(metadata: &fs::Metadata) -> String {
    let (written, changed) =
        ((metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec()));
    format!("{:x}-{:x}-{written:x?}-{changed:x?}", metadata.ino(), metadata.len())
}

fn read_file(path: &Path, range: Range<u64>) -> Result<Piece, ReadTrouble> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ReadTrouble::Gone,
        _ => ReadTrouble::Refused(failed("read", path, &error)),
    };
    // Never through a link that has taken its place, and never waiting for what is no file.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(refused)?;
    let metadata = file.metadata().map_err(refused)?;
    if !metadata.is_file() {
        return Err(ReadTrouble::Gone);
    }
    if metadata.len() <= range.start {
        return Err(ReadTrouble::Changed);
    }
    let length = range.end.min(metadata.len()) - range.start;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    match file.read_exact_at(&mut bytes, range.start) {
        Ok(()) => Ok(Piece { bytes: bytes.into(), etag: tag(&metadata), size: metadata.len() }),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ReadTrouble::Changed),
        Err(error) => Err(refused(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn a_folder_is_listed_and_its_files_read() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("a/b")).expect("made");
        fs::write(at("a/b/c.json"), b"0123456789").expect("written");
        fs::write(at("a/.under-way"), b"x").expect("written");
        symlink(at("a/b/c.json"), at("link")).expect("a link");
        symlink(at("a"), at("loop")).expect("a link");
        fs::write(root.path().join(OsStr::from_bytes(b"\xff.json")), b"x").expect("written");
        let reader = ObjectReader { place: Place::Folder(root.path().to_owned()) };
        let listing = reader.list().await.expect("listed");
        let [blob] = listing.blobs.as_slice() else { panic!("{listing:?}") };
        assert_eq!((blob.name.as_str(), blob.size, listing.odd.len()), ("a/b/c.json", 10, 3));
        assert!(listing.odd.iter().any(|odd| odd.ends_with("/link")), "{:?}", listing.odd);
        fs::remove_file(at("link")).expect("removed");
        fs::remove_file(at("loop")).expect("removed");
        let deep = vec!["d"; FOLDERS_DEEP_MAX + 1].join("/");
        fs::create_dir_all(at(&deep)).expect("made");
        let odd = reader.list().await.expect("listed").odd;
        assert!(
            odd.len() == 2 && odd.iter().any(|odd| odd.ends_with(&deep)),
            "what lies deeper is told: {odd:?}"
        );
        symlink(at("a/b/c.json"), at("link")).expect("a link");
        let piece = reader.read("a/b/c.json", 2..5).await.expect("read");
        assert_eq!((&piece.bytes[..], piece.size, &piece.etag), (&b"234"[..], 10, &blob.etag));
        let piece = reader.read("a/b/c.json", 8..500).await.expect("read");
        assert_eq!(&piece.bytes[..], b"89");
        assert!(matches!(reader.read("a/b/c.json", 10..20).await, Err(ReadTrouble::Changed)));
        assert!(matches!(reader.read("a/b/d.json", 0..1).await, Err(ReadTrouble::Gone)));
        assert!(matches!(reader.read("link", 0..1).await, Err(ReadTrouble::Refused(_))));
        // Another file in its place is another content, whatever its size and its time.
        fs::write(at("new"), b"9876543210").expect("written");
        fs::rename(at("new"), at("a/b/c.json")).expect("renamed");
        assert_ne!(reader.list().await.expect("listed").blobs[0].etag, blob.etag);
        let missing = ObjectReader { place: Place::Folder(at("missing")) };
        let why = missing.list().await.expect_err("it is not there").reason;
        assert!(why.contains("mend the stream's url"), "{why}");
    }
}

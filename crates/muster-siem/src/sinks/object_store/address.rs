//! Where objects go.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

/// The url of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ObjectUrl {
    /// `s3://bucket/prefix`
    S3 {
        /// The bucket.
        bucket: String,
        /// What every name begins with, without slashes around it.
        prefix: String,
    },
    /// `az://container/prefix`
    Azure {
        /// The container.
        container: String,
        /// What every name begins with, without slashes around it.
        prefix: String,
    },
    /// `gs://bucket/prefix`
    Google {
        /// The bucket.
        bucket: String,
        /// What every name begins with, without slashes around it.
        prefix: String,
    },
    /// `file:///folder`
    Folder(PathBuf),
}

impl ObjectUrl {
    /// What every name begins with; of a folder nothing.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self {
            Self::S3 { prefix, .. } | Self::Azure { prefix, .. } | Self::Google { prefix, .. } => prefix,
            Self::Folder(_) => "",
        }
    }
}

impl TryFrom<String> for ObjectUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // What was given is not shown: somebody may have put keys into it.
        let expected = || {
            "it must be s3://BUCKET/PREFIX, az://CONTAINER/PREFIX, gs://BUCKET/PREFIX or file:///FOLDER, without a user, a port, `?` or `#`"
                .to_owned()
        };
        if let Some(folder) = text.strip_prefix("file://") {
            // As it stands there: a folder's name may hold anything.
            return match folder.starts_with('/') && !folder.contains(['\0', '\n']) {
                true => Ok(Self::Folder(PathBuf::from(folder))),
                false => Err(expected()),
            };
        }
        let url = Url::parse(&text).map_err(|_| expected())?;
        let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
        if url.query().is_some()
            || url.fragment().is_some()
            || !(1..=222).contains(&name.len())
            || !name.bytes().all(fits)
        {
            return Err(expected());
        }
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() {
            safe_segments(prefix).map_err(|why| format!("its path {why}"))?;
        }
        let (name, prefix) = (name.to_owned(), prefix.to_owned());
        match scheme {
            "s3" => Ok(Self::S3 { bucket: name, prefix }),
            "az" => Ok(Self::Azure { container: name, prefix }),
            "gs" => Ok(Self::Google { bucket: name, prefix }),
            _ => Err(expected()),
        }
    }
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, name, prefix) = match self {
            Self::S3 { bucket, prefix } => ("s3", bucket, prefix),
            Self::Azure { container, prefix } => ("az", container, prefix),
            Self::Google { bucket, prefix } => ("gs", bucket, prefix),
            Self::Folder(folder) => return write!(f, "file://{}", folder.display()),
        };
        match prefix.as_str() {
            "" => write!(f, "{scheme}://{name}"),
            prefix => write!(f, "{scheme}://{name}/{prefix}"),
        }
    }
}

/// Whether these folders mean the same in every store and in a folder: nothing that is escaped, hidden or leads up.
pub(super) fn safe_segments(path: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._=".contains(&byte);
    for segment in path.split('/') {
        if segment.is_empty() {
            return Err("has an empty folder: two slashes, or one at its end or beginning".to_owned());
        }
        if segment.bytes().all(|byte| byte == b'.') {
            return Err(format!("has `{segment}` in it"));
        }
        if !segment.bytes().all(fits) {
            return Err(
                "may have letters, digits, `-`, `.`, `_` and `=` between its slashes, and nothing else"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused() {
        for good in
            ["s3://a-b.c", "s3://bucket/a/b=c", "az://container/x", "gs://b_1/p", "file:///var/spool/muster"]
        {
            let url = ObjectUrl::try_from(good.to_owned()).unwrap_or_else(|why| panic!("{good}: {why}"));
            assert_eq!(url.to_string(), good);
        }
        let trailing = ObjectUrl::try_from("s3://bucket/a/".to_owned()).expect("a url");
        assert_eq!((trailing.prefix(), trailing.to_string().as_str()), ("a", "s3://bucket/a"));
        for bad in [
            "",
            "bucket",
            "s3://",
            "s3:///x",
            "s3://UPPER",
            "s3://user@bucket",
            "s3://bucket:9/x",
            "s3://bucket/../x",
            "s3://bucket//x",
            "s3://bucket/a b",
            "s3://bucket/x?y=z",
            "http://bucket/x",
            "file://host/x",
            "file:x",
        ] {
            assert!(ObjectUrl::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}

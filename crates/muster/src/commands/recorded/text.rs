//! The text of a file, in whichever encoding.

use std::io::Read;
use std::path::Path;

use crate::read_file;

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// What stands for bytes that are no text: JSON allows it nowhere, so that the record they are in is told, not mended.
pub(super) const NO_TEXT: char = '\u{1}';

pub(super) fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    } else {
        read_file::open_or_pipe(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The text of a file in UTF-8, or in UTF-16 as PowerShell writes it.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is longer than {} MiB: cut it into files", FILE_BYTES_MAX >> 20));
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err("is compressed: unpack it first, as in `gunzip -c FILE | muster format … -`".to_owned());
    }
    let units = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0xfe, 0xff, rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ => None,
    };
    if let Some((rest, unit)) = units {
        let units = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text: String = char::decode_utf16(units).map(|read| read.unwrap_or(NO_TEXT)).collect();
        return Ok(text);
    }
    if memchr::memchr(0, &bytes).is_some() {
        return Err("is not text: it has bytes that are zero".to_owned());
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.as_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
            text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                text.push(NO_TEXT);
            }
            text
        }),
    };
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

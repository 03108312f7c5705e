//! A path with a template in it.

use std::path::Path;

use crate::formats::Template;

/// The template in a path, where there is one; or what is wrong with it.
pub(in crate::sinks) fn template(path: &Path) -> Result<Option<Template>, String> {
    let Some(text) = path.to_str().filter(|text| text.contains("{{")) else { return Ok(None) };
    let template = Template::try_from(text.to_owned()).map_err(|error| format!("path: {error}"))?;
    if template.has_names() {
        return Err("path: tenant.name may be anything and change: use tenant.slug or tenant.id".to_owned());
    }
    Ok(Some(template))
}

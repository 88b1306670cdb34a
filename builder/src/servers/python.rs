//! The Python index: which one it is, and where wheels are.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use url::Url;

use super::Servers;
use crate::fetch::{Download, Urls};
use crate::lock::Wheel;
use crate::python::index::{self, Index};
use crate::python::simple;

/// Largest project page that is accepted, in bytes.
const PAGE_LIMIT: u64 = 64 << 20;

/// The error of the lookup of the index, which is done once. Several threads may need the index: each gets this error, with
/// the original one, its kind and its hint as the cause.
#[derive(Clone, Debug)]
pub(super) struct IndexError(Arc<anyhow::Error>);

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot determine the Python index")
    }
}

impl Error for IndexError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let cause: &anyhow::Error = &self.0;
        Some(cause.as_ref())
    }
}

impl Servers<'_> {
    /// The download of a wheel. Its URL is looked up on the index when the download starts.
    #[must_use]
    pub fn wheel<'a>(&'a self, wheel: &'a Wheel) -> Download<'a> {
        let urls = Urls::Lazy(Box::new(move || self.wheel_urls(wheel)));
        Download { name: wheel.file_name().to_owned(), urls, size: wheel.size, digest: wheel.sha256 }
    }

    fn wheel_urls(&self, wheel: &Wheel) -> Result<Vec<String>> {
        let url = simple::page_url(self.python_index()?.url.as_str(), &wheel.name);
        let Some(page) = self.client.find(&url, simple::ACCEPT, PAGE_LIMIT)? else { return Ok(Vec::new()) };
        let page_url: Url = page.final_url.parse().with_context(|| format!("the URL of the page {url}"))?;
        let found = simple::find(&page.bytes, &page.content_type, &page_url, wheel.file_name(), &wheel.sha256)?;
        Ok(found.into_iter().map(String::from).collect())
    }

    /// The Python index.
    ///
    /// # Errors
    /// The machine names none, or what it names is not a URL.
    pub fn python_index(&self) -> Result<&Index> {
        let found = self.python.get_or_init(|| {
            index::find(self.options.python_index.as_deref(), self.machine, || self.uv().default_index())
                .map_err(|error| IndexError(Arc::new(error)))
        });
        found.as_ref().map_err(|error| error.clone().into())
    }
}

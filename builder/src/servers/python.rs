//! The Python index: which one it is, and where wheels are.

use anyhow::{Context as _, Result};
use sealift_deployment::failure::{Failure, Kind};
use url::Url;

use super::Servers;
use crate::fetch::{Download, Urls};
use crate::lock::Wheel;
use crate::python::index::{self, Index};
use crate::python::simple;

/// Largest project page that is accepted, in bytes.
const PAGE_LIMIT: u64 = 64 << 20;

/// Why there is no index. Kept, because several threads ask: each gets an error with the same kind and hint.
#[derive(Debug)]
pub(super) struct IndexError {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

impl IndexError {
    fn of(error: &anyhow::Error) -> Self {
        let hint = Failure::within(error).and_then(|failure| failure.hint.clone());
        Self { kind: Kind::of(error), message: format!("{error:#}"), hint }
    }

    fn failure(&self) -> Failure {
        let message = self.message.clone();
        let failure = match self.kind {
            Kind::Failed => Failure::failed(message),
            Kind::Usage => Failure::usage(message),
            Kind::Network => Failure::network(message),
            Kind::Verification => Failure::verification(message),
        };
        match &self.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
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
                .map_err(|error| IndexError::of(&error))
        });
        found.as_ref().map_err(|error| error.failure().into())
    }
}

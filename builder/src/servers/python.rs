//! The Python indexes: which ones there are, and where wheels are.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sealift_deployment::failure::Failure;

use super::Servers;
use crate::debian;
use crate::fetch::{Download, Urls};
use crate::lock::Wheel;
use crate::mirrors::access::Address;
use crate::python::index::{self, Index, Indexes, Role};
use crate::python::pylock::Chosen;
use crate::python::simple::{self, Listed};

/// Largest project page that is accepted, in bytes.
const PAGE_LIMIT: u64 = 64 << 20;
/// Largest wheel that is fetched to find out what its index does not say, in bytes.
const WHEEL_LIMIT: u64 = 4 << 30;

/// The error of the lookup of the indexes, which is done once. Several threads may need them: each gets this error, with
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
    /// The download of a wheel. Its URL is looked up on the indexes when the download starts.
    #[must_use]
    pub fn wheel<'a>(&'a self, wheel: &'a Wheel) -> Download<'a> {
        let urls = Urls::Lazy(Box::new(move || self.wheel_urls(wheel)));
        Download { name: wheel.file_name().to_owned(), urls, size: wheel.size, digest: wheel.sha256 }
    }

    /// The wheel on the first index that has it. An index that fails is an error only if no other one has the wheel.
    fn wheel_urls(&self, wheel: &Wheel) -> Result<Vec<Address>> {
        let mut failed = None;
        for index in self.python_indexes()?.for_wheel(wheel.index.as_deref()) {
            match self.wheel_on(index, wheel) {
                Ok(None) => {}
                Ok(Some(found)) => return Ok(vec![found]),
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        if failed.is_none() && self.python_indexes()?.lacks_default() {
            let message =
                format!("the default Python index is not known, and no other place has {}", wheel.file_name());
            return Err(Failure::usage(message).hint(index::NAME_ONE).into());
        }
        failed.map_or_else(|| Ok(Vec::new()), Err)
    }

    fn wheel_on(&self, index: &Index, wheel: &Wheel) -> Result<Option<Address>> {
        let page = match (index.role, index.address.file()) {
            (Role::Links, Some(folder)) if folder.is_dir() => {
                let file = index.address.below(&percent_encoded(wheel.file_name()));
                return Ok(file.file().is_some_and(|file| file.is_file()).then_some(file));
            }
            (Role::Links, _) => index.address.clone(),
            _ => simple::page(&index.address, &wheel.name),
        };
        let Some(page) = self.client.find(&page, simple::ACCEPT, PAGE_LIMIT)? else { return Ok(None) };
        let url = page.address.url();
        let found = simple::find(&page.bytes, &page.content_type, url, wheel.file_name(), &wheel.sha256)?;
        Ok(found.map(|url| page.address.at(url)))
    }

    /// The files of a distribution on the first index that has it; `None` if none has. `index` is the name of the one that
    /// is asked first.
    ///
    /// # Errors
    /// An index cannot be reached, or its page is malformed.
    pub fn listing(&self, name: &str, index: Option<&str>) -> Result<Option<Vec<Listed>>> {
        for index in self.python_indexes()?.for_wheel(index) {
            if index.role == Role::Links {
                continue;
            }
            let found = self.client.find(&simple::page(&index.address, name), simple::ACCEPT, PAGE_LIMIT)?;
            if let Some(page) = found {
                return simple::list(&page.bytes, &page.content_type, page.address.url()).map(Some);
            }
        }
        Ok(None)
    }

    /// The entry of a lock for a wheel that the resolver chose. Finds out what its index does not say: the size and the time
    /// from the header of the file, and if there is no size or no digest, from the file itself.
    ///
    /// # Errors
    /// The file cannot be fetched, or differs from what the index says.
    pub fn complete(&self, chosen: &Chosen) -> Result<Wheel> {
        let Chosen { mut size, mut sha256, mut uploaded, .. } = *chosen;
        if size.is_none() || sha256.is_none() || uploaded.is_none() {
            let address = self.address_of(chosen)?;
            if address.file().is_none() {
                let facts = self.client.facts(&address);
                size = size.or(facts.size.filter(|_| sha256.is_some()));
                uploaded = uploaded.or_else(|| facts.modified.as_deref().and_then(debian::date::parse));
            }
            if size.is_none() || sha256.is_none() {
                let got = self.client.measure(&address, WHEEL_LIMIT)?;
                if sha256.is_some_and(|listed| listed != got.digest) {
                    let message = format!("{} has the wrong content\n  from {address}", chosen.file_name());
                    return Err(Failure::verification(message).hint("the index lists another SHA-256").into());
                }
                (size, sha256) = (Some(got.size), Some(got.digest));
            }
        }
        Ok(Wheel {
            name: chosen.name.clone(),
            version: chosen.version.clone(),
            path: chosen.path.clone(),
            size: size.context("the size is known by now")?,
            sha256: sha256.context("the SHA-256 is known by now")?,
            uploaded,
            index: chosen.index.clone(),
            local: chosen.local,
        })
    }

    fn address_of(&self, chosen: &Chosen) -> Result<Address> {
        let first = self.python_indexes()?.list().first().context("there is an index")?;
        Ok(first.address.at(chosen.url.clone()))
    }

    /// The Python indexes.
    ///
    /// # Errors
    /// The machine names none, or what it names is not a URL.
    pub fn python_indexes(&self) -> Result<&Indexes> {
        let found = self.python.get_or_init(|| {
            index::find(self.options.python_index.as_deref(), self.machine, || self.uv().default_index())
                .map_err(|error| IndexError(Arc::new(error)))
        });
        found.as_ref().map_err(|error| error.clone().into())
    }
}

/// A file name as part of a URL.
fn percent_encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

//! What packages, wheels and crates say of themselves, for bills of materials. It is read when their files are opened to make
//! a layer: later builds find the layer, and may not have the files any more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_layers::digest::Digest;
use sealift_layers::license::License;
use serde::{Deserialize, Serialize};

use super::{DERIVED_LIMIT, Key, Store};
use crate::recipe;

/// Texts of licences, by digest.
pub type Texts = BTreeMap<Digest, String>;

/// What the file of a package, a wheel or a crate says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The SPDX expression of its licence, if it says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The licence is stated in a field for machines, and not concluded from others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_declared: bool,
    /// The texts of the `LicenseRef-…` in the expression.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, Digest>,
    /// Texts that have to be passed on with it: copyright files, notices.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub texts: BTreeSet<Digest>,
    /// Names of Debian's common licences that its texts refer to.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub common: BTreeSet<String>,
    /// Texts of common licences that the package itself has, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub common_texts: BTreeMap<String, Digest>,
    /// The package in whose folder its copyright file is, if that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documented_by: Option<String>,
    /// What it needs: relations of Debian (policy 7.1), or requirements of Python (PEP 508).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// Names that it provides besides its own: relations of Debian, or extras of Python.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub provides: Vec<String>,
}

impl Facts {
    /// Adds a licence; its texts are added to `texts`.
    pub fn set_license(&mut self, license: License, texts: &mut Texts) {
        self.license = Some(license.expression);
        self.is_declared = license.is_declared;
        self.references = license.references.into_iter().map(|(id, text)| (id, add(texts, text))).collect();
        self.common = license.common;
    }

    /// Adds a text that has to be passed on.
    pub fn add_text(&mut self, text: String, texts: &mut Texts) {
        self.texts.insert(add(texts, text));
    }
}

/// Adds a text; returns its digest.
pub fn add(texts: &mut Texts, text: String) -> Digest {
    let digest = Digest::of(text.as_bytes());
    texts.entry(digest).or_insert(text);
    digest
}

/// The text in these bytes. Old files are in Latin-1.
#[must_use]
pub fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().iter().map(|byte| char::from(*byte)).collect())
}

/// The key of a document with texts.
fn key(document: Digest) -> Key {
    Key::builder(recipe::TEXTS).field("document", document).finish()
}

impl Store {
    /// Keeps texts as one document. Returns its digest; `None` if there are none.
    ///
    /// # Errors
    /// When the disk is full or failing.
    pub fn put_texts(&self, texts: &Texts) -> Result<Option<Digest>> {
        if texts.is_empty() {
            return Ok(None);
        }
        let document = serde_json::to_vec(texts)?;
        let digest = Digest::of(&document);
        self.put_document(digest, &document)?;
        Ok(Some(digest))
    }

    /// Keeps a document whose digest was verified.
    pub(super) fn put_document(&self, digest: Digest, document: &[u8]) -> Result<()> {
        self.put_derived(&key(digest), |path| Ok(fs_err::File::create(path)?.write_all(document)?)).map(drop)
    }

    /// Whether the store has the document with this digest.
    pub(super) fn has_texts(&self, document: Digest) -> bool {
        self.derived(&key(document)).is_some()
    }

    /// The bytes of a document with texts.
    ///
    /// # Errors
    /// When it has been removed from the store, or cannot be read.
    pub(super) fn document(&self, digest: Digest) -> Result<Vec<u8>> {
        let path = self.derived(&key(digest)).ok_or_else(|| {
            Failure::failed("the licences of a layer have been removed from the store").hint("run the build again")
        })?;
        Ok(files::read_within(&path, DERIVED_LIMIT)?)
    }

    /// The texts in a document of [`Store::put_texts`].
    ///
    /// # Errors
    /// When it has been removed from the store, or cannot be read.
    pub fn texts(&self, document: Digest) -> Result<Texts> {
        Ok(serde_json::from_slice(&self.document(document)?)?)
    }
}

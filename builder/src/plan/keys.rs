//! A layer's key: the hash of everything that decides its bytes.
//!
//! The layer below is part of it, since a layer repeats the metadata of directories below and follows links there.

use anyhow::Result;
use sealift_deployment::profile::model;
use sealift_layers::digest::Digest;

use super::{Content, Plan};
use crate::assemble::BYTECODE_RECIPE;
use crate::plan::layers::CA_PACKAGE;
use crate::store::{Builder, Key};

/// Changes whenever the same inputs give other bytes.
const RECIPE: &str = "layer/1";

pub(super) fn key(
    plan: &Plan<'_>,
    name: &str,
    image: &model::Image,
    content: &Content,
    below: Option<&Key>,
) -> Result<Key> {
    if let Content::StorePaths { paths } = content {
        return Ok(crate::nix::key(plan.closure(name)?, paths, plan.options.codec.recipe(), plan.epoch));
    }
    let mut key = Key::builder(RECIPE)
        .field("codec", plan.options.codec.recipe())
        .field("epoch", plan.epoch)
        .field("platform", &plan.options.platform)
        .field("below", below.map(Key::hex).unwrap_or_default());
    let base = &plan.profile.model.base;
    match content {
        Content::Packages { packages, shared, bytecode } => {
            key = key.field("content", "packages").field("library-cache", 1);
            for package in packages {
                key = key.field("package", plan.package(package)?.sha256);
            }
            let own = if *shared { &[][..] } else { &image.drop[..] };
            key = strings(key, "drop", base.drop.iter().chain(own).map(|pattern| pattern.get_ref().as_str()));
            key = strings(key, "keep", base.keep.iter().map(|pattern| pattern.get_ref().as_str()));
            if *shared {
                key = pairs(key, "link", &base.links);
            }
            if !bytecode.is_empty() {
                key = strings(key.field("bytecode", BYTECODE_RECIPE), "python", bytecode.iter().map(String::as_str));
            }
        }
        Content::Wheels { wheels, skeleton } => {
            key = key.field("content", "wheels").field("skeleton", skeleton);
            for wheel in wheels {
                let wheel = plan.wheel(wheel)?;
                // Its time is that of its files, and indexes need not agree on it.
                key = key.field("wheel", wheel.sha256).field("uploaded", wheel.uploaded);
            }
            if let Some(venv) = &image.venv {
                key = key.field("venv", venv.path.get_ref()).field("python", venv.python.get_ref());
                key = key.field("version", &plan.package(venv.python.get_ref())?.version);
                if venv.bytecode {
                    key = key.field("bytecode", BYTECODE_RECIPE);
                }
            }
        }
        Content::StorePaths { .. } => {}
        Content::Crate => {
            key = key.field("content", "crate").field("program", plan.program_key(name)?.hex());
        }
        Content::Certificates => {
            key = key.field("content", "certificates");
            if plan.lock.images[name].packages.iter().any(|package| package == CA_PACKAGE) {
                key = key.field("package", plan.package(CA_PACKAGE)?.sha256);
            }
            for (file, pem) in &plan.options.authorities {
                key = key.field("file", file).field("pem", pem);
            }
        }
        Content::Env => {
            key = key.field("content", "env").field("directory", &image.env_directory);
            for file in &image.env_files {
                key = key.field("file", file.get_ref()).field("text", &plan.rendered[file.get_ref()]);
            }
        }
        Content::Configuration => {
            key = key.field("content", "configuration").field("user", image.user.get_ref());
            for user in &image.users {
                key = key.field("user", format!("{}:{}:{}:{}", user.name.get_ref(), user.uid, user.gid, user.home));
            }
            for (file, path) in &image.config_files {
                key = key.field("path", path).field("text", &plan.rendered[file.get_ref()]);
            }
            for file in &image.files {
                let bytes = fs_err::read(plan.profile.sources.path(file.source.get_ref()))?;
                key =
                    key.field("path", file.path.get_ref()).field("mode", file.mode.0).field("file", Digest::of(&bytes));
            }
            for directory in &image.directories {
                key = key.field("directory", directory.path.get_ref()).field("mode", directory.mode.0);
                key = key.field("owner", directory.owner.as_ref().map_or("", |owner| owner.get_ref()));
            }
            key = pairs(key, "link", &image.links);
        }
    }
    Ok(key.finish())
}

/// What identifies a layer together with those below it, where its own key does not.
pub(super) fn on(below: Option<&Key>, layer: &Key) -> Key {
    Key::builder("on/1").field("below", below.map(Key::hex).unwrap_or_default()).field("layer", layer.hex()).finish()
}

fn strings<'a>(key: Builder, name: &str, values: impl Iterator<Item = &'a str>) -> Builder {
    values.fold(key, |key, value| key.field(name, value))
}

fn pairs(key: Builder, name: &str, values: &std::collections::BTreeMap<String, String>) -> Builder {
    values.iter().fold(key, |key, (from, to)| key.field(name, from).field("to", to))
}

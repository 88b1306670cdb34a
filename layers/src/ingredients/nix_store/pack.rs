//! Assigns the store paths of a closure to layers.
//!
//! # Goals
//!
//! A closure has tens to thousands of paths; an image has about a hundred layers. A path never changes. A new release
//! replaces some paths: one of them and all paths that refer to it, directly or indirectly. Whoever has the previous release
//! should download little, and engines should unpack little. Engines unpack a layer again if any layer *below* it changed,
//! so paths that seldom change belong at the bottom. Adding a path must not change many layers.
//!
//! # Algorithm
//!
//! - The *popularity* of a path is the number of paths in the closure that lead to it, including itself. A path is less
//!   popular than those that it refers to. A path with popularity 1 is a *root*: the image is made for it, and it changes
//!   first.
//! - *Large* paths have a layer each: as many paths as the budget allows, chosen by the size of their NAR. The size is a
//!   property of the path alone.
//! - The other roots share one layer.
//! - All other paths are small. They share the *common* layers, a fifth of the budget. The name without hash and version
//!   determines the layer, so a new version of a path stays in its layer and other paths do not move it.
//! - Layers are sorted by their least popular path, which changes first. The most popular ones are at the bottom.
//!
//! Of a budget of `n` layers one is for roots, `(n - 1) / 5` but at least one are common, and the rest are for large paths.
//! With a budget of one, all paths are in the same layer.
//!
//! # Properties
//!
//! Each path is in exactly one layer. The order of the input does not matter. Adding a path to which nothing refers makes at
//! most three new layers, plus one for each root that it refers to (which is no longer a root): the layer with the new path;
//! the layer to which the smallest large path moves if it loses its own; and the layer of the roots if it loses some.
//!
//! # Comparison
//!
//! nixpkgs' `dockerTools` gives layers to the most popular paths, counting all ways that lead to them, and puts all other
//! paths into one last layer. Size is not considered: a library of a few kilobytes has a layer of its own, while large
//! programs with few references share the last layer, which changes as a whole. Since popularity decides which paths are in
//! that layer, one more program can move many paths. With `nix2container`, users name the dependencies that have a layer;
//! the others are also assigned by popularity. Such layers are stable as long as somebody maintains the names. Neither uses
//! hash buckets, so if a closure has fewer paths than there are layers, each path has a layer. Here small paths can share a
//! layer even then; otherwise the first path above the limit would move all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;

use super::{Closure, without_hash};
use crate::digest::Digest;

/// The layer of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target<'a> {
    /// A layer of its own.
    Own(&'a str),
    /// The common layer with this number.
    Common(u64),
    /// The layer of the roots.
    Roots,
}

/// Assigns the paths of a closure to at most `budget` layers. Returns the names of the paths by layer, bottom first; they are
/// sorted within a layer.
#[must_use]
pub fn pack(closure: &Closure, budget: NonZero<usize>) -> Vec<Vec<&str>> {
    let budget = budget.get();
    let popularity = popularity(closure);
    let common = ((budget - 1) / 5).max(1);
    let large = large(closure, (budget - 1).saturating_sub(common));
    let mut layers: BTreeMap<Target<'_>, Vec<&str>> = BTreeMap::new();
    for (name, _) in closure.iter() {
        let target = match name {
            name if large.contains(name) => Target::Own(name),
            name if popularity[name] == 1 && budget > 1 => Target::Roots,
            name => Target::Common(number(name) % common as u64),
        };
        layers.entry(target).or_default().push(name);
    }
    let mut layers: Vec<(usize, &str, Vec<&str>)> = layers
        .into_values()
        .map(|names| {
            let least = names.iter().map(|name| popularity[name]).min().unwrap_or_default();
            // Layers with the same popularity are sorted by name, without hashes, so that a new version keeps its position.
            (least, names.iter().map(|name| without_hash(name)).min().unwrap_or_default(), names)
        })
        .collect();
    layers.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(other.1)).then(one.2.cmp(&other.2)));
    layers.into_iter().map(|(_, _, names)| names).collect()
}

/// The number of paths that lead to each path.
fn popularity(closure: &Closure) -> BTreeMap<&str, usize> {
    let names: Vec<&str> = closure.iter().map(|(name, _)| name).collect();
    let number: BTreeMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let references: Vec<Vec<usize>> = closure
        .iter()
        .map(|(_, path)| path.references.iter().filter_map(|name| number.get(name.as_str()).copied()).collect())
        .collect();
    let mut count = vec![0; names.len()];
    // The last start from which a path was reached.
    let mut reached = vec![usize::MAX; names.len()];
    for start in 0..names.len() {
        let mut queue = vec![start];
        reached[start] = start;
        while let Some(at) = queue.pop() {
            count[at] += 1;
            for next in &references[at] {
                if reached[*next] != start {
                    reached[*next] = start;
                    queue.push(*next);
                }
            }
        }
    }
    names.into_iter().zip(count).collect()
}

/// The largest `count` paths.
fn large(closure: &Closure, count: usize) -> BTreeSet<&str> {
    let mut paths: Vec<(u64, &str)> = closure.iter().map(|(name, path)| (path.nar_size, name)).collect();
    paths.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(other.1)));
    paths.into_iter().take(count).map(|(_, name)| name).collect()
}

/// A number that depends only on the name without hash and version.
fn number(name: &str) -> u64 {
    let digest = Digest::of(without_version(without_hash(name)).as_bytes()).hex();
    u64::from_str_radix(&digest[..16], 16).expect("16 hex digits fit 64 bits")
}

/// The name up to the first dash that is not followed by a letter, which is how Nix separates name and version.
fn without_version(name: &str) -> &str {
    let dash =
        name.bytes().zip(name.bytes().skip(1)).position(|(one, next)| one == b'-' && !next.is_ascii_alphabetic());
    dash.map_or(name, |at| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::without_version;

    #[test]
    fn versions_are_separated_from_names() {
        for (name, expected) in
            [("glibc-2.40-66", "glibc"), ("gtk+3", "gtk+3"), ("lib-x-1", "lib-x"), ("a-", "a-"), ("source", "source")]
        {
            assert_eq!(without_version(name), expected);
        }
    }
}

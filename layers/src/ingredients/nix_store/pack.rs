//! Which store paths share a layer.
//!
//! # What is wanted
//!
//! A closure has tens to thousands of paths and an image about a hundred layers. A path never changes; what a new release
//! does is to replace some: one, and with it all that refer to it, directly or not. Whoever has the former release should
//! then have to load little, and to unpack little again. Engines unpack a layer anew when any layer *below* it is
//! another, so what seldom changes belongs at the bottom. And one more path must not deal all cards anew.
//!
//! # The rule
//!
//! - The *popularity* of a path is the number of paths in the closure that lead to it, itself included. Whatever refers to a
//!   path is less popular than it is. A path of popularity 1 is a *root*: what the image is made for, and what changes
//!   first.
//! - *Large* paths have a layer each: the largest ones, by the size of their NAR, as many as fit. A size is the path's own,
//!   and does not depend on what else there is.
//! - The other roots share one layer.
//! - All others are small, and share the *common* layers, a fifth of the budget: the name without hash and version decides
//!   which. So a path stays in its layer when it becomes another version, and other paths do not move it.
//! - Layers are sorted by their least popular path, the one that changes first: most popular ones at the bottom.
//!
//! A budget of `n` layers is one for roots, `(n - 1) / 5` but at least one in common, and the rest for large paths; with a
//! budget of one everything is in it.
//!
//! # What follows
//!
//! Each path is in one layer. The order of the input does not count. One more path that nothing refers to makes at most
//! three new layers, and one more for each root that it refers to (which is then no root any more): its own, or that of
//! the roots; the one to which the smallest of the large paths goes, if that had to leave; that of the roots, if some left.
//!
//! # Others
//!
//! nixpkgs' `dockerTools` gives layers to the most popular paths, counted with all the ways that lead to them, and puts
//! everything else into one last layer. Size does not count: a library of a few kilobytes gets a layer, while large
//! programs that few refer to lie together in the last one, which is new, as a whole, with each change. As popularity
//! decides who is in that layer, one more program can move many. `nix2container` leaves it to its user to name the
//! dependencies that get a layer, and otherwise counts popularity as well; a layer by name is stable where somebody has
//! maintained the names. Both have layers without hash buckets, so that a closure of fewer paths than layers has one per
//! path; here small paths share a layer even then, if their names say so, lest the first path too many moves all.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;

use super::{Closure, without_hash};
use crate::digest::Digest;

/// Where a path goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    /// A layer of its own.
    Own(&'a str),
    /// The layer in common of this number.
    Common(u64),
    /// That of the roots.
    Roots,
}

/// Deals the paths of a closure out to at most `budget` layers, bottom first; names are sorted within a layer.
#[must_use]
pub fn pack(closure: &Closure, budget: NonZero<usize>) -> Vec<Vec<&str>> {
    let budget = budget.get();
    let popularity = popularity(closure);
    let common = ((budget - 1) / 5).max(1);
    let large = large(closure, (budget - 1).saturating_sub(common));
    let mut layers: BTreeMap<Place<'_>, Vec<&str>> = BTreeMap::new();
    for (name, _) in closure.iter() {
        let place = match name {
            name if large.contains(name) => Place::Own(name),
            name if popularity[name] == 1 && budget > 1 => Place::Roots,
            name => Place::Common(number(name) % common as u64),
        };
        layers.entry(place).or_default().push(name);
    }
    let mut layers: Vec<(usize, &str, Vec<&str>)> = layers
        .into_values()
        .map(|names| {
            let least = names.iter().map(|name| popularity[name]).min().unwrap_or_default();
            // Between layers of the same popularity names decide, without hashes, so that new versions keep their place.
            (least, names.iter().map(|name| without_hash(name)).min().unwrap_or_default(), names)
        })
        .collect();
    layers.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(other.1)).then(one.2.cmp(&other.2)));
    layers.into_iter().map(|(_, _, names)| names).collect()
}

/// How many paths lead to each.
fn popularity(closure: &Closure) -> BTreeMap<&str, usize> {
    let names: Vec<&str> = closure.iter().map(|(name, _)| name).collect();
    let number: BTreeMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let references: Vec<Vec<usize>> = closure
        .iter()
        .map(|(_, path)| path.references.iter().filter_map(|name| number.get(name.as_str()).copied()).collect())
        .collect();
    let mut count = vec![0; names.len()];
    // The start that reached a path last.
    let mut reached = vec![usize::MAX; names.len()];
    for start in 0..names.len() {
        let mut ahead = vec![start];
        reached[start] = start;
        while let Some(at) = ahead.pop() {
            count[at] += 1;
            for next in &references[at] {
                if reached[*next] != start {
                    reached[*next] = start;
                    ahead.push(*next);
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

/// A number that the name decides, without hash and version.
fn number(name: &str) -> u64 {
    let digest = Digest::of(without_version(without_hash(name)).as_bytes()).hex();
    u64::from_str_radix(&digest[..16], 16).expect("sixteen hex digits are a number")
}

/// The name up to the first dash that no letter follows, as Nix tells name and version apart.
fn without_version(name: &str) -> &str {
    let dash =
        name.bytes().zip(name.bytes().skip(1)).position(|(one, next)| one == b'-' && !next.is_ascii_alphabetic());
    dash.map_or(name, |at| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::without_version;

    #[test]
    fn versions_are_told_apart_from_names() {
        for (name, expected) in
            [("glibc-2.40-66", "glibc"), ("gtk+3", "gtk+3"), ("lib-x-1", "lib-x"), ("a-", "a-"), ("source", "source")]
        {
            assert_eq!(without_version(name), expected);
        }
    }
}

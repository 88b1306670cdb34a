//! Dependency resolution: from the requested packages to all packages of an image, with a reason for each.
//!
//! There is no backtracking: a chosen package stays chosen. So every choice can be explained, and distributions are made
//! so that it suffices. The rules:
//!
//! 1. The requested packages are chosen first, each in the highest version that may be chosen: of several archives, that of
//!    the highest priority, or the pinned one ([`Index::eligible`]). All other versions count as absent.
//! 2. `Depends` and `Pre-Depends` of the chosen packages follow. If a chosen package satisfies a dependency, nothing is
//!    added. If only one package can satisfy it, that package is chosen, in the highest version that satisfies it.
//! 3. Only when no such dependency is left, the oldest one with several candidates is decided: the first alternative that
//!    can be satisfied; a real package before packages that provide its name; these by priority, then name. (So `a | b`
//!    never adds `a` if something else depends on `b` anyway.)
//! 4. An excluded package counts as chosen in any version, but is not part of the result; the same for an excluded
//!    virtual package.
//! 5. At the end no chosen package may conflict with, or break, another one.
//!
//! The result does not depend on the order of the requested packages.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_layers::limits::MESSAGES;

use super::index::{Field, Index, Package};
use super::relation::{Atom, Group};

mod explain;

pub(crate) use explain::unknown_root;

/// A requested package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root<'a> {
    /// Name of a real package.
    pub name: &'a str,
    /// Who requests it, for messages: `the image parsec-server`.
    pub by: &'a str,
}

/// Why a package was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason<'i> {
    /// It was requested.
    Requested {
        /// [`Root::by`].
        by: &'i str,
    },
    /// Another package depends on it.
    Dependency {
        /// Name of the depending package.
        of: &'i str,
    },
    /// Another package depends on one of several alternatives, and it is the first that can be satisfied.
    Alternative {
        /// Name of the depending package.
        of: &'i str,
        /// Position among the alternatives, from 0.
        place: usize,
        /// The dependency: `locales | locales-all`.
        among: &'i str,
    },
    /// Another package depends on a virtual package that it provides.
    Provides {
        /// Name of the depending package.
        of: &'i str,
        /// Name of the virtual package.
        name: &'i str,
    },
}

/// A chosen package and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen<'i, 'a> {
    /// The package.
    pub package: &'i Package<'a>,
    /// Why it was chosen.
    pub reason: Reason<'i>,
}

/// The result of [`resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution<'i, 'a> {
    /// The chosen packages by name.
    pub packages: BTreeMap<&'i str, Chosen<'i, 'a>>,
    /// Excluded packages that chosen packages depend on: by name, the depending packages, sorted.
    pub excluded: BTreeMap<&'i str, BTreeSet<&'i str>>,
    /// Excluded names that no chosen package depends on, sorted. Packages of another image may.
    pub unused_excludes: Vec<&'i str>,
}

impl Resolution<'_, '_> {
    /// The chain of dependencies from a requested package to `name`; empty if `name` was not chosen.
    #[must_use]
    pub fn chain(&self, name: &str) -> Vec<&str> {
        explain::chain(&self.packages, name)
    }
}

/// Chooses `roots` and all their dependencies, except the packages in `exclude`.
///
/// # Errors
/// A root is unknown or excluded, a dependency cannot be satisfied, or chosen packages conflict. The message has the
/// chain of dependencies, the hint has similar names.
pub fn resolve<'i, 'a>(
    index: &'i Index<'a>,
    roots: &[Root<'i>],
    exclude: &BTreeSet<&'i str>,
) -> Result<Resolution<'i, 'a>> {
    let mut resolver = Resolver {
        index,
        exclude,
        chosen: BTreeMap::new(),
        unvisited: VecDeque::new(),
        undecided: VecDeque::new(),
        excluded: Vec::new(),
    };
    for root in roots.iter().collect::<BTreeSet<_>>() {
        resolver.request(*root)?;
    }
    loop {
        while let Some(package) = resolver.unvisited.pop_front() {
            resolver.visit(package)?;
        }
        let Some(dependency) = resolver.undecided.pop_front() else { break };
        resolver.satisfy(dependency, SeveralCandidates::TakeFirst)?;
    }
    resolver.finish()
}

/// A dependency of a chosen package.
#[derive(Clone, Debug)]
struct Dependency<'i> {
    of: &'i str,
    group: Group<'i>,
}

/// What to do if several packages satisfy a dependency.
#[derive(Clone, Copy)]
enum SeveralCandidates {
    Postpone,
    TakeFirst,
}

/// A package that satisfies a dependency, and the reason if it is chosen.
struct Candidate<'i, 'a> {
    package: &'i Package<'a>,
    reason: Reason<'i>,
}

struct Resolver<'r, 'i, 'a> {
    index: &'i Index<'a>,
    exclude: &'r BTreeSet<&'i str>,
    chosen: BTreeMap<&'i str, Chosen<'i, 'a>>,
    /// Chosen packages whose dependencies were not considered yet.
    unvisited: VecDeque<&'i Package<'a>>,
    /// Dependencies with several candidates.
    undecided: VecDeque<Dependency<'i>>,
    /// Dependencies that an excluded package satisfies, if no chosen one does in the end.
    excluded: Vec<Dependency<'i>>,
}

impl<'i, 'a> Resolver<'_, 'i, 'a> {
    fn request(&mut self, root: Root<'i>) -> Result<()> {
        if self.exclude.contains(root.name) {
            return Err(Failure::usage(format!(
                "{} requests the package {}, which the profile excludes",
                root.by, root.name
            ))
            .hint("remove it from [debian.exclude], or from the packages")
            .into());
        }
        match self.index.eligible(root.name).next() {
            Some(package) => self.choose(package, Reason::Requested { by: root.by }),
            None => return Err(explain::unknown_root(self.index, root).into()),
        }
        Ok(())
    }

    /// Chooses a package, unless it is already chosen: the first reason is kept.
    fn choose(&mut self, package: &'i Package<'a>, reason: Reason<'i>) {
        if !self.chosen.contains_key(package.name) {
            self.chosen.insert(package.name, Chosen { package, reason });
            self.unvisited.push_back(package);
        }
    }

    /// Satisfies the dependencies of a chosen package.
    fn visit(&mut self, package: &'i Package<'a>) -> Result<()> {
        for field in [Field::PreDepends, Field::Depends] {
            for group in self.index.relations(package, field)? {
                self.satisfy(Dependency { of: package.name, group }, SeveralCandidates::Postpone)?;
            }
        }
        Ok(())
    }

    fn satisfy(&mut self, dependency: Dependency<'i>, several: SeveralCandidates) -> Result<()> {
        if self.is_satisfied(&dependency.group)? {
            return Ok(());
        }
        if self.excluded_names(&dependency.group).next().is_some() {
            self.excluded.push(dependency);
            return Ok(());
        }
        let mut candidates = self.candidates(&dependency).into_iter();
        match (candidates.next(), candidates.next(), several) {
            (None, ..) => {
                let Dependency { of, group } = dependency;
                return Err(explain::unsatisfied(self.index, &self.chosen, of, &group).into());
            }
            (Some(_), Some(_), SeveralCandidates::Postpone) => self.undecided.push_back(dependency),
            (Some(first), ..) => self.choose(first.package, first.reason),
        }
        Ok(())
    }

    fn is_satisfied(&self, group: &Group<'_>) -> Result<bool> {
        for atom in &group.atoms {
            let real = self.chosen.get(atom.name).into_iter().map(|chosen| chosen.package);
            let providers = self.index.providers(atom.name).map(|provider| provider.package);
            for package in real.chain(providers) {
                let is_chosen =
                    self.chosen.get(package.name).is_some_and(|chosen| std::ptr::eq(chosen.package, package));
                if is_chosen && self.index.satisfies(package, atom)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The excluded names that satisfy `group`.
    fn excluded_names<'s>(&'s self, group: &'s Group<'i>) -> impl Iterator<Item = &'i str> + 's {
        group.atoms.iter().flat_map(|atom| {
            let providers = self.index.providers(atom.name).map(|provider| provider.package.name);
            std::iter::once(atom.name).chain(providers).filter_map(|name| self.exclude.get(name).copied())
        })
    }

    /// The packages that satisfy a dependency, the preferred one first.
    fn candidates(&self, dependency: &Dependency<'i>) -> Vec<Candidate<'i, 'a>> {
        let mut candidates: Vec<Candidate> = Vec::new();
        for (place, atom) in dependency.group.atoms.iter().enumerate() {
            if !self.index.architecture_suits(atom) {
                continue;
            }
            let mut add = |package: &'i Package<'a>, reason| {
                let is_new = candidates.iter().all(|candidate| candidate.package.name != package.name);
                // If one version of a package is chosen, its other versions cannot be.
                if is_new && !self.chosen.contains_key(package.name) {
                    candidates.push(Candidate { package, reason });
                }
            };
            if let Some(package) = self.index.eligible(atom.name).find(|package| atom.accepts(package.version)) {
                let reason = match dependency.group.atoms.len() {
                    1 => Reason::Dependency { of: dependency.of },
                    _ => Reason::Alternative { of: dependency.of, place, among: dependency.group.text },
                };
                add(package, reason);
            }
            for provider in self.index.providers(atom.name) {
                if atom.accepts_provided(provider.version) && self.index.is_eligible(provider.package) {
                    add(provider.package, Reason::Provides { of: dependency.of, name: atom.name });
                }
            }
        }
        candidates
    }

    /// Checks the chosen packages against each other.
    fn finish(self) -> Result<Resolution<'i, 'a>> {
        let mut excluded: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for dependency in &self.excluded {
            // A package that was chosen later may satisfy it.
            if !self.is_satisfied(&dependency.group)? {
                for name in self.excluded_names(&dependency.group) {
                    excluded.entry(name).or_default().insert(dependency.of);
                }
            }
        }
        let (conflicts, more) = self.conflicts()?;
        if !conflicts.is_empty() {
            return Err(explain::conflicts(&self.chosen, &conflicts, more).into());
        }
        let unused_excludes = self.exclude.iter().copied().filter(|name| !excluded.contains_key(name)).collect();
        Ok(Resolution { packages: self.chosen, excluded, unused_excludes })
    }

    /// The first pairs of chosen packages that conflict, and the number of the others.
    fn conflicts(&self) -> Result<(Vec<Conflict<'i>>, usize)> {
        let (mut conflicts, mut more) = (Vec::new(), 0);
        for Chosen { package, .. } in self.chosen.values() {
            for field in [Field::Conflicts, Field::Breaks] {
                let atoms = self.index.relations(package, field)?.into_iter().flat_map(|group| group.atoms);
                for atom in atoms {
                    let others = std::iter::once(atom.name)
                        .chain(self.index.providers(atom.name).map(|provider| provider.package.name))
                        .collect::<BTreeSet<_>>();
                    for other in others.into_iter().filter_map(|name| self.chosen.get(name)) {
                        // A package may conflict with what it provides itself (policy 7.6.2).
                        if other.package.name == package.name || !self.index.satisfies(other.package, &atom)? {
                            continue;
                        }
                        if conflicts.len() == MESSAGES {
                            more += 1;
                        } else {
                            conflicts.push(Conflict { package: package.name, field, atom, other: other.package.name });
                        }
                    }
                }
            }
        }
        Ok((conflicts, more))
    }
}

/// Two chosen packages that conflict: `field` of `package` has `atom`, which `other` satisfies.
struct Conflict<'i> {
    package: &'i str,
    field: Field,
    atom: Atom<'i>,
    other: &'i str,
}

impl Reason<'_> {
    /// The package that depends on it; `None` if it was requested.
    #[must_use]
    pub fn dependent(&self) -> Option<&str> {
        match self {
            Self::Requested { .. } => None,
            Self::Dependency { of } | Self::Alternative { of, .. } | Self::Provides { of, .. } => Some(of),
        }
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested { by } => write!(f, "requested by {by}"),
            Self::Dependency { of } => write!(f, "dependency of {of}"),
            Self::Alternative { of, place, among } => {
                match place {
                    0 => f.write_str("first")?,
                    1 => f.write_str("second")?,
                    2 => f.write_str("third")?,
                    place => write!(f, "{}th", place + 1)?,
                }
                write!(f, " alternative of `{among}` for {of}")
            }
            Self::Provides { of, name } => write!(f, "provides {name}, a dependency of {of}"),
        }
    }
}

#[cfg(test)]
mod tests;

//! From packages asked for to all packages needed, with a reason for each.
//!
//! Not a solver: nothing is ever taken back. That is what makes every choice explainable, and a distribution is built so
//! that it suffices. The rules:
//!
//! 1. What is asked for is chosen first, in its highest version.
//! 2. `Depends` and `Pre-Depends` of what is chosen follow. One that a chosen package satisfies needs nothing; one that
//!    a single package can satisfy chooses it, in the highest version that will do.
//! 3. Only when no such dependency is left, the oldest open one with several candidates decides: the first alternative
//!    that can be satisfied; a real package before those that provide its name; these by priority, then name.
//!    (So `a | b` never brings `a` along when something else needs `b` anyway.)
//! 4. An excluded package counts as chosen in any version, but is not there; the same for an excluded virtual package.
//! 5. At the end no chosen package may conflict with, or break, another one.
//!
//! Nothing depends on the order in which packages are asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use anyhow::Result;
use sealift_deployment::failure::Failure;

use super::index::{Field, Index, Package};
use super::relation::{Atom, Group};

mod explain;

pub(crate) use explain::unknown_root;

/// A package asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root<'a> {
    /// A real package's name.
    pub name: &'a str,
    /// Who asks, for messages: `image parsec-server`.
    pub by: &'a str,
}

/// Why a package was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because<'i> {
    /// It was asked for by this one.
    Asked(&'i str),
    /// Package `by` needs it and nothing else would do.
    Needed {
        /// The needing package's name.
        by: &'i str,
    },
    /// Package `by` needs one of several, and it was the first one that could be had.
    Alternative {
        /// The needing package's name.
        by: &'i str,
        /// Place among the alternatives, from 0.
        place: usize,
        /// The dependency: `locales | locales-all`.
        among: &'i str,
    },
    /// Package `by` needs what it provides.
    Provides {
        /// The needing package's name.
        by: &'i str,
        /// The virtual package's name.
        name: &'i str,
    },
}

/// A chosen package and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen<'i, 'a> {
    /// The package.
    pub package: &'i Package<'a>,
    /// Why.
    pub because: Because<'i>,
}

/// What [`resolve`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution<'i, 'a> {
    /// The chosen packages by name.
    pub packages: BTreeMap<&'i str, Chosen<'i, 'a>>,
    /// Excluded names that something needs: by name, the chosen packages that need it, sorted.
    pub excluded: BTreeMap<&'i str, BTreeSet<&'i str>>,
    /// Excluded names that nothing chosen here needs, sorted. Another image's packages may need them.
    pub idle_excludes: Vec<&'i str>,
}

impl Resolution<'_, '_> {
    /// How `name` came in: names from what was asked for to `name` itself; empty if it was not chosen.
    #[must_use]
    pub fn chain(&self, name: &str) -> Vec<&str> {
        explain::chain(&self.packages, name)
    }
}

/// Chooses `roots` and everything that they need, but for the `exclude`d packages.
///
/// # Errors
/// When a root is unknown or excluded, a dependency cannot be satisfied, or chosen packages exclude each other. The
/// message has the chain that leads there, the hint names that are near.
pub fn resolve<'i, 'a>(
    index: &'i Index<'a>,
    roots: &[Root<'i>],
    exclude: &BTreeSet<&'i str>,
) -> Result<Resolution<'i, 'a>> {
    let mut resolver = Resolver {
        index,
        exclude,
        chosen: BTreeMap::new(),
        unread: VecDeque::new(),
        open: VecDeque::new(),
        met: Vec::new(),
    };
    for root in roots.iter().collect::<BTreeSet<_>>() {
        resolver.ask(*root)?;
    }
    loop {
        while let Some(package) = resolver.unread.pop_front() {
            resolver.follow(package)?;
        }
        let Some(need) = resolver.open.pop_front() else { break };
        resolver.decide(need, true)?;
    }
    resolver.finish()
}

/// A dependency of a chosen package.
#[derive(Clone, Debug)]
struct Need<'i> {
    by: &'i str,
    group: Group<'i>,
}

/// A package that would satisfy a need, and why it would be chosen.
struct Candidate<'i, 'a> {
    package: &'i Package<'a>,
    because: Because<'i>,
}

struct Resolver<'r, 'i, 'a> {
    index: &'i Index<'a>,
    exclude: &'r BTreeSet<&'i str>,
    chosen: BTreeMap<&'i str, Chosen<'i, 'a>>,
    /// Chosen packages whose dependencies were not looked at yet.
    unread: VecDeque<&'i Package<'a>>,
    /// Dependencies with several candidates.
    open: VecDeque<Need<'i>>,
    /// Dependencies that an exclusion satisfied, perhaps.
    met: Vec<Need<'i>>,
}

impl<'i, 'a> Resolver<'_, 'i, 'a> {
    fn ask(&mut self, root: Root<'i>) -> Result<()> {
        if self.exclude.contains(root.name) {
            return Err(
                Failure::usage(format!("package {} is asked for by {}, and excluded", root.name, root.by)).into()
            );
        }
        match self.index.versions(root.name).first() {
            Some(package) => self.choose(package, Because::Asked(root.by)),
            None => return Err(explain::unknown_root(self.index, root).into()),
        }
        Ok(())
    }

    /// The first reason stays.
    fn choose(&mut self, package: &'i Package<'a>, because: Because<'i>) {
        if !self.chosen.contains_key(package.name) {
            self.chosen.insert(package.name, Chosen { package, because });
            self.unread.push_back(package);
        }
    }

    fn follow(&mut self, package: &'i Package<'a>) -> Result<()> {
        for field in [Field::PreDepends, Field::Depends] {
            for group in self.index.relations(package, field)? {
                self.decide(Need { by: package.name, group }, false)?;
            }
        }
        Ok(())
    }

    /// Satisfies `need`; puts it off if there are several candidates and it need not be `now`.
    fn decide(&mut self, need: Need<'i>, now: bool) -> Result<()> {
        if self.is_satisfied(&need.group)? {
            return Ok(());
        }
        if self.excluded(&need.group).next().is_some() {
            self.met.push(need);
            return Ok(());
        }
        let mut candidates = self.candidates(&need).into_iter();
        match (candidates.next(), candidates.next()) {
            (None, _) => return Err(explain::unsatisfied(self.index, &self.chosen, need.by, &need.group).into()),
            (Some(_), Some(_)) if !now => self.open.push_back(need),
            (Some(first), _) => self.choose(first.package, first.because),
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
    fn excluded<'s>(&'s self, group: &'s Group<'i>) -> impl Iterator<Item = &'i str> + 's {
        group.atoms.iter().flat_map(|atom| {
            let providers = self.index.providers(atom.name).map(|provider| provider.package.name);
            std::iter::once(atom.name).chain(providers).filter_map(|name| self.exclude.get(name).copied())
        })
    }

    /// The packages that would satisfy `need`, the preferred one first.
    fn candidates(&self, need: &Need<'i>) -> Vec<Candidate<'i, 'a>> {
        let mut candidates: Vec<Candidate> = Vec::new();
        for (place, atom) in need.group.atoms.iter().enumerate() {
            if !self.index.architecture_suits(atom) {
                continue;
            }
            let mut add = |package: &'i Package<'a>, because| {
                let is_new = candidates.iter().all(|candidate| candidate.package.name != package.name);
                // A chosen package that does not satisfy it stands in the way of its other versions.
                if is_new && !self.chosen.contains_key(package.name) {
                    candidates.push(Candidate { package, because });
                }
            };
            if let Some(package) = self.index.versions(atom.name).iter().find(|package| atom.accepts(package.version)) {
                let because = match need.group.atoms.len() {
                    1 => Because::Needed { by: need.by },
                    _ => Because::Alternative { by: need.by, place, among: need.group.text },
                };
                add(package, because);
            }
            for provider in self.index.providers(atom.name) {
                if atom.accepts_provided(provider.version) {
                    add(provider.package, Because::Provides { by: need.by, name: atom.name });
                }
            }
        }
        candidates
    }

    fn finish(self) -> Result<Resolution<'i, 'a>> {
        let mut excluded: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for need in &self.met {
            // Something chosen later may have satisfied it after all.
            if !self.is_satisfied(&need.group)? {
                for name in self.excluded(&need.group) {
                    excluded.entry(name).or_default().insert(need.by);
                }
            }
        }
        let clashes = self.clashes()?;
        if !clashes.is_empty() {
            return Err(explain::clash(&self.chosen, &clashes).into());
        }
        let idle_excludes = self.exclude.iter().copied().filter(|name| !excluded.contains_key(name)).collect();
        Ok(Resolution { packages: self.chosen, excluded, idle_excludes })
    }

    /// Pairs of chosen packages that cannot be together.
    fn clashes(&self) -> Result<Vec<Clash<'i>>> {
        let mut clashes = Vec::new();
        for Chosen { package, .. } in self.chosen.values() {
            for field in [Field::Conflicts, Field::Breaks] {
                let atoms = self.index.relations(package, field)?.into_iter().flat_map(|group| group.atoms);
                for atom in atoms {
                    let others = std::iter::once(atom.name)
                        .chain(self.index.providers(atom.name).map(|provider| provider.package.name))
                        .collect::<BTreeSet<_>>();
                    for other in others.into_iter().filter_map(|name| self.chosen.get(name)) {
                        // A package may conflict with what it provides itself (policy 7.6.2).
                        if other.package.name != package.name && self.index.satisfies(other.package, &atom)? {
                            clashes.push(Clash { package: package.name, field, atom, other: other.package.name });
                        }
                    }
                }
            }
        }
        Ok(clashes)
    }
}

/// A chosen package that another chosen one cannot be with.
struct Clash<'i> {
    package: &'i str,
    field: Field,
    atom: Atom<'i>,
    other: &'i str,
}

impl Because<'_> {
    /// The chosen package that needs it.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        match self {
            Self::Asked(_) => None,
            Self::Needed { by } | Self::Alternative { by, .. } | Self::Provides { by, .. } => Some(by),
        }
    }
}

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(by) => write!(f, "asked for by {by}"),
            Self::Needed { by } => write!(f, "{by} needs it"),
            Self::Alternative { by, place, among } => {
                match place {
                    0 => f.write_str("first")?,
                    1 => f.write_str("second")?,
                    2 => f.write_str("third")?,
                    place => write!(f, "{}th", place + 1)?,
                }
                write!(f, " alternative of `{among}` for {by}")
            }
            Self::Provides { by, name } => write!(f, "provides {name}, which {by} needs"),
        }
    }
}

#[cfg(test)]
mod tests;

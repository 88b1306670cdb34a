//! Compatibility tags: the wheels that a CPython on Linux can install, and their order (PEP 425, PEP 600).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};
use sealift_deployment::failure::Failure;
use sealift_layers::ingredients::wheel::WheelFileName;
use sealift_layers::platform::{Architecture, Platform};

/// The Python of an image: version, architecture and C library, against which wheels and markers are matched.
#[derive(Clone, Debug)]
pub struct Target {
    /// `14` of Python 3.14.
    minor: u32,
    architecture: Architecture,
    /// `43` of glibc 2.43.
    glibc: u32,
    /// Tag to rank; 0 is the best.
    ranks: BTreeMap<String, usize>,
}

/// Minor versions are below this: there is none above 100 yet, and there are tags for all older ones.
const NEWEST: u32 = 1000;

/// The oldest glibc 2.x that manylinux wheels for the architecture are built for.
fn oldest_glibc(architecture: Architecture) -> u32 {
    match architecture {
        Architecture::Amd64 => 5,
        Architecture::Arm64 => 17,
    }
}

impl Target {
    /// CPython `python` (`3.14`) on `platform` with glibc `glibc` (`2.43`; the rest of a Debian version of `libc6` is
    /// ignored).
    ///
    /// # Errors
    /// A usage failure if `python` or `glibc` is not such a version.
    pub fn new(python: &str, platform: Platform, glibc: &str) -> Result<Self> {
        // There is a tag for each older version, of Python and of glibc.
        let minor = |text: &str, major: &str| text.strip_prefix(major)?.parse().ok().filter(|minor| *minor < NEWEST);
        let Some(python) = minor(python, "3.") else {
            return Err(Failure::usage(format!("`{python}` is not a Python version such as 3.14")).into());
        };
        let digits = glibc.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(glibc.len());
        let Some(glibc) = minor(&glibc[..digits], "2.") else {
            return Err(Failure::usage(format!("`{glibc}` is not a glibc version such as 2.43")).into());
        };
        let mut target = Self { minor: python, architecture: platform.architecture(), glibc, ranks: BTreeMap::new() };
        for (rank, tag) in target.tags().into_iter().enumerate() {
            target.ranks.entry(tag).or_insert(rank);
        }
        Ok(target)
    }

    /// All compatible tags, best first: the version's own ABI, the stable ABI of this and older versions, no ABI; each for
    /// the newest manylinux first; tags for any platform last.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        let minor = self.minor;
        let platforms = self.platforms();
        let mut tags = Vec::new();
        let mut on_platforms = |python: &str, abi: &str| {
            tags.extend(platforms.iter().map(|platform| format!("{python}-{abi}-{platform}")));
        };
        let this = format!("cp3{minor}");
        on_platforms(&this, &this);
        on_platforms(&this, "abi3");
        on_platforms(&this, "none");
        // The stable ABI exists since Python 3.2.
        for older in (2..minor).rev() {
            on_platforms(&format!("cp3{older}"), "abi3");
        }
        let generic: Vec<String> = [format!("py3{minor}"), "py3".into()]
            .into_iter()
            .chain((0..minor).rev().map(|older| format!("py3{older}")))
            .collect();
        for python in &generic {
            on_platforms(python, "none");
        }
        tags.push(format!("{this}-none-any"));
        tags.extend(generic.iter().map(|python| format!("{python}-none-any")));
        tags
    }

    /// Platform tags, newest C library first; the legacy alias of a tag follows the tag.
    fn platforms(&self) -> Vec<String> {
        let Self { architecture, glibc, .. } = *self;
        let machine = architecture.machine();
        let mut platforms = Vec::new();
        for version in (oldest_glibc(architecture)..=glibc).rev() {
            platforms.push(format!("manylinux_2_{version}_{machine}"));
            let old = match version {
                17 => "manylinux2014",
                12 => "manylinux2010",
                5 => "manylinux1",
                _ => continue,
            };
            platforms.push(format!("{old}_{machine}"));
        }
        platforms.push(format!("linux_{machine}"));
        platforms
    }

    /// The rank of a wheel, 0 being best; `None` if it is not compatible.
    #[must_use]
    pub fn rank(&self, wheel: &WheelFileName) -> Option<usize> {
        let mut best = None;
        for python in &wheel.python {
            for abi in &wheel.abi {
                for platform in &wheel.platform {
                    let rank = self.ranks.get(&format!("{python}-{abi}-{platform}")).copied();
                    best = [best, rank].into_iter().flatten().min();
                }
            }
        }
        best
    }

    /// Why a wheel is not compatible: `is for cp311-cp311, the image has Python 3.13 on x86_64 with glibc 2.41`.
    #[must_use]
    pub fn misfit(&self, wheel: &WheelFileName) -> String {
        let any = WheelFileName { platform: self.platforms().into_iter().take(1).collect(), ..wheel.clone() };
        let tags = |list: &[String]| list.join(".");
        let is_for = match self.rank(&any) {
            None => format!("{}-{}", tags(&wheel.python), tags(&wheel.abi)),
            Some(_) => tags(&wheel.platform),
        };
        format!("is for {is_for}, the image has {self}")
    }

    /// The best of several wheels of one distribution and version: the best tag, then the highest build tag, then the
    /// first name, so that the order of `candidates` does not matter. `name` returns the file name of a candidate.
    pub fn best<T>(&self, candidates: impl IntoIterator<Item = T>, name: impl Fn(&T) -> &str) -> Option<T> {
        candidates
            .into_iter()
            .filter_map(|candidate| {
                let parsed: WheelFileName = name(&candidate).parse().ok()?;
                let rank = self.rank(&parsed)?;
                Some(((rank, Reverse(parsed.build), name(&candidate).to_owned()), candidate))
            })
            .min_by(|(one, _), (two, _)| one.cmp(two))
            .map(|(_, candidate)| candidate)
    }

    /// The Python version: `3.14`.
    #[must_use]
    pub fn python(&self) -> String {
        format!("3.{}", self.minor)
    }

    /// Whether a Python of this version satisfies `specifiers`. Its patch level is not known here: the highest is used, so that
    /// `>=3.14.1` includes 3.14.
    #[must_use]
    pub fn satisfies(&self, specifiers: &VersionSpecifiers) -> bool {
        let release = [3, u64::from(self.minor), u64::from(u32::MAX)];
        specifiers.contains(&Version::new(release))
    }

    /// The values of environment markers (PEP 508). The patch level is not known here: 0 is used.
    pub(crate) fn markers(&self) -> MarkerEnvironment {
        let python = self.python();
        let full = format!("{python}.0");
        MarkerEnvironmentBuilder {
            implementation_name: "cpython",
            implementation_version: &full,
            os_name: "posix",
            platform_machine: self.architecture.machine(),
            platform_python_implementation: "CPython",
            platform_release: "",
            platform_system: "Linux",
            platform_version: "",
            python_full_version: &full,
            python_version: &python,
            sys_platform: "linux",
        }
        .try_into()
        .expect("3.N and 3.N.0 are versions")
    }

    /// uv's name of the platform: the newest manylinux that uv knows and the C library supports.
    pub(crate) fn uv_platform(&self) -> String {
        let version = match self.glibc {
            31.. => self.glibc.min(40),
            28.. => 28,
            _ => 17,
        };
        format!("{}-manylinux_2_{version}", self.architecture.machine())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Python 3.{} on {} with glibc 2.{}", self.minor, self.architecture.machine(), self.glibc)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AMD64: Platform = Platform::linux(Architecture::Amd64);

    fn forky() -> Target {
        Target::new("3.14", AMD64, "2.43-1").unwrap()
    }

    fn ranked(names: &[&'static str]) -> Vec<&'static str> {
        let mut left = names.to_vec();
        let mut order = Vec::new();
        while let Some(best) = forky().best(left.iter().copied(), |name| name) {
            left.retain(|name| *name != best);
            order.push(best);
        }
        order
    }

    /// Each older version has its tags: billions of them for the largest number.
    #[test]
    fn impossible_versions_are_refused() {
        for (python, glibc) in [("3.4294967295", "2.43"), ("3.14", "2.4294967295"), ("3.1000", "2.43")] {
            assert!(Target::new(python, "linux/amd64".parse().unwrap(), glibc).is_err(), "{python} {glibc}");
        }
    }

    #[test]
    fn wheels_are_preferred_in_a_known_order() {
        insta::assert_snapshot!(ranked(&[
            "a-1-py3-none-any.whl",
            "a-1-py2.py3-none-any.whl",
            "a-1-1-py3-none-any.whl",
            "a-1-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "a-1-cp311-abi3-manylinux_2_34_x86_64.whl",
            "a-1-cp37-abi3-manylinux_2_28_x86_64.whl",
            "a-1-cp314-cp314-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "a-1-cp314-cp314-manylinux_2_28_x86_64.whl",
            "a-1-cp314-cp314-linux_x86_64.whl",
            "a-1-cp314-cp314-manylinux_2_44_x86_64.whl",
            "a-1-cp314-cp314-manylinux_2_28_aarch64.whl",
            "a-1-cp314-cp314-musllinux_1_2_x86_64.whl",
            "a-1-cp314-cp314t-manylinux_2_28_x86_64.whl",
            "a-1-cp313-cp313-manylinux_2_28_x86_64.whl",
            "a-1-cp315-abi3-manylinux_2_28_x86_64.whl",
            "a-1-py2-none-any.whl",
            "a-1.tar.gz",
        ])
        .join("\n"), @"
            a-1-cp314-cp314-manylinux_2_28_x86_64.whl
            a-1-cp314-cp314-manylinux_2_17_x86_64.manylinux2014_x86_64.whl
            a-1-cp314-cp314-linux_x86_64.whl
            a-1-cp311-abi3-manylinux_2_34_x86_64.whl
            a-1-cp37-abi3-manylinux_2_28_x86_64.whl
            a-1-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl
            a-1-1-py3-none-any.whl
            a-1-py2.py3-none-any.whl
            a-1-py3-none-any.whl
            ");
    }

    #[test]
    fn a_wheel_that_does_not_fit_says_why() {
        let misfit = |name: &str| forky().misfit(&name.parse().unwrap());
        let has = "the image has Python 3.14 on x86_64 with glibc 2.43";
        assert_eq!(misfit("a-2.9-cp311-cp311-linux_x86_64.whl"), format!("is for cp311-cp311, {has}"));
        assert_eq!(misfit("a-1-cp37-abi3-win_amd64.whl"), format!("is for win_amd64, {has}"));
        assert_eq!(misfit("a-1-cp314-cp314-manylinux_2_44_x86_64.whl"), format!("is for manylinux_2_44_x86_64, {has}"));
        assert_eq!(misfit("a-1-py2-none-any.whl"), format!("is for py2-none, {has}"));
    }

    #[test]
    fn arm64_starts_with_manylinux2014() {
        let target = Target::new("3.13", Platform::linux(Architecture::Arm64), "2.36").unwrap();
        let platforms = target.platforms();
        assert_eq!((platforms[0].as_str(), platforms.len()), ("manylinux_2_36_aarch64", 20 + 2));
        assert_eq!(&platforms[20..], ["manylinux2014_aarch64", "linux_aarch64"]);
        assert_eq!(target.uv_platform(), "aarch64-manylinux_2_36");
        assert_eq!(forky().uv_platform(), "x86_64-manylinux_2_40");
    }

    #[test]
    fn other_versions_are_refused() {
        for (python, glibc) in [("2.7", "2.43"), ("3.14", "1.2")] {
            assert!(Target::new(python, AMD64, glibc).is_err(), "{python} {glibc}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_candidates_does_not_matter(names in Just(vec![
            "a-1-py3-none-any.whl", "a-1-2-py3-none-any.whl", "a-1-2a-py3-none-any.whl", "a-1-10-py3-none-any.whl",
            "A-1-10-py3-none-any.whl", "a-1-cp36-cp36m-win32.whl", "nonsense",
        ]).prop_shuffle()) {
            prop_assert_eq!(forky().best(names, |name| name), Some("A-1-10-py3-none-any.whl"));
        }
    }
}

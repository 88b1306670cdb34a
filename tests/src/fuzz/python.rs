//! Requirements, locks of uv, pages of indexes and names of wheels.

use std::sync::LazyLock;

use sealift::python::local::LocalWheels;
use sealift::python::pylock::{self, Choice};
use sealift::python::requirements::{Hashes, Requirements};
use sealift::python::simple;
use sealift::python::tags::Target;
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::wheel::{WheelFileName, normalize};
use sealift_layers::platform::{Architecture, Platform};

use super::{file, text};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    Target::new("3.14", Platform::linux(Architecture::Amd64), "2.43").expect("the versions are valid")
});

/// Requirements are read the same each time, and no line of options becomes a requirement.
///
/// # Panics
/// They are not.
pub fn requirements(data: &[u8]) {
    use std::os::fd::AsRawFd as _;
    let file = file(data);
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let read = || Requirements::read(path.as_ref());
    let Ok(found) = read() else { return };
    assert_eq!(format!("{found:?}"), format!("{:?}", read().unwrap()));
    assert!(found.requirements.iter().chain(&found.constraints).all(|text| !text.starts_with('-')));
    assert!(found.hashes.keys().all(|name| normalize(name) == *name));
}

/// The paths of wheels in a pylock are those of files, and are sorted.
///
/// # Panics
/// They are not.
pub fn pylock(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (local, hashes) = (LocalWheels::default(), Hashes::new());
    let choice =
        Choice { target: &TARGET, local: &local, hashes: &hashes, exclude: &[], indexes: None, origin: "pylock.toml" };
    let Ok(chosen) = pylock::wheels(text, choice) else { return };
    assert!(chosen.windows(2).all(|pair| pair[0].file_name() <= pair[1].file_name()));
    for wheel in &chosen {
        assert!(wheel.path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{}", wheel.path);
        let name: WheelFileName = wheel.file_name().parse().expect("the name of a wheel");
        assert_eq!(name.name, wheel.name);
        assert!(TARGET.rank(&name).is_some());
    }
    assert_eq!(pylock::wheels(text, choice).unwrap(), chosen);
}

/// The file that [`index_page`] looks for.
pub(super) const FILE: &str = "a-1.0-py3-none-any.whl";

/// A page leads to files on servers only. The first byte of the input chooses the type of the page.
///
/// # Panics
/// It does not.
pub fn index_page(data: &[u8]) {
    let Some((first, page)) = data.split_first() else { return };
    let is_json = first % 2 == 1;
    let media = if is_json { "application/vnd.pypi.simple.v1+json" } else { "text/html" };
    let at = "https://mirror.example/simple/a/".parse().expect("a URL");
    let digest = Digest::of(b"wheel");
    let Ok(Some(url)) = simple::find(page, media, &at, FILE, &digest) else { return };
    assert!(matches!(url.scheme(), "http" | "https"), "{url}");
    if !is_json {
        assert!(url.fragment().is_none());
    }
    assert_eq!(simple::find(page, media, &at, FILE, &digest).unwrap(), Some(url));
}

/// The name of a wheel has a normalised name in it, and an order of tags that does not change.
///
/// # Panics
/// It has not.
pub fn wheel_name(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for line in text.lines() {
        assert_eq!(normalize(&normalize(line)), normalize(line));
    }
    let names: Vec<WheelFileName> = text.lines().take(4).filter_map(|line| line.parse().ok()).collect();
    for name in &names {
        assert!(!name.name.is_empty() && normalize(&name.name) == name.name);
        assert!([&name.python, &name.abi, &name.platform].iter().all(|list| !list.is_empty()));
        assert_eq!(TARGET.rank(name), TARGET.rank(name));
        for other in &names {
            assert_eq!(name.version.cmp(&other.version), other.version.cmp(&name.version).reverse());
            assert_eq!(name.build.cmp(&other.build), other.build.cmp(&name.build).reverse());
        }
    }
    let ranks: Vec<Option<usize>> = names.iter().map(|name| TARGET.rank(name)).collect();
    let best = TARGET.best(text.lines().take(4).filter(|line| line.parse::<WheelFileName>().is_ok()), |line| *line);
    assert_eq!(best.is_some(), ranks.iter().any(Option::is_some));
}

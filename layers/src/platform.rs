//! Processor architectures and platforms, with the name that each tool uses for them.
//!
//! One architecture has many names: OCI, Go and Debian say `amd64`; the kernel, Rust, Python and GCC say `x86_64`. This
//! module is the only table of them. A new architecture is one more variant of [`Architecture`] and one more row; the
//! compiler then finds every place that needs a decision.
//!
//! ```
//! use sealift_layers::platform::{Architecture, Platform};
//!
//! let platform: Platform = "linux/amd64".parse()?;
//! assert_eq!(platform.architecture(), Architecture::Amd64);
//! assert_eq!(platform.to_string(), "linux/amd64");
//! assert_eq!(platform.file_name(), "linux-amd64");
//! assert_eq!(platform.architecture().machine(), "x86_64");
//! # Ok::<(), sealift_layers::platform::ParsePlatformError>(())
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A processor architecture that images can be made for. Displays and parses as OCI and Debian write it: `amd64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// 64-bit x86.
    Amd64,
    /// 64-bit Arm (ARMv8 and later).
    Arm64,
}

/// The names of one architecture.
struct Names {
    /// OCI image-spec 1.1 ("Image Index", `platform`), which takes them from Go; Debian's (`dpkg-architecture`) are the same.
    oci: &'static str,
    machine: &'static str,
    rust_target: &'static str,
    elf_machine: u16,
    multiarch: &'static str,
    lib_directory: &'static str,
    loader: &'static str,
}

const AMD64: Names = Names {
    oci: "amd64",
    machine: "x86_64",
    rust_target: "x86_64-unknown-linux-gnu",
    elf_machine: 62,
    multiarch: "x86_64-linux-gnu",
    lib_directory: "usr/lib/x86_64-linux-gnu",
    loader: "ld-linux-x86-64.so.2",
};

const ARM64: Names = Names {
    oci: "arm64",
    machine: "aarch64",
    rust_target: "aarch64-unknown-linux-gnu",
    elf_machine: 183,
    multiarch: "aarch64-linux-gnu",
    lib_directory: "usr/lib/aarch64-linux-gnu",
    loader: "ld-linux-aarch64.so.1",
};

impl Architecture {
    /// All supported architectures, sorted by OCI name.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    const fn names(self) -> &'static Names {
        match self {
            Self::Amd64 => &AMD64,
            Self::Arm64 => &ARM64,
        }
    }

    /// The name in OCI documents, in Go and in Debian's `Architecture` field: `amd64`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.names().oci
    }

    /// The name that the kernel reports (`uname -m`): `x86_64`. Rust's `std::env::consts::ARCH`, the architecture in
    /// Python's platform tags (`manylinux_2_28_x86_64`) and `docker info` use the same one.
    #[must_use]
    pub const fn machine(self) -> &'static str {
        self.names().machine
    }

    /// The architecture that [`machine`](Self::machine) names; `None` if it is not supported.
    #[must_use]
    pub fn from_machine(machine: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|architecture| architecture.machine() == machine)
    }

    /// The target triple that rustc and cargo build for: `x86_64-unknown-linux-gnu`.
    #[must_use]
    pub const fn rust_target(self) -> &'static str {
        self.names().rust_target
    }

    /// `e_machine` in the header of an ELF file (System V ABI, "ELF Header"): 62 is `EM_X86_64`, 183 is `EM_AARCH64`.
    #[must_use]
    pub const fn elf_machine(self) -> u16 {
        self.names().elf_machine
    }

    /// Debian's multiarch tuple: `x86_64-linux-gnu`.
    #[must_use]
    pub const fn multiarch(self) -> &'static str {
        self.names().multiarch
    }

    /// Where Debian installs shared libraries and the dynamic loader, relative to the image's root:
    /// `usr/lib/x86_64-linux-gnu`.
    #[must_use]
    pub const fn lib_directory(self) -> &'static str {
        self.names().lib_directory
    }

    /// File name of glibc's dynamic loader in [`lib_directory`](Self::lib_directory): `ld-linux-x86-64.so.2`.
    #[must_use]
    pub const fn loader(self) -> &'static str {
        self.names().loader
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a supported architecture.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a supported architecture (supported: {supported})", supported = list(&Architecture::ALL))]
pub struct ParseArchitectureError(String);

impl FromStr for Architecture {
    type Err = ParseArchitectureError;

    /// Takes the OCI name (`amd64`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|architecture| architecture.as_str() == text);
        found.ok_or_else(|| ParseArchitectureError(text.to_owned()))
    }
}

/// What images are made for: an operating system and an architecture. Displays, parses and serializes as OCI tools write
/// it: `linux/amd64`. The operating system is always Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    architecture: Architecture,
}

impl Platform {
    /// All supported platforms, sorted.
    pub const ALL: [Self; 2] = [Self::linux(Architecture::Amd64), Self::linux(Architecture::Arm64)];

    /// Linux on `architecture`.
    #[must_use]
    pub const fn linux(architecture: Architecture) -> Self {
        Self { architecture }
    }

    /// The operating system as OCI names it: `linux`.
    #[must_use]
    pub const fn os(self) -> &'static str {
        "linux"
    }

    /// The architecture.
    #[must_use]
    pub const fn architecture(self) -> Architecture {
        self.architecture
    }

    /// The form for file names: `linux-amd64`.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{}-{}", self.os(), self.architecture)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os(), self.architecture)
    }
}

/// The text is not a supported platform.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a supported platform (supported: {supported})", supported = list(&Platform::ALL))]
pub struct ParsePlatformError(String);

impl FromStr for Platform {
    type Err = ParsePlatformError;

    /// Takes `OS/ARCHITECTURE` (`linux/amd64`), without a variant.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|platform| platform.to_string() == text);
        found.ok_or_else(|| ParsePlatformError(text.to_owned()))
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn list(supported: &[impl ToString]) -> String {
    supported.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_read_back() {
        for architecture in Architecture::ALL {
            assert_eq!(architecture.to_string().parse(), Ok(architecture));
            assert_eq!(Architecture::from_machine(architecture.machine()), Some(architecture));
            assert_eq!(architecture.lib_directory(), format!("usr/lib/{}", architecture.multiarch()));
            let platform = Platform::linux(architecture);
            assert_eq!(platform.to_string().parse(), Ok(platform));
        }
    }

    #[test]
    fn both_lists_are_complete_and_sorted() {
        assert!(Platform::ALL.is_sorted() && Architecture::ALL.is_sorted());
        assert_eq!(Platform::ALL.map(Platform::architecture), Architecture::ALL);
        assert!(Platform::ALL.map(|platform| platform.to_string()).is_sorted());
    }

    #[test]
    fn errors_list_what_is_supported() {
        let architecture = "riscv64".parse::<Architecture>().unwrap_err();
        insta::assert_snapshot!(architecture, @"`riscv64` is not a supported architecture (supported: amd64, arm64)");
        for text in ["linux/riscv64", "windows/amd64", "linux/arm64/v8", "amd64", "linux/", ""] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
        let platform = "windows/amd64".parse::<Platform>().unwrap_err();
        insta::assert_snapshot!(platform, @"`windows/amd64` is not a supported platform (supported: linux/amd64, linux/arm64)");
        assert_eq!(Architecture::from_machine("amd64"), None);
    }

    #[test]
    fn platforms_are_keys_and_values_of_documents() {
        let map: BTreeMap<Platform, Platform> = Platform::ALL.map(|platform| (platform, platform)).into();
        let text = serde_json::to_string(&map).unwrap();
        assert_eq!(text, r#"{"linux/amd64":"linux/amd64","linux/arm64":"linux/arm64"}"#);
        assert_eq!(serde_json::from_str::<BTreeMap<Platform, Platform>>(&text).unwrap(), map);
    }
}

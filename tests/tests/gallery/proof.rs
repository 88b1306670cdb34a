//! A stranger proves where the bundle of an example comes from, with stock tools and then with its own program; what is changed is
//! refused.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sealift_layers::digest::Digest;
use sealift_tests::bundle::sealift;
use sealift_tests::command::{self, report};
use sealift_tests::packed::members;

use super::{Example, HOST};

/// A profile of a program to verify with, of a Debian suite that has it.
const COSIGN: &str = r#"
schema = 1
name = "cosign"
product = "cosign"
version = "1.0"
title = "A verifier"

[debian]
suite = "forky"
components = ["main"]
allow-expired = true

[images.cosign]
title = "A verifier"
packages = ["cosign"]
essential = false
user = "1000:1000"
entrypoint = ["/usr/bin/cosign"]

[services.cosign]
image = "cosign"
"#;

impl Example {
    /// A DVD with the bundle and everything that it was built from, as the operator has it on the host: mounted, or copied off
    /// where the kernel has no such file system. The key comes another way.
    pub(super) fn disc(&self) -> Result<PathBuf> {
        let place = self.place.path();
        command::output(sealift(place)?.args(["fetch"]).arg(place.join("static")).args(["--output", "kept"]))?;
        let burn = "xorriso -as mkisofs -quiet -r -V BUNDLE -o dvd.iso -graft-points bundle.tar=bundle.tar \
                    bundle.tar.minisig=bundle.tar.minisig kept=kept";
        command::output(Command::new("sh").args(["-c", burn]).current_dir(place))?;
        let disc = place.join("dvd");
        fs_err::create_dir(&disc)?;
        let mut mount = self.podman.command(place, "mount");
        if command::run(mount.args(["-o", "loop,ro", "dvd.iso", "dvd"]))?.code != Some(0) {
            report("the disc cannot be mounted here: its files are copied");
            let mut copy = self.podman.command(place, "xorriso");
            copy.args(["-report_about", "FAILURE", "-osirrox", "on", "-indev", "dvd.iso", "-extract", "/", "dvd"]);
            command::output(&mut copy)?;
        }
        Ok(disc)
    }

    /// Somebody who has nothing but the disc and a public key, on a host without a network: first with stock minisign and cosign,
    /// then with the program that it has shown to be the signed one.
    pub(super) fn a_stranger_proves_it(&self, disc: &Path) -> Result<()> {
        let (place, tar) = (self.place.path(), disc.join("bundle.tar").display().to_string());
        ensure!(self.minisign(&["-m", &tar])?, "minisign refuses the file");
        let signature = fs_err::read_dir(&self.folder)?.flatten().map(|entry| entry.path());
        let signature = signature.into_iter().find(|path| path.extension().is_some_and(|end| end == "minisig"));
        let signature = signature.context("the signature of SHA256SUMS")?.display().to_string();
        ensure!(self.minisign(&["-m", "SHA256SUMS", "-x", &signature])?, "minisign refuses SHA256SUMS");
        command::output(self.podman.command(&self.folder, "sha256sum").args(["--quiet", "--check", "SHA256SUMS"]))?;
        self.cosign_accepts_where_it_comes_from(place)?;
        let kept = disc.join("kept").display().to_string();
        let rebuild = ["--rebuild", "--offline", "--artifacts", &kept, "--store", "../another-store"];
        let proven = self.sealift(&[&["verify", &tar, "--key", "../key.pub"][..], &rebuild].concat())?;
        ensure!(proven.contains("the same bytes, sha256:"), "{proven}");
        self.changed_members_are_refused()
    }

    /// What stock minisign says of a file.
    fn minisign(&self, arguments: &[&str]) -> Result<bool> {
        let mut minisign = self.podman.command(&self.folder, "minisign");
        Ok(minisign.args(["-Vq", "-p", "../key.pub"]).args(arguments).output()?.status.success())
    }

    /// A byte changed in any member of the bundle is noticed by minisign, by `verify` and by `up`, in the file and in the folder.
    fn changed_members_are_refused(&self) -> Result<()> {
        let place = self.place.path();
        let bad = place.join("bad.tar");
        let mut bytes = fs_err::read(place.join("bundle.tar"))?;
        fs_err::copy(place.join("bundle.tar.minisig"), place.join("bad.tar.minisig"))?;
        // The program that was verified: the one in the folder is changed, too.
        let program = place.join("proven");
        fs_err::copy(self.folder.join("sealift"), &program)?;
        let refuses = |name: &str, arguments: &[&str]| -> Result<()> {
            let mut command = self.podman.command(&self.folder, &program.display().to_string());
            let refused = command::run(command.args(arguments).args(["--key", "../key.pub"]))?;
            // A signature that is none has no more to say than that there is none by this key.
            let is_named = refused.stdout.contains(name) || refused.stderr.contains(name) || name.ends_with(".minisig");
            ensure!(refused.code == Some(4) && is_named, "{arguments:?} with a changed {name}: {refused:?}");
            Ok(())
        };
        // There are some hundred texts of licences, all of one kind.
        let (texts, mut members): (Vec<_>, Vec<_>) =
            members(&bytes).into_iter().partition(|(name, ..)| name.starts_with("sbom/licenses/"));
        members.extend(texts.into_iter().take(2));
        report(&format!("a byte changed in each of {} members", members.len()));
        for (name, offset, size) in members {
            bytes[offset + size / 2] ^= 1;
            fs_err::write(&bad, &bytes)?;
            ensure!(!self.minisign(&["-m", "../bad.tar"])?, "minisign takes a changed {name}");
            // Without the signature beside it, the one within counts.
            fs_err::rename(&bad, place.join("alone.tar"))?;
            refuses(&name, &["verify", "../alone.tar"])?;
            let file = self.folder.join(&name);
            let whole = fs_err::read(&file)?;
            fs_err::write(&file, &bytes[offset..offset + size])?;
            refuses(&name, &["up", "--host", HOST])?;
            fs_err::write(&file, &whole)?;
            bytes[offset + size / 2] ^= 1;
        }
        Ok(())
    }

    /// Stock cosign checks the signed statement without a network and without a log; a byte changed in it, or in what it is
    /// about, is noticed.
    fn cosign_accepts_where_it_comes_from(&self, place: &Path) -> Result<()> {
        fs_err::create_dir(place.join("cosign"))?;
        fs_err::write(place.join("cosign/profile.toml"), COSIGN)?;
        command::output(sealift(place)?.args(["lock", "./cosign"]))?;
        command::output(sealift(place)?.args(["fetch", "./cosign", "--output", "cosign/kept"]))?;
        let unpack = "for file in cosign/kept/packages/cosign_*.deb; do dpkg-deb --extract \"$file\" cosign/root; done";
        command::output(Command::new("sh").args(["-c", unpack]).current_dir(place))?;
        let cosign = place.join("cosign/root/usr/bin/cosign").display().to_string();
        let names = fs_err::read_dir(&self.folder)?.flatten().map(|entry| entry.file_name());
        let mut names = names.filter_map(|name| name.into_string().ok());
        let statement = names.find(|name| name.ends_with(".sigstore.json")).context("the signed statement")?;
        let check = |sums: &[u8], statement: &[u8]| -> Result<command::Ran> {
            fs_err::write(place.join("sums"), sums)?;
            fs_err::write(place.join("statement"), statement)?;
            let mut command = self.podman.command(place, &cosign);
            let arguments = ["verify-blob-attestation", "--key", "key.pem", "--insecure-ignore-tlog"];
            command.args(arguments).args(["--type", "slsaprovenance1", "--bundle", "statement", "sums"]);
            command::run(command.env("HOME", place))
        };
        let mut files = [fs_err::read(self.folder.join("SHA256SUMS"))?, fs_err::read(self.folder.join(statement))?];
        let accepted = check(&files[0], &files[1])?;
        ensure!(accepted.code == Some(0), "{accepted:?}");
        for changed in 0..files.len() {
            let middle = files[changed].len() / 2;
            files[changed][middle] ^= 1;
            let refused = check(&files[0], &files[1])?;
            ensure!(refused.code != Some(0), "cosign takes a changed file {changed}: {refused:?}");
            files[changed][middle] ^= 1;
        }
        Ok(())
    }

    /// The engine's storage and the bundle are what was signed; when a byte of either changes, that is found.
    pub(super) fn changes_are_found(&self) -> Result<()> {
        let whole = self.sealift(&["verify", ".", "--engine"])?;
        ensure!(whole.contains("good signature") && whole.contains("also in the engine, no problems"), "{whole}");
        let image = self.podman.podman(&["images", "--quiet", "--no-trunc"])?;
        let image = image.lines().next().context("an image")?;
        let folders =
            ["image", "inspect", image, "--format", "{{.GraphDriver.Data.LowerDir}}:{{.GraphDriver.Data.UpperDir}}"];
        let folders = self.podman.podman(&folders)?;
        let mut page = folders.trim().split(':').map(|folder| PathBuf::from(folder).join("srv/www/index.html"));
        let page = page.rfind(|page| page.is_file()).context("the page in the engine's storage")?;
        fs_err::write(&page, fs_err::read_to_string(&page)?.replace("Pages", "pages"))?;
        let refused = self.command(&["verify", ".", "--engine"]).output()?;
        let said = String::from_utf8_lossy(&refused.stdout).into_owned();
        ensure!(refused.status.code() == Some(4) && said.contains("index.html"), "{said}");

        // Whoever makes the sums right has no key.
        let (profile, sums) = (self.folder.join("profile/profile.toml"), self.folder.join("SHA256SUMS"));
        let (text, table) = (fs_err::read_to_string(&profile)?, fs_err::read_to_string(&sums)?);
        let digest = |text: &str| Digest::of(text.as_bytes()).hex();
        let changed = format!("{text}\n");
        fs_err::write(&profile, &changed)?;
        fs_err::write(&sums, table.replace(&digest(&text), &digest(&changed)))?;
        let refused = self.command(&["up"]).output()?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(refused.status.code() == Some(4) && said.contains("does not match SHA256SUMS"), "{said}");
        fs_err::write(&profile, text)?;
        Ok(fs_err::write(&sums, table)?)
    }
}

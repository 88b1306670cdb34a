//! The program that runs the image's Python with the image's own libraries.

use crate::profile::model::Venv;

/// Where the dynamic loader and the libraries of an architecture (as OCI names it) are in a Debian tree.
#[must_use]
pub fn libraries(architecture: &str) -> Option<(&'static str, &'static str)> {
    match architecture {
        "amd64" => Some(("usr/lib/x86_64-linux-gnu", "ld-linux-x86-64.so.2")),
        "arm64" => Some(("usr/lib/aarch64-linux-gnu", "ld-linux-aarch64.so.1")),
        _ => None,
    }
}

/// The launcher that replaces the venv's interpreter: its path in the image, and its text.
///
/// The interpreter takes its own path (`sys.executable`) from `--argv0`, so that programs which it starts use the launcher,
/// too; it finds the venv by the `pyvenv.cfg` above that path.
#[must_use]
pub fn launcher(venv: &Venv, architecture: &str) -> Option<(String, String)> {
    let (libraries, loader) = libraries(architecture)?;
    let (bin, python) = (format!("{}/bin", venv.path.get_ref()), venv.python.get_ref());
    let text = format!(
        "\
#!/bin/sh
# Runs the Python of this folder with the libraries of this folder, independent of the host's.
here=$(dirname -- \"$(readlink -f -- \"$0\")\")
root=${{here%{bin}}}
unset LD_PRELOAD LD_LIBRARY_PATH
export PYTHONHOME=\"$root/usr\" PYTHONDONTWRITEBYTECODE=1 PYTHONTZPATH=\"$root/usr/share/zoneinfo\"
export LOCPATH=\"$root/usr/lib/locale\" TZDIR=\"$root/usr/share/zoneinfo\" GCONV_PATH=\"$root/{libraries}/gconv\"
export SSL_CERT_FILE=\"${{SSL_CERT_FILE:-$root/etc/ssl/certs/ca-certificates.crt}}\"
export OPENSSL_CONF=\"${{OPENSSL_CONF:-$root/etc/ssl/openssl.cnf}}\"
exec \"$root/{libraries}/{loader}\" --inhibit-cache --library-path \"$root/{libraries}\" \\
    --argv0 \"$here/python\" \"$root/usr/bin/{python}\" \"$@\"
"
    );
    Some((format!("{bin}/python"), text))
}

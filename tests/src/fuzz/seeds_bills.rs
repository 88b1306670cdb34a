//! Seeds of licences and of snapshots of vulnerabilities.

use super::seeds::{Seeds, of};

pub(super) fn licenses() -> Seeds {
    of(&[
        "Format: x\n\nFiles: *\nLicense: GPL-2+ or Artistic, and MIT\n See /usr/share/common-licenses/GPL-2.\n .\n\n\
         Files: b\nLicense: public-domain\nComment: none\n\nLicense: Own\n Do.\n%\n\
         Metadata-Version: 2.4\nLicense-Expression: MIT OR Apache-2.0\nLicense-File: LICENSE\n%\n\
         (MIT or GPL-2.0+ WITH Classpath-exception-2.0) AND LicenseRef-x",
        "Format: x\n\nFiles: *\nLicense: GPL-2+ with Autoconf exception | Expat and Perl\n%\n\
         License: BSD\nClassifier: License :: OSI Approved :: MIT License\n\nx\n%\nApache-2.0/MIT",
        "It is free: /usr/share/common-licenses/LGPL-2.1.\n%\nLicense: UNKNOWN\nClassifier: License :: Freeware\n%\nGPL-3.0+",
    ])
}

pub(super) fn advisories() -> Seeds {
    let osv = r#"{"id":"X-1","aliases":["CVE-2026-1"],"summary":"a","affected":[{"package":{"ecosystem":"Debian:13","name":"busybox"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1:2"}]}],"versions":["1:1.38.0-3+b1"],"ecosystem_specific":{"urgency":"high"}}],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],"database_specific":{"severity":"HIGH"}}"#;
    let pypi = r#"{"id":"P-1","upstream":["CVE-2026-2"],"affected":[{"package":{"ecosystem":"PyPI","name":"Typing_Extensions"},"ranges":[{"type":"SEMVER","events":[{"introduced":"4.0"},{"last_affected":"4.15.0"},{"limit":"5"}]}]}]}"#;
    let tracker = r#"{"busybox":{"CVE-2026-1":{"description":"b","releases":{"trixie":{"status":"resolved","fixed_version":"1:1.38.0-4","urgency":"low"}}},"CVE-2026-3":{"releases":{"trixie":{"status":"open"},"sid":{"status":"undetermined"}}}},"other":{}}"#;
    let vex = r#"{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2026-01-02T03:04:05Z","statements":[{"vulnerability":{"name":"CVE-2026-1","aliases":["X-1"]},"products":[{"@id":"pkg:deb/debian/busybox"},"pkg:pypi/typing-extensions@4.15.0"],"status":"not_affected","justification":"component_not_present"},{"vulnerability":"P-1","products":[{"identifiers":{"purl":"pkg:pypi/typing-extensions"},"subcomponents":["pkg:x/y"]}],"status":"affected","action_statement":"c"}]}"#;
    of(&[&[osv, tracker, vex].join("\n%\n"), &[pypi, "", vex].join("\n%\n"), &["", tracker, vex].join("\n%\n")])
}

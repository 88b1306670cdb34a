//! Seeds of [`super::machine`].

use rcgen::{
    BasicConstraints, CertificateParams, DnType, GeneralSubtree, IsCa, KeyPair, NameConstraints, SerialNumber,
    date_time_ymd,
};

use super::seeds::{Seeds, of};

/// A key of Ed25519, whose signatures are the same each time.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n-----END PRIVATE KEY-----\n";

pub(super) fn certificate() -> Seeds {
    let key = KeyPair::from_pem(KEY).expect("a key");
    let names = ["a.example", "192.0.2.7", "2001:db8::7"].map(str::to_owned);
    let mut params = CertificateParams::new(names).expect("names");
    params.serial_number = Some(SerialNumber::from_slice(&[7; 16]));
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2036, 1, 1));
    params.distinguished_name.push(DnType::CommonName, "Tiny Authority");
    let server = params.self_signed(&key).expect("a certificate").pem();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("a.example".to_owned())],
        excluded_subtrees: vec![GeneralSubtree::DnsName(String::new())],
    });
    let authority = params.self_signed(&key).expect("a certificate").pem();
    of(&[&server, &authority, &format!("Subject: x\n{authority}{server}")])
}

pub(super) fn site_record() -> Seeds {
    of(&[
        "schema = 1\nid = \"0123456789abcdef\"\nprofile = \"tiny\"\nhost = \"a.example\"\nproject = \"tiny-2\"\nengine = \"podman\"\n\
         settings = [\"text\"]\n[ports]\nhttp = 8080\nhttps = 8443\n",
        "schema = 1\nprofile = \"tiny\"\nhost = \"192.0.2.7\"\n",
        "schema = 1\nprofile = \"tiny\"\nhost = \"a.example\"\nengine = \"p\u{85}odman\"\n",
    ])
}

pub(super) fn apt_sources() -> Seeds {
    of(&[
        "# x\ndeb [arch=amd64 signed-by=/k.gpg] https://user:secret@one.example/debian tiny main # y\n\
         deb mirror+file:/etc/apt/mirrors.list tiny main contrib\ndeb mirror+https://list.example/l tiny-updates main\n\
         deb copy:/srv/debian ./\n%\nTypes: deb deb-src\nURIs: http://two.example/debian\n http://three.example/\n\
         Suites: tiny tiny-security\nComponents: main\nSigned-By:\n -----BEGIN\n .\n\nTypes: deb\nEnabled: no\nURIs: x\n\
         Suites: x\n%\nhttp://four.example/debian priority:2\nhttps://five.example\tpriority:1 arch:amd64\n%\n\
         Acquire::http::Proxy \"http://p.example:3128\"; Acquire { https { Verify-Peer \"false\"; one.example::Proxy DIRECT; }; };\n\
         // x\n/* y */ #clear z\n%\nmachine https://two.example/debian login a password \"b c\"\nmachine five.example login d password e\n",
        "deb http://one.example/debian tiny main\n",
    ])
}

pub(super) fn python_settings() -> Seeds {
    of(&[
        "[global]\nindex-url = https://user:secret@one.example/simple\nextra_index_url =\n  https://two.example/simple\n  \
         https://three.example/a,b\n; x\n[install]\nfind-links: https://links.example/ /srv/wheels\nproxy = http://p.example:3128\n%\n\
         find-links = [\"https://l.example/\"]\n[[index]]\nname = \"four\"\nurl = \"https://four.example/simple\"\nexplicit = true\n\
         [[index]]\nurl = \"https://five.example/simple\"\ndefault = true\nformat = \"flat\"\n[pip]\nno-index = false\n%\n\
         machine one.example\nlogin a\npassword b\ndefault login c password d\n%\npython-index = \"https://six.example/simple\"\n",
        "[global]\nno-index = true\nfind-links = https://links.example/\n",
        "[install]\nindex-url = extra_password index_url = https://two.example/simple\n",
    ])
}

pub(super) fn nar() -> Seeds {
    of(&["bin/a\tx\t#!/bin/sh\nlib/b.so\tf\t12345678\nlib/b\tl\t../bin/a\nlib-b\tf\t\na/b/c/d\tf\tx\na/b\tf\tno\n", ""])
}

//! Which names an authority may sign for (RFC 5280, section 4.2.1.10, "Name Constraints").
//!
//! Everyone who trusts a site's authority would trust whoever has its key for any name. Its certificate therefore permits
//! only the names and addresses of the site. A constraint concerns one type of names: without any address of the site, all
//! addresses have to be excluded.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};
use x509_parser::extensions::{GeneralName, GeneralSubtree as ParsedSubtree};
use x509_parser::prelude::X509Certificate;

/// A name that nobody has (RFC 6761, section 6.4): permits no name where a site has addresses only.
const NOBODY: &str = "invalid";

/// The constraints that permit `names`, DNS names and IP addresses.
pub(super) fn permitting(names: &BTreeSet<String>) -> NameConstraints {
    let (addresses, hosts): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|name| name.parse::<IpAddr>().is_ok());
    let hosts: Vec<&str> =
        if hosts.is_empty() { vec![NOBODY] } else { hosts.into_iter().map(String::as_str).collect() };
    let subnets = addresses.iter().filter_map(|address| address.parse().ok()).map(|address: IpAddr| match address {
        IpAddr::V4(address) => CidrSubnet::V4(address.octets(), [0xff; 4]),
        IpAddr::V6(address) => CidrSubnet::V6(address.octets(), [0xff; 16]),
    });
    let hosts = hosts.into_iter().map(|host| GeneralSubtree::DnsName(host.to_owned()));
    let excluded = [CidrSubnet::V4([0; 4], [0; 4]), CidrSubnet::V6([0; 16], [0; 16])];
    NameConstraints {
        permitted_subtrees: hosts.chain(subnets.map(GeneralSubtree::IpAddress)).collect(),
        excluded_subtrees: match addresses.is_empty() {
            true => excluded.into_iter().map(GeneralSubtree::IpAddress).collect(),
            false => Vec::new(),
        },
    }
}

/// The constraints of an authority's certificate.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    permitted: Vec<Subtree>,
    excluded: Vec<Subtree>,
}

#[derive(Debug)]
enum Subtree {
    /// A DNS name: itself and all names below it. An empty one is all names.
    Host(String),
    /// Address and mask, as many bytes each.
    Subnet(Vec<u8>, Vec<u8>),
}

impl Constraints {
    /// Those of a certificate; `None` if it has none.
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let found = certificate.name_constraints().ok().flatten()?.value;
        Some(Self {
            permitted: subtrees(found.permitted_subtrees.as_ref()),
            excluded: subtrees(found.excluded_subtrees.as_ref()),
        })
    }

    /// Whether certificates for `name`, a DNS name in lower case or an IP address, are permitted.
    pub(super) fn allow(&self, name: &str) -> bool {
        let address = name.parse::<IpAddr>().ok();
        let same_type = |subtree: &&Subtree| matches!(subtree, Subtree::Subnet(..)) == address.is_some();
        let mut permitted = self.permitted.iter().filter(same_type).peekable();
        let contains = |subtree: &Subtree| subtree.contains(name, address);
        (permitted.peek().is_none() || permitted.any(contains)) && !self.excluded.iter().any(contains)
    }
}

impl Subtree {
    fn contains(&self, name: &str, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Self::Host(host), None) => {
                let host = host.trim_start_matches('.');
                host.is_empty() || name == host || name.strip_suffix(host).is_some_and(|below| below.ends_with('.'))
            }
            (Self::Subnet(base, mask), Some(address)) => {
                let octets = match address {
                    IpAddr::V4(address) => address.octets().to_vec(),
                    IpAddr::V6(address) => address.octets().to_vec(),
                };
                let masked = |bytes: &[u8]| bytes.iter().zip(mask).map(|(byte, mask)| byte & mask).collect::<Vec<_>>();
                octets.len() == base.len() && masked(&octets) == masked(base)
            }
            _ => false,
        }
    }
}

fn subtrees(found: Option<&Vec<ParsedSubtree<'_>>>) -> Vec<Subtree> {
    let subtree = |subtree: &ParsedSubtree<'_>| match &subtree.base {
        GeneralName::DNSName(name) => Some(Subtree::Host(name.to_ascii_lowercase())),
        GeneralName::IPAddress(bytes) if matches!(bytes.len(), 8 | 32) => {
            let (base, mask) = bytes.split_at(bytes.len() / 2);
            Some(Subtree::Subnet(base.to_vec(), mask.to_vec()))
        }
        _ => None,
    };
    found.into_iter().flatten().filter_map(subtree).collect()
}

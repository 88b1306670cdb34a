//! Published ports, and the variables of the compose file for them and for networks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use anyhow::Result;

use crate::failure::Failure;
use crate::profile::model::{Model, SitePort};
use crate::profile::names::{
    COMPOSE_PROJECT_VARIABLE, PROJECT_VARIABLE, address_variable, bracketed, internal_variable, last_port_variable,
    path_variable, port_variable, project_name, published_address,
};

/// Whether two ports conflict on one host when these are their numbers, or their first ones.
fn conflict((one, first): (&SitePort, u16), (other, other_first): (&SitePort, u16)) -> bool {
    let anywhere = |port: &SitePort| port.address.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
    let overlap = first <= other.last(other_first) && other_first <= one.last(first);
    let same_address = one.address == other.address || anywhere(one) || anywhere(other);
    overlap && one.protocol == other.protocol && same_address
}

/// What the settings of a site choose for containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Whether networks whose condition depends on settings are internal, by name.
    pub internal: BTreeMap<String, bool>,
    /// Folders of the host, by the names of their settings.
    pub paths: BTreeMap<String, String>,
}

/// The text of `ports.env`, which compose reads as `.env`: the project's name (the profile's own if there is none), and
/// address and port of each published port. `ports` is by name.
#[must_use]
pub fn ports_env(model: &Model, project: Option<&str>, ports: &BTreeMap<String, u16>, chosen: &Chosen) -> String {
    let project = project.map_or_else(|| project_name(model), str::to_owned);
    let mut text = format!(
        "# Variables of compose.yaml, which compose reads from `.env` beside it.\n\
         {COMPOSE_PROJECT_VARIABLE}={project}\n{PROJECT_VARIABLE}={project}\n"
    );
    for (name, port) in &model.site.ports {
        let number = ports.get(name).copied().unwrap_or(port.default);
        let (address, variable) = (address_variable(name), port_variable(name));
        writeln!(text, "{address}={}\n{variable}={number}", published_address(port)).expect("text takes all writes");
    }
    text + &last_port_lines(model, ports) + &chosen_lines(chosen)
}

/// The lines about the ends of ranges: the next start writes them again.
fn last_port_lines(model: &Model, ports: &BTreeMap<String, u16>) -> String {
    let ranges = model.site.ports.iter().filter(|(_, port)| port.count > 1);
    let line = |(name, port): (&String, &SitePort)| {
        let first = ports.get(name).copied().unwrap_or(port.default);
        format!("{}={}\n", last_port_variable(name), port.last(first))
    };
    ranges.map(line).collect()
}

/// The lines about networks and folders: the next start writes them again, as the settings decide.
fn chosen_lines(Chosen { internal, paths }: &Chosen) -> String {
    let internal = internal.iter().map(|(name, internal)| format!("{}={internal}\n", internal_variable(name)));
    internal.chain(paths.iter().map(|(name, path)| format!("{}={path}\n", path_variable(name)))).collect()
}

/// The variables of an env file, read as compose reads it: `NAME=VALUE`, with or without quotes. Comments and empty lines
/// are skipped.
#[must_use]
pub fn compose_variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.trim_start_matches("export ").split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned())).collect()
}

/// The ports whose numbers are in these variables of `.env`, by name.
///
/// # Errors
/// [`Failure::usage`] for a value that is not a port number.
pub fn edited_ports(model: &Model, variables: &BTreeMap<String, String>) -> Result<BTreeMap<String, u16>> {
    let mut ports = BTreeMap::new();
    for name in model.site.ports.keys() {
        let variable = port_variable(name);
        let Some(text) = variables.get(&variable).filter(|text| !text.is_empty()) else { continue };
        let number = text.parse().map_err(|error| {
            Failure::usage(format!(".env: {variable}: `{text}` is not a port number"))
                .hint("use a number from 1 to 65535")
                .because(error)
        })?;
        ports.insert(name.clone(), number);
    }
    Ok(ports)
}

/// An edited `.env` with the numbers of these ports and what the settings choose, and otherwise as it is. IPv6 addresses get
/// the brackets that compose needs.
pub(super) fn updated(model: &Model, env: &str, ports: &BTreeMap<String, u16>, chosen: &Chosen) -> String {
    let numbers: BTreeMap<String, u16> = ports.iter().map(|(name, number)| (port_variable(name), *number)).collect();
    let addresses: Vec<String> = ports.keys().map(|name| address_variable(name)).collect();
    let ends = ports.keys().map(|name| last_port_variable(name));
    let networks = chosen.internal.keys().map(|name| internal_variable(name));
    let paths = model.host_paths().into_iter().map(path_variable);
    let written: Vec<String> = networks.chain(ends).chain(paths).collect();
    let mut text = String::new();
    for line in env.lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let name = name.trim().trim_start_matches("export ").trim();
        let address = value.trim().trim_matches(['"', '\'']);
        if let Some(number) = numbers.get(name) {
            text += &format!("{name}={number}\n");
        } else if addresses.iter().any(|variable| variable == name) && bracketed(address) != address {
            text += &format!("{name}={}\n", bracketed(address));
        } else if !written.iter().any(|variable| variable == name) {
            text += &format!("{line}\n");
        }
    }
    text + &last_port_lines(model, ports) + &chosen_lines(chosen)
}

/// The ports of the site, by name: from `chosen`, else from `recorded`, else the profile's defaults.
pub(super) fn choose(
    model: &Model,
    recorded: &BTreeMap<String, u16>,
    chosen: &BTreeMap<String, u16>,
) -> Result<BTreeMap<String, u16>> {
    let known = &model.site.ports;
    if let Some(name) = chosen.keys().find(|name| !known.contains_key(*name)) {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        return Err(Failure::usage(format!("the profile publishes no port `{name}`"))
            .hint(if names.is_empty() {
                "it publishes none".into()
            } else {
                format!("it publishes {}", names.join(", "))
            })
            .into());
    }
    let mut ports: BTreeMap<String, u16> = BTreeMap::new();
    for (name, port) in known {
        let number = chosen.get(name).or_else(|| recorded.get(name)).copied().unwrap_or(port.default);
        if number == 0 {
            return Err(Failure::usage(format!("the port `{name}` cannot be 0"))
                .hint("use a number from 1 to 65535")
                .into());
        }
        if u32::from(number) + u32::from(port.count) > 65_536 {
            return Err(Failure::usage(format!("there are no {} ports from {number} on for `{name}`", port.count))
                .hint("choose a lower number: the last port is 65535")
                .into());
        }
        let taken = ports.iter().find(|(other, taken)| conflict((&known[*other], **taken), (port, number)));
        if let Some((other, taken)) = taken {
            let both = number.max(*taken);
            return Err(Failure::usage(format!("the ports `{other}` and `{name}` are both {both}"))
                .hint("use different numbers")
                .into());
        }
        ports.insert(name.clone(), number);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_compose_reads_them() {
        let read = compose_variables("# a comment\n\nA=1\n export B = \"two words\"\nC='x=y'\nD=\nno variable\n");
        let pairs: Vec<(&str, &str)> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "two words"), ("C", "x=y"), ("D", "")]);
    }

    #[test]
    fn an_edited_env_file_gets_the_ports_and_networks_of_the_site() {
        let env = "# mine\nSEALIFT_HTTPS_ADDRESS=127.0.0.1\nexport SEALIFT_HTTPS_PORT=8443\nSEALIFT_HTTP_ADDRESS=::\nOTHER=1\n";
        let model = crate::profile::sample();
        let chosen = Chosen { internal: [("outside".to_owned(), false)].into(), ..Chosen::default() };
        let ports = [("https".to_owned(), 9443), ("http".to_owned(), 80)].into();
        let updated = updated(&model, env, &ports, &chosen);
        insta::assert_snapshot!(updated, @"
        # mine
        SEALIFT_HTTPS_ADDRESS=127.0.0.1
        SEALIFT_HTTPS_PORT=9443
        SEALIFT_HTTP_ADDRESS=[::]
        OTHER=1
        SEALIFT_OUTSIDE_INTERNAL=false
        ");
        assert_eq!(super::updated(&model, &updated, &ports, &chosen), updated);
    }

    #[test]
    fn a_range_has_an_end_and_overlaps_only_with_its_protocol() {
        let text = include_str!("../profile/sample.toml").replace(
            "[site.ports]",
            "[site.ports]\nmedia = { default = 440, address = \"0.0.0.0\", protocol = \"udp\", count = 10 }",
        );
        let model: Model = toml::from_str(&text).unwrap();
        let chosen = |ports: &[(&str, u16)]| {
            let ports = ports.iter().map(|&(name, number)| (name.to_owned(), number)).collect();
            choose(&model, &BTreeMap::new(), &ports)
        };
        let ports = chosen(&[("media", 441)]).unwrap();
        let env = ports_env(&model, None, &ports, &Chosen::default());
        assert!(env.contains("SEALIFT_MEDIA_PORT=441\n") && env.contains("SEALIFT_MEDIA_LAST_PORT=450\n"), "{env}");
        let moved = [("media".to_owned(), 1000)].into();
        let env = updated(&model, &env, &moved, &Chosen::default());
        assert!(env.contains("_PORT=1000\n") && env.contains("SEALIFT_MEDIA_LAST_PORT=1009\n"), "{env}");
        assert_eq!(env.matches("LAST").count(), 1);
        assert!(chosen(&[("media", 65_530)]).is_err());
        let tcp: Model = toml::from_str(&text.replace("protocol = \"udp\", ", "")).unwrap();
        let error = choose(&tcp, &BTreeMap::new(), &BTreeMap::new()).unwrap_err();
        assert_eq!(error.to_string(), "the ports `https` and `media` are both 443");
    }
}

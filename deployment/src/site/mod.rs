//! The files of one installation: its private authority, certificates, secrets, settings and rendered files.
//!
//! A site is a directory beside the images, never in them:
//!
//! ```text
//! settings.toml                  the operator's settings: created once, then edited only by the operator
//! site.toml                      options of the site, and digests of what was last written into it
//! custom-ca.crt, custom-ca.key   the private authority; the key is needed only to sign, so it may be kept elsewhere
//! tls/NAME.crt, tls/NAME.key     of each `site.certificates`; tls/NAME.crt of each `site.trusted`
//! files/NAME/                    of each `site.files`: files that the operator provides
//! secrets/NAME                   of each `site.secrets`: its text, with no newline
//! env/..., nginx/...             the rendered `site.templates`
//! ports.env                      variables of the compose file; compose reads them as `.env` beside it
//! ```
//!
//! [`create`] creates missing files and replaces those that are no longer valid. Existing secrets and keys are never
//! replaced (remove one to get a new one). The operator's own files are kept too: a certificate that was neither signed
//! by the authority nor written here, and a rendered file that was edited.

mod constraints;
mod create;
mod env;
mod files;
mod keys;
mod layout;
mod load;
mod networks;
mod operator_input;
mod origin;
mod pki;
mod ports;
mod public_host;
mod record;
mod renew;
mod report;
mod samples;
mod secret_texts;
mod settings;
mod status;
mod templates;
#[cfg(test)]
mod tests;
mod values;

pub use create::{SiteRequest, create};
pub use env::parse_env;
pub use load::{Site, SiteFile, load, private_directories};
pub use operator_input::folders::{check as check_folders, paths as folder_paths};
pub use operator_input::{check as check_input, host_paths};
pub use origin::{KnownSites, MissedRun, Origin, Place, differ_in_secrets, secret, share_secrets};
pub use ports::{Chosen, compose_variables, edited_ports, ports_env};
pub use public_host::PublicHost;
pub use renew::{Renewal, renew};
pub use report::{Action, Change, SiteReport};
pub use samples::check_templates;
pub use settings::parse as parse_settings;
pub use status::{GroupFile, Validity, certificates, groups, permissions, ports, recorded_engine, recorded_host};
pub use templates::{render_public, uses_host};

pub use crate::profile::names::template_mode;
pub use values::{SettingValues, SiteParameters};

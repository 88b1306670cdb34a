//! Fetching over HTTP: pages into memory ([`Client::get`]) and artifacts into the store ([`download`]).

mod agent;
mod client;
mod connector;
mod download;
mod pace;
mod partial;
mod retry;
mod rounds;

pub use client::{Client, Facts, Page};
pub use download::{Download, Fetched, Missing, Urls, download};

#[cfg(test)]
mod route_tests;
#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;

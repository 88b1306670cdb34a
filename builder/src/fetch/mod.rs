//! Fetching over HTTP: pages into memory ([`Client::get`]) and artifacts into the store ([`download`]).

mod client;
mod download;
mod pace;
mod partial;
mod retry;

pub use client::{Client, Page};
pub use download::{Download, Fetched, Missing, Urls, download};

#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;

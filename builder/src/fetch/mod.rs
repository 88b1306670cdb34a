//! Fetching over HTTP: whole pages (`Client::get`), and artifacts into the store (`download`).

mod client;
mod download;
mod partial;
mod trouble;

pub use client::{Client, Page};
pub use download::{Download, Fetched, Missing, Urls, download, lacking};

#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;

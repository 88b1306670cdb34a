//! What the host needs beside the images: containers, as the engine makes them and as compose does, or units; and the
//! operator's README. Pure functions of the profile and what the host decides.

pub mod compose;
pub mod container;
pub mod readme;
pub mod systemd;

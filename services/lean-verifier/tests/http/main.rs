//! The verifier over real HTTP, with the real embedded Lean behind it. Needs the image: `scripts/setup lean`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod batches;
mod guide;
mod limits;
mod server;
mod shapes;

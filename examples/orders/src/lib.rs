//! A service as any team might have it: orders are placed, paid and dispatched. It exists so that lens has something
//! real to explain, and, with `--faults`, something wrong whose cause and place are known.

pub mod api;
pub mod app;
pub mod cache;
pub mod client;
pub mod config;
pub mod faults;
pub mod load;
mod named;
pub mod payment;
pub mod problem;
pub mod program;
pub mod service;
pub mod stop;
pub mod store;
pub mod workers;

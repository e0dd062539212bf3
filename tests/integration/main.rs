//! lens as a service and its users meet it: started in this process, asked over HTTP. One binary, one module a subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod arguments;
mod ask;
mod capture;
mod consent;
mod console;
mod custom_skill;
mod ends;
mod findings;
mod http;
mod manifest;
mod models;
mod security;
mod start;
mod stuck;
mod support;
mod waits;

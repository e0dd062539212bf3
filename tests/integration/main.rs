//! lens as a service and its users meet it: started in this process, asked over HTTP. One binary, one module a subject.

mod capture;
mod custom_skill;
mod http;
mod manifest;
mod security;
mod start;
mod stuck;
mod support;

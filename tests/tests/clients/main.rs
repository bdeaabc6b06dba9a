//! Clients that are not ours judge the embedded cloud: boto3, the AWS CLI, Docker, `curl` and `dig`.
//!
//! They know AWS and not this project, so what they accept is AWS's behaviour and not our idea of
//! it. `cargo xtask test` sets them up.

mod awscli;
mod boto3;
mod docker;
mod names;
mod outside;

mod client;
mod hosts;
mod limits;
mod rate_limit;

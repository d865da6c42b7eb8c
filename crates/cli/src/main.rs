//! x
use panoply_gateway::*;
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let to = std::env::args().nth(1).unwrap();
    let (h, p) = to.rsplit_once(':').unwrap();
    let c = config::Config {
        https: config::Listen("[::]:8443".parse().unwrap()),
        http: Some(config::Listen("[::]:8080".parse().unwrap())),
        tls: Default::default(),
        state: None,
        to: (h.into(), p.parse().unwrap()),
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
        let g = Gateway::open(&c).unwrap();
        let r = g.start().unwrap();
        tokio::signal::ctrl_c().await.unwrap();
        println!("{}", r.drain(std::time::Duration::from_secs(10)).await);
    });
}

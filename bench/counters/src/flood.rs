use std::net::Ipv6Addr;
use std::time::Duration;

use panoply::counters::{Limiter, Memory};
use panoply_costs::counters::decide;

use crate::Failure;

/// A thousand are blocked, and then as many addresses come as are said, each from a network of its own.
pub fn measure(keys: u32) -> Result<(), Failure> {
    let (memory, before) = (Memory::new(), resident()?);
    let strict = Limiter::new("blocked", 0, Duration::from_secs(86_400));
    let blocked: Vec<String> = (0..1_000).map(|n| format!("blocked {n}")).collect();
    blocked.iter().for_each(|name| { let _ = decide(&strict, &memory, name); });
    let limiter = Limiter::new("flood", 10, Duration::from_secs(86_400));
    for n in 0..keys {
        let address = Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n) << 64);
        let _ = decide(&limiter, &memory, &address.to_string());
    }
    let still = blocked.iter().filter(|name| decide(&strict, &memory, name).standing().consumed() == 2);
    let (still, grown) = (still.count(), resident()?.saturating_sub(before));
    println!("{} {grown} {still}", memory.len());
    // Stacks and texts of the program itself are in what has grown.
    if still == blocked.len() && memory.bytes() <= 44 * (1 << 17) && grown <= 8 << 20 {
        Ok(())
    } else {
        Err(format!("{} bytes by its own account, {grown} by the kernel's", memory.bytes()).into())
    }
}

/// In bytes.
fn resident() -> Result<usize, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
    Ok(kibibytes.ok_or("the kernel does not say what is resident")?.trim().parse::<usize>()? * 1_024)
}

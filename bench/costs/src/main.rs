//! `panoply-costs shield shielded 2000` asks that often and does nothing else, for valgrind to count.

use panoply_costs::{counters, shield};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    match &*arguments {
        [_, what, side, times] if what == "shield" => shield::run(side, times.parse()?),
        [_, what, side, times] if what == "counters" => counters::run(side, times.parse()?),
        _ => {
            return Err(
                "usage: panoply-costs shield bare|shielded TIMES, or counters bare|hot|new TIMES".into()
            );
        }
    }
    Ok(())
}

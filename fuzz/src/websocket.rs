use panoply_gateway::websocket::Frames;

/// Frames end at the same places however they come, and each step goes on.
pub fn websocket(input: &[u8]) {
    let whole = ends(input, usize::MAX);
    for size in [1, 2, 7] {
        assert_eq!(ends(input, size), whole, "in pieces of {size}");
    }
}

/// Where they end, and whether one was a Close.
fn ends(input: &[u8], size: usize) -> (Vec<usize>, bool) {
    let (mut frames, mut ends, mut at) = (Frames::default(), Vec::new(), 0);
    for mut piece in input.chunks(size.min(input.len().max(1))) {
        while !piece.is_empty() {
            let taken = frames.take(piece);
            assert!((1..=piece.len()).contains(&taken), "{taken} of {}", piece.len());
            at += taken;
            piece = piece.get(taken..).unwrap_or_default();
            if frames.is_between() {
                ends.push(at);
            }
        }
    }
    (ends, frames.has_closed())
}

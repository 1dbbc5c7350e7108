//! How often the guest's parsers are tried with what nobody would write. `FLY_CASES` in the environment raises the number.

use proptest::test_runner::{Config, RngSeed};

pub(crate) fn cases(usual: u32) -> Config {
    let cases = std::env::var("FLY_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    // Always the same cases, so that a red test is red again; more of them, or `FLY_SEED`, are others.
    let seed = std::env::var("FLY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    Config { cases, rng_seed: RngSeed::Fixed(seed), max_shrink_iters: 2000, failure_persistence: None, ..Config::default() }
}

/// What a good text becomes when bytes of it are replaced, doubled or lost.
pub(crate) fn damaged(good: &[u8], damage: &[(proptest::sample::Index, u8)], cut: Option<proptest::sample::Index>) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for (at, byte) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match byte % 4 {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, *byte),
            _ => bytes[at] = *byte,
        }
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len() + 1));
    }
    bytes
}

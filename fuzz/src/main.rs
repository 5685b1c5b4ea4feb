//! A bounded run of the fuzz targets on stable Rust: mutations of the seeds,
//! for as many seconds as the first argument says (10 by default). Without
//! coverage to guide it, it finds less than `cargo fuzz`, but it always ends.

use std::{
    fs, panic,
    time::{Duration, Instant},
};

type Target = fn(&[u8]);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(10), |text| text.parse())?;
    let targets: [(&str, Target); 2] = [("json", fuzz::read_json), ("wire", fuzz::write_json)];
    for (folder, target) in targets {
        let seeds = seeds(folder)?;
        let end = Instant::now() + Duration::from_secs(seconds) / 2;
        let mut random = 0x5eed;
        let mut runs = 0_u64;
        for seed in &seeds {
            target(seed);
        }
        while Instant::now() < end {
            let input = mutate(&seeds, &mut random);
            if panic::catch_unwind(|| target(&input)).is_err() {
                let file = std::env::temp_dir().join(format!("fuzz-{folder}-{runs}"));
                fs::write(&file, &input)?;
                return Err(format!("the input is in {}", file.display()).into());
            }
            runs += 1;
        }
        println!("{folder}: {} seeds, {runs} mutations, no fault", seeds.len());
    }
    Ok(())
}

fn seeds(folder: &str) -> Result<Vec<Vec<u8>>, Box<dyn std::error::Error>> {
    let path = format!("{}/seeds/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut files = fs::read_dir(&path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    files.sort();
    let seeds = files.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
    if seeds.is_empty() { Err(format!("no seeds in {path}").into()) } else { Ok(seeds) }
}

/// Some bytes changed, taken out, put in or said again, or two seeds spliced.
fn mutate(seeds: &[Vec<u8>], random: &mut u64) -> Vec<u8> {
    let mut below = |limit: usize| {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) as usize % limit.max(1)
    };
    let mut input = seeds[below(seeds.len())].clone();
    for _ in 0..=below(4) {
        let at = below(input.len());
        match below(6) {
            0 if !input.is_empty() => input[at] = below(256) as u8,
            1 if !input.is_empty() => input[at] ^= 1 << below(8),
            2 if !input.is_empty() => {
                let end = (at + 1 + below(8)).min(input.len());
                input.drain(at..end);
            }
            3 => input.insert(at, *b"\"\\{}[]:,0-eEu\x00\x80\xff\x7f".get(below(17)).unwrap_or(&0)),
            4 => {
                let end = (at + 1 + below(40)).min(input.len());
                let again = input[at.min(end)..end].to_vec();
                input.splice(at..at, again);
            }
            _ => {
                let other = &seeds[below(seeds.len())];
                let from = below(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from.min(other.len())..]);
            }
        }
    }
    input
}

//! A bounded run of every target, in `make test`: all inputs that were kept, and some thousands of changed ones, the same each time.
//! HUDDLE_FUZZ_INPUTS and HUDDLE_FUZZ_SEED ask for more and for others.

use huddle_fuzz::{TARGETS, Target};
use rand::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Changed inputs per target.
const INPUTS: usize = 3_000;
/// A target ends early after this long, so that a slow one does not hold up the others.
const SECONDS: u64 = 20;
/// Longest changed input: what matters is small.
const LONGEST: usize = 16_384;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn setting(name: &str, otherwise: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, no number")),
        Err(_) => otherwise,
    }
}

/// Runs one input; one that breaks a promise is kept in a file that libFuzzer and this test can run again.
fn run(target: Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let file = std::env::temp_dir().join(format!("huddle-fuzz-{}", target.name));
        std::fs::write(&file, input).unwrap();
        panic!(
            "target {} breaks on {} ({} bytes): mend it, then keep the file in tests/fuzz/corpus/{0}",
            target.name,
            file.display(),
            input.len()
        );
    }
}

/// Numbers at which things change.
const NUMBERS: [&str; 10] = [
    "0",
    "1",
    "-1",
    "127",
    "255",
    "4294967296",
    "9223372036854775808",
    "18446744073709551615",
    "1e308",
    "0.5",
];
const BYTES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'\n'];

/// Changes an input in one place: a byte, a number, a piece gone, doubled, or taken from another input.
fn change(input: &mut Vec<u8>, others: &[Vec<u8>], dice: &mut StdRng) {
    let at = dice.random_range(0..=input.len());
    let end = (at + dice.random_range(0..=16)).min(input.len());
    match dice.random_range(0..7) {
        0 if at < input.len() => input[at] ^= 1 << dice.random_range(0..8),
        1 if at < input.len() => input[at] = *BYTES.choose(dice).unwrap(),
        2 => {
            input.drain(at..end);
        }
        3 => {
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        4 => {
            let other = others.choose(dice).unwrap();
            let from = dice.random_range(0..=other.len());
            let piece = &other[from..(from + 32).min(other.len())];
            input.splice(at..end, piece.iter().copied());
        }
        5 => {
            // The number at or after this place becomes another.
            let is_digit = |byte: &u8| byte.is_ascii_digit();
            if let Some(first) = input[at..].iter().position(is_digit) {
                let first = at + first;
                let length = input[first..].iter().take_while(|byte| is_digit(byte)).count();
                input.splice(first..first + length, NUMBERS.choose(dice).unwrap().bytes());
            }
        }
        _ => input.insert(at, dice.random()),
    }
    input.truncate(LONGEST);
}

#[test]
fn every_target_holds_on_its_corpus_and_on_changed_inputs() {
    let inputs = setting("HUDDLE_FUZZ_INPUTS", INPUTS);
    let seed = setting("HUDDLE_FUZZ_SEED", 1) as u64;
    // One thread per target: none waits for another.
    std::thread::scope(|scope| {
        for target in TARGETS {
            scope.spawn(move || {
                let began = std::time::Instant::now();
                let kept = corpus(target.name);
                assert!(!kept.is_empty(), "{} has no corpus", target.name);
                kept.iter().for_each(|input| run(target, input));
                let mut dice = StdRng::seed_from_u64(seed);
                let mut done = 0;
                while done < inputs && (inputs != INPUTS || began.elapsed().as_secs() < SECONDS) {
                    let mut input = kept.choose(&mut dice).unwrap().clone();
                    for _ in 0..dice.random_range(1..=6) {
                        change(&mut input, &kept, &mut dice);
                    }
                    run(target, &input);
                    done += 1;
                }
                println!(
                    "{}: {} kept and {done} changed inputs in {:.1} s",
                    target.name,
                    kept.len(),
                    began.elapsed().as_secs_f64()
                );
                assert!(
                    done >= inputs / 10,
                    "{}: only {done} inputs in {SECONDS} s",
                    target.name
                );
            });
        }
    });
}

#[test]
fn every_corpus_has_its_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(huddle_fuzz::named(&name).is_some(), "corpus/{name} has no target");
    }
}

//! The rung "bed": stories on one real cluster, brought up once and taken down at the end.
//!
//! `cargo test -p huddle-tests --test bed` runs all; words after `--` choose stories by a part of their name (the bed is brought up
//! and taken down all the same). A story that fails does not keep the others from being told; the run then fails.

mod begin;
mod cells;
mod cluster;
mod end;
mod faults;
mod huddle;
mod leaving;
mod merging;
mod page;
mod pressure;
mod rights;
mod routing;
mod trouble;
mod wire;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use huddle_tests::bed::Bed;

type Story = (&'static str, fn(&Bed) -> Result<()>);

/// In the order they are told; a story leaves the bed as it found it.
const STORIES: [Story; 7] = [
    (
        "nodes offer what they were told, in their zones",
        cluster::nodes_offer_what_they_were_told,
    ),
    (
        "services answer by name from any node",
        cluster::services_answer_by_name,
    ),
    (
        "the mesh speaks mTLS and answers nobody else",
        cluster::the_mesh_is_strict,
    ),
    (
        "an image is written, loaded and run",
        cluster::an_image_is_loaded_and_run,
    ),
    (
        "admission policies that mutate are served",
        cluster::mutating_policies_are_served,
    ),
    ("a killed scheduler starts again", faults::a_scheduler_is_killed),
    ("a killed node is noticed and comes back", faults::a_node_is_killed),
];

fn main() -> ExitCode {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-') && word.parse::<u32>().is_err())
        .collect();
    let mut failed = Vec::new();
    let mut tell = |name: &'static str, story: &mut dyn FnMut() -> Result<()>| {
        let began = Instant::now();
        let outcome = story();
        let seconds = began.elapsed().as_secs_f64();
        match &outcome {
            Ok(()) => println!("bed: {name}: ok ({seconds:.1} s)"),
            Err(error) => {
                println!("bed: {name}: FAILED ({seconds:.1} s)\n  {error:#}");
                failed.push(format!("{name}\n  {error:#}"));
            }
        }
        outcome.is_ok()
    };
    let bed = match Bed::named(Path::new(env!("CARGO_BIN_EXE_bed")), "bed") {
        Ok(bed) => bed,
        Err(error) => {
            println!("bed: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    tell("a bed broken off with kill -9 leaves nothing after down", &mut || {
        begin::a_broken_off_bed_leaves_nothing(&bed)
    });
    if tell("the bed comes up", &mut || begin::the_bed_comes_up(&bed)) {
        for (name, story) in STORIES {
            if chosen.is_empty() || chosen.iter().any(|word| name.contains(word.as_str())) {
                tell(name, &mut || story(&bed));
            }
        }
        let told = |name: &str| {
            chosen.is_empty()
                || chosen
                    .iter()
                    .any(|word| word == "huddle" || name.contains(word.as_str()))
        };
        if huddle::STORIES.iter().any(|(name, _)| told(name)) {
            let mut world = None;
            tell("the shop opens", &mut || {
                world = Some(huddle::World::open(&bed)?);
                Ok(())
            });
            if let Some(world) = &mut world {
                for (name, story) in huddle::STORIES {
                    if told(name) && !tell(name, &mut || story(world)) {
                        break;
                    }
                }
            }
        }
    }
    tell(
        "a bed whose programs were killed leaves nothing after down",
        &mut || end::a_killed_bed_leaves_nothing(&bed),
    );
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    // Once more, since the end of a log is what people are shown of it.
    println!("bed: {} FAILED: {}", failed.len(), failed.join("\nbed: "));
    ExitCode::FAILURE
}

//! `--objective`: what plans are to bring, as people write it, and what they brought.

use super::real::saved;
use huddle_core::plan::{Brings, Objective, Term};
use std::str::FromStr;

/// An objective as it was asked for: its points; the prices are the policies'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted(pub(super) Objective);

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no objective: write latency, traffic, money, or a mix like latency=1,money=5");
        let mut wanted = Objective::of(0, 0, 0);
        for part in text.split(',') {
            let (name, points) = part.split_once('=').unwrap_or((part, "1"));
            let points = points.parse().map_err(|_| wrong())?;
            match name {
                "latency" => wanted.latency = points,
                "traffic" => wanted.traffic = points,
                "money" => wanted.money = points,
                _ => return Err(wrong()),
            }
        }
        match wanted == Objective::of(0, 0, 0) {
            true => Err(wrong()),
            false => Ok(Self(wanted)),
        }
    }
}

/// `−12.0`, with so many digits after the point.
fn signed(number: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", number.abs());
    if number < 0.0 && text.parse() != Ok(0.0) {
        format!("−{text}")
    } else {
        text
    }
}

/// Points, for people.
pub(super) fn points(points: f64) -> String {
    signed(points, 3)
}

/// What a plan brings, part by part, as a sentence.
pub(super) fn sentence(total: f64, brings: Brings) -> String {
    format!(
        "It brings {} points: in each second it saves callers {} of waiting and keeps {} more calls on their node; in each hour it \
         saves {} of money between zones.",
        points(total),
        saved(brings.latency),
        signed(brings.traffic, 1),
        signed(brings.money, 3),
    )
}

/// The heads of the parts in a table.
pub(super) const HEADS: [&str; 4] = [">WAITING SAVED/S", ">CALLS KEPT/S", ">MONEY SAVED/H", ">POINTS"];

/// The cells under them.
pub(super) fn cells(total: f64, brings: Brings) -> [String; 4] {
    [
        saved(brings.latency),
        signed(brings.traffic, 1),
        signed(brings.money, 3),
        points(total),
    ]
}

/// What all edges bring together.
pub(super) fn together(terms: &[Term]) -> Brings {
    terms.iter().map(|term| term.brings).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_a_name_or_a_mix() {
        let weights = |text: &str| {
            let wanted: Result<Wanted, _> = text.parse();
            wanted.map(|Wanted(wanted)| (wanted.latency, wanted.traffic, wanted.money))
        };
        assert_eq!(weights("latency"), Ok((1, 0, 0)));
        assert_eq!(weights("money"), Ok((0, 0, 1)));
        assert_eq!(weights("latency=2,traffic,money=50"), Ok((2, 1, 50)));
        for wrong in ["", "speed", "latency=0", "latency=-1", "money=x", "traffic,"] {
            assert!(weights(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_lost_has_a_sign_and_nothing_has_none() {
        assert_eq!(
            [signed(-1.25, 1), signed(-0.0001, 3), signed(3.0, 0)],
            ["−1.2", "0.000", "3"]
        );
    }
}

//! What a link is set to, and the named profiles.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// One direction between two nodes. The default is a link that adds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// One-way delay of every packet, in microseconds.
    pub delay_us: u32,
    /// Added to it, evenly spread between 0 and this many microseconds.
    pub jitter_us: u32,
    /// A share of the packets takes longer.
    pub tail: Tail,
    /// Share of packets that never arrive.
    pub loss: Share,
}

/// The slow few: a share of the packets waits longer by an even spread between two bounds, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tail {
    /// Which share.
    pub share: Share,
    /// At least this much longer.
    pub from_us: u32,
    /// At most this much longer.
    pub to_us: u32,
}

/// A share between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

impl Share {
    /// None of them.
    pub const NONE: Self = Self(0.0);

    /// The value between 0 and 1.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Share {
    type Error = Error;

    fn try_from(value: f64) -> Result<Self> {
        ensure!(
            (0.0..=1.0).contains(&value),
            "a share lies between 0 and 1, not at {value}"
        );
        Ok(Self(value))
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl FromStr for Share {
    type Err = Error;

    /// Reads `0.01` or `1%`.
    fn from_str(text: &str) -> Result<Self> {
        let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
        Self::try_from(
            number
                .trim()
                .parse::<f64>()
                .with_context(|| format!("{text:?} is not a share: write 0.01 or 1%"))?
                / scale,
        )
    }
}

impl FromStr for Tail {
    type Err = Error;

    /// Reads `1%:2ms-5ms`.
    fn from_str(text: &str) -> Result<Self> {
        let form = || format!("{text:?} is not a tail: write SHARE:FROM-TO, such as 1%:2ms-5ms");
        let (share, range) = text.split_once(':').with_context(form)?;
        let (from, to) = range.split_once('-').with_context(form)?;
        let tail = Self {
            share: share.parse()?,
            from_us: microseconds(from)?,
            to_us: microseconds(to)?,
        };
        ensure!(tail.from_us <= tail.to_us, "the tail {text:?} ends before it begins");
        Ok(tail)
    }
}

/// Reads a time such as `150us`, `0.6ms` or `1s`; a bare number is refused except 0.
///
/// # Errors
/// When the text is no such time, is negative, or is above 10 s.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number
        .parse()
        .with_context(|| format!("{text:?} is not a time: write 150us, 0.6ms or 1s"))?;
    let seconds = match unit {
        "us" | "µs" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "" if number == 0.0 => 0.0,
        _ => bail!("the time {text:?} has no unit: write 150us, 0.6ms or 1s"),
    };
    ensure!(seconds <= 10.0, "the time {text:?} is above 10 s");
    Ok(Duration::from_secs_f64(seconds))
}

fn microseconds(text: &str) -> Result<u32> {
    Ok(u32::try_from(parse_duration(text)?.as_micros())?)
}

/// A named setting of all links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Nothing is added anywhere.
    Flat,
    /// Same zone 0.1 ms, other zone 0.6 ms one way, and 1 % of all packets 2 to 5 ms longer.
    Cloud,
}

impl Profile {
    /// The link between two different nodes, in the same zone or not.
    #[must_use]
    pub fn link(self, same_zone: bool) -> Link {
        match self {
            Self::Flat => Link::default(),
            Self::Cloud => Link {
                delay_us: if same_zone { 100 } else { 600 },
                tail: Tail {
                    share: Share(0.01),
                    from_us: 2_000,
                    to_us: 5_000,
                },
                ..Link::default()
            },
        }
    }
}

impl FromStr for Profile {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "flat" => Ok(Self::Flat),
            "cloud" => Ok(Self::Cloud),
            _ => bail!("no wire profile is called {text:?}: there are flat and cloud"),
        }
    }
}

/// What all links are set to: a profile, and pairs that differ from it. This is also the form of a `--wire FILE` (JSON).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// What holds where nothing else is said.
    pub profile: Profile,
    /// Directed exceptions, by the names of the sending and the receiving node, as `node-1>node-2`.
    #[serde(default)]
    pub pairs: BTreeMap<String, Link>,
}

impl Links {
    /// A profile without exceptions.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        Self {
            profile,
            pairs: BTreeMap::new(),
        }
    }

    /// Sets one direction between two nodes.
    pub fn set(&mut self, from: &str, to: &str, link: Link) {
        self.pairs.insert(format!("{from}>{to}"), link);
    }

    /// What one direction between two nodes is set to.
    #[must_use]
    pub fn link(&self, from: &str, to: &str, same_zone: bool) -> Link {
        self.pairs
            .get(&format!("{from}>{to}"))
            .copied()
            .unwrap_or_else(|| self.profile.link(same_zone))
    }

    /// Reads a profile's name, or a file of this type as JSON.
    ///
    /// # Errors
    /// When it is neither, with what is wrong in the file.
    pub fn load(name_or_file: &str) -> Result<Self> {
        if let Ok(profile) = name_or_file.parse() {
            return Ok(Self::of(profile));
        }
        let text = std::fs::read_to_string(name_or_file)
            .with_context(|| format!("{name_or_file:?} is neither flat, cloud nor a file that can be read"))?;
        serde_json::from_str(&text).with_context(|| format!("the wire file {name_or_file}"))
    }

    /// Refuses exceptions for nodes that are not there: a typing mistake would otherwise change nothing and say nothing.
    ///
    /// # Errors
    /// Names the first such pair.
    pub fn check(&self, nodes: &[&str]) -> Result<()> {
        for pair in self.pairs.keys() {
            let ends = pair
                .split_once('>')
                .with_context(|| format!("the pair {pair:?} is not of the form node-1>node-2"))?;
            ensure!(
                nodes.contains(&ends.0) && nodes.contains(&ends.1) && ends.0 != ends.1,
                "the pair {pair:?} does not name two different nodes of {nodes:?}"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_a_unit_and_stay_below_ten_seconds() {
        assert_eq!(parse_duration("150us").unwrap(), Duration::from_micros(150));
        assert_eq!(parse_duration("0.6ms").unwrap(), Duration::from_micros(600));
        assert_eq!(parse_duration("0").unwrap(), Duration::ZERO);
        for wrong in ["", "5", "-1ms", "11s", "2 weeks", "ms"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tails_and_shares_read_as_people_write_them() {
        let tail: Tail = "1%:2ms-5ms".parse().unwrap();
        assert_eq!((tail.share.get(), tail.from_us, tail.to_us), (0.01, 2_000, 5_000));
        for wrong in ["1%", "1%:2ms", "1%:5ms-2ms", "101%:1ms-2ms", "x:1ms-2ms"] {
            assert!(wrong.parse::<Tail>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_cloud_is_nearer_within_a_zone() {
        let mut links = Links::of(Profile::Cloud);
        assert_eq!(links.link("node-1", "node-3", true).delay_us, 100);
        assert_eq!(links.link("node-1", "node-2", false).delay_us, 600);
        links.set(
            "node-1",
            "node-2",
            Link {
                delay_us: 9,
                ..Link::default()
            },
        );
        assert_eq!(links.link("node-1", "node-2", false).delay_us, 9);
        assert_eq!(
            links.link("node-2", "node-1", false).delay_us,
            600,
            "the other direction stays"
        );
    }

    #[test]
    fn a_wire_file_is_read_back_as_written_and_checked() {
        let mut links = Links::of(Profile::Flat);
        links.set(
            "node-1",
            "node-2",
            Link {
                loss: "2%".parse().unwrap(),
                ..Link::default()
            },
        );
        let text = serde_json::to_string(&links).unwrap();
        assert_eq!(serde_json::from_str::<Links>(&text).unwrap(), links);
        assert!(links.check(&["node-1", "node-2"]).is_ok());
        assert!(links.check(&["node-1"]).is_err());
        assert!(serde_json::from_str::<Links>(r#"{"profile":"flat","pairs":{"a>b":{"delay":1}}}"#).is_err());
        assert!(serde_json::from_str::<Links>(r#"{"profile":"flat","pairs":{"a>b":{"loss":2}}}"#).is_err());
    }
}

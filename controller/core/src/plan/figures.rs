//! Of two containers' figures, the higher and the lower, one by one.

use crate::cluster::{Compute, Sizing};
use crate::units::{Bytes, Millicores};

/// The figures that others lie below.
pub(super) fn undercut(figures: &Compute, by: &Compute) -> Compute {
    Compute {
        cpu: figures.cpu.filter(|cpu| by.cpu.is_some_and(|by| by < *cpu)),
        memory: figures.memory.filter(|memory| by.memory.is_some_and(|by| by < *memory)),
    }
}

fn each(
    a: Sizing,
    b: Sizing,
    cpu: fn(Millicores, Millicores) -> Millicores,
    memory: fn(Bytes, Bytes) -> Bytes,
) -> Sizing {
    let compute = |a: Compute, b: Compute| Compute {
        cpu: a.cpu.zip(b.cpu).map(|(a, b)| cpu(a, b)).or(a.cpu),
        memory: a.memory.zip(b.memory).map(|(a, b)| memory(a, b)).or(a.memory),
    };
    Sizing {
        requests: compute(a.requests, b.requests),
        limits: compute(a.limits, b.limits),
    }
}

/// The higher of both, figure by figure.
pub(super) fn highest(a: Sizing, b: Sizing) -> Sizing {
    let first = |compute: Compute, other: Compute| Compute {
        cpu: compute.cpu.or(other.cpu),
        memory: compute.memory.or(other.memory),
    };
    let a = Sizing {
        requests: first(a.requests, b.requests),
        limits: first(a.limits, b.limits),
    };
    each(a, b, Millicores::max, Bytes::max)
}

/// The lower of both where both say something; else what `a` says.
pub(super) fn lowest(a: Sizing, b: Sizing) -> Sizing {
    each(a, b, Millicores::min, Bytes::min)
}

//! Huddle's Kubernetes API types, group `huddle.dev`, version `v1alpha1`. No runtime: values and their schemas only.
//!
//! * [`Policy`]: what a namespace allows.
//! * [`Plan`]: what Huddle would do and why, who approved it, how far it is, and how to undo each step with kubectl alone.
//! * [`Rule`]: where one workload's new pods are placed; the parameter of the admission policy in `manifests/admission`.
//! * [`Companion`]: a callee's containers for the new pods of one caller; the parameter of another. Installed with `--allow merge` only.
//!
//! The JSON of a plan's parts is that of `huddle_core::plan`; the controller's tests hold the two together.

#![allow(
    unreachable_pub,
    reason = "kube's schema derive makes public helper types inside functions"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "every printer column has a type_ and a json_path"
)]

mod companion;
mod names;
mod plan;
mod policy;
mod rule;
mod status;

pub use companion::*;
pub use names::*;
pub use plan::*;
pub use policy::*;
pub use rule::*;
pub use status::*;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The definitions of all kinds, in the order in which they are installed; the last one only where merging is allowed.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![Policy::crd(), Plan::crd(), Rule::crd(), Companion::crd()]
}

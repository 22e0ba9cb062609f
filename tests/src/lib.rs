//! Huddle's end-to-end crate: the bed, the shop that runs on it, the load, and the tests' tools.

<<<<<<< HEAD
pub mod demo;
=======
pub mod bed;
>>>>>>> 283586b (bed: a real Kubernetes and Istio on one machine, with a wire between the nodes)
pub mod load;
pub mod pods;
pub mod shop;
pub mod wait;
